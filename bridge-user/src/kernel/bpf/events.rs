//! The ring buffer `EVENTS`: drops and misses, as they happen, for whoever reads them.

use std::iter;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use bridge_common::{DecisionRecord, EVENT_BYTES, Event, TraceState};
use nix::time::ClockId;

use super::explain::Explained;
use super::log::ProgramLog;
use super::{BpfError, failed, pins};

/// The reader of the ring buffer: there is one at a time.
pub struct Events {
    ring: RingBuf<MapData>,
    lost: PerCpuArray<MapData, u64>,
    log: ProgramLog,
}

/// What the program is asked for events by, for a time: renewed as long as somebody wants them.
pub struct Lease {
    state: Array<MapData, TraceState>,
}

/// A frame that was dropped, or left to the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedFrame {
    /// When (`CLOCK_MONOTONIC`).
    pub time_ns: u64,
    /// Slot of the port that it came in on; 0 for one that is not ours.
    pub slot: u16,
    /// Index of the host leg.
    pub ifindex: u32,
    /// What became of it.
    pub explained: Explained,
    /// Its length in bytes.
    pub length: u32,
    /// Its first bytes.
    pub head: Vec<u8>,
}

impl Lease {
    /// Asks for nothing yet.
    pub fn open() -> Result<Self, BpfError> {
        let state = pins::map("TRACE")?;
        Ok(Self { state })
    }

    /// Asks the program for events for so long; zero ends it.
    pub fn want(&mut self, time: Duration) -> Result<(), BpfError> {
        let now = ClockId::CLOCK_MONOTONIC.now();
        let now = now.map_err(|errno| BpfError::Clock(errno.into()))?;
        let until = if time.is_zero() {
            Duration::ZERO
        } else {
            Duration::from(now) + time
        };
        let state = TraceState {
            until_ns: u64::try_from(until.as_nanos()).unwrap_or(u64::MAX),
        };
        let set = self.state.set(0, state, 0);
        set.map_err(failed("write", "map TRACE"))
    }
}

impl Events {
    /// Opens the ring buffer of this host's data plane; what nobody read is gone.
    pub fn open() -> Result<Self, BpfError> {
        let mut events = Self {
            ring: pins::map("EVENTS")?,
            lost: pins::map("LOST")?,
            log: ProgramLog::open()?,
        };
        while events.ring.next().is_some() {}
        Ok(events)
    }

    /// Events that found the ring buffer full, since it was made.
    pub fn lost(&self) -> Result<u64, BpfError> {
        let per_cpu = self.lost.get(&0, 0);
        let per_cpu = per_cpu.map_err(failed("read", "map LOST"))?;
        Ok(per_cpu.iter().sum())
    }

    /// The next event, if there is one; such as this program does not know are passed over.
    pub fn next_frame(&mut self) -> Option<TracedFrame> {
        while let Some(item) = self.ring.next() {
            let Ok(event) = bytemuck::try_pod_read_unaligned::<Event>(&item) else {
                continue;
            };
            let DecisionRecord { slot, ifindex, .. } = event.decision;
            let Some(explained) = Explained::of(&event.decision) else {
                continue;
            };
            let length = (event.head_length as usize).min(EVENT_BYTES);
            return Some(TracedFrame {
                time_ns: event.time_ns,
                slot,
                ifindex,
                explained,
                length: event.length,
                head: event.head[..length].to_vec(),
            });
        }
        None
    }

    /// The next line of the programs' log, if there is one: only builds for debugging them have it.
    pub fn next_line(&mut self) -> Option<String> {
        self.log.next_line()
    }

    /// Readable when there are events, or lines.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        iter::once(self.ring.as_fd()).chain(self.log.fds())
    }
}
