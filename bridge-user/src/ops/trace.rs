//! Drops and misses, as they happen.

use std::collections::HashMap;
use std::io;
use std::iter;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::lock::{Lock, Object};
use super::ports::PortDetails;
use super::{Context, Error};
use crate::kernel::bpf::{Events, Road, TracedFrame};

/// How long the program goes on after the reader's last sign of life.
const LEASE: Duration = Duration::from_secs(5);
/// How long events are handed on before the lease is renewed.
const ROUND: Duration = Duration::from_millis(500);
/// How often it gives one.
const RENEWAL_MS: u16 = 1000;

/// A running trace. The state is nobody's meanwhile: other commands go on, purge too.
pub struct Trace {
    events: Events,
    ports: HashMap<u16, PortDetails>,
    /// Only frames of these ports, not of nobody's.
    only_ports: bool,
    drops: bool,
    misses: bool,
    _alone: Lock,
}

/// What a trace tells.
#[derive(Debug)]
pub enum Traced<'t> {
    /// A frame, and the port that it came in on, if it is one of ours.
    Frame(&'t TracedFrame, Option<&'t PortDetails>),
    /// A line of the programs' log, where they are such as log.
    Line(&'t str),
    /// So many events found nobody fast enough.
    Lost(u64),
}

impl Context {
    /// Begins a trace of drops, misses, or both, of the ports that names stand for; without names
    /// of all, and of those that are not ours.
    pub fn trace(self, names: &[String], drops: bool, misses: bool) -> Result<Trace, Error> {
        let ports = self.ports_called(names)?;
        if !crate::kernel::bpf::is_pinned() {
            return Err(Error::NoDataPlane);
        }
        let alone = self.try_lock(Object::Events)?;
        let alone = alone.ok_or(Error::TraceRuns)?;
        Ok(Trace {
            events: Events::open()?,
            ports: ports
                .into_iter()
                .map(|port| (port.endpoint.slot, port))
                .collect(),
            only_ports: !names.is_empty(),
            drops,
            misses,
            _alone: alone,
        })
    }
}

impl Trace {
    /// Hands events to `tell` until SIGINT or SIGTERM, or until it fails.
    pub fn run(mut self, mut tell: impl FnMut(&Traced<'_>) -> io::Result<()>) -> Result<(), Error> {
        let ended = self.follow(&mut tell);
        self.events.want(Duration::ZERO)?;
        ended
    }

    fn follow(
        &mut self,
        tell: &mut impl FnMut(&Traced<'_>) -> io::Result<()>,
    ) -> Result<(), Error> {
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
        let failed = |errno: Errno| Error::Wait(errno.into());
        signals.thread_block().map_err(failed)?;
        let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).map_err(failed)?;
        let mut lost = self.events.lost()?;
        loop {
            self.events.want(LEASE)?;
            let ended = {
                let fds = iter::once(signals.as_fd()).chain(self.events.fds());
                let mut ready: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
                match poll(&mut ready, PollTimeout::from(RENEWAL_MS)) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(errno) => return Err(failed(errno)),
                }
                ready[0].any().unwrap_or(true)
            };
            while let Some(line) = self.events.next_line() {
                tell(&Traced::Line(&line)).map_err(Error::Output)?;
            }
            // The lease is renewed, and signals are looked at, however much comes.
            let round = Instant::now();
            while round.elapsed() < ROUND
                && let Some(frame) = self.events.next_frame()
            {
                if self.is_wanted(&frame) {
                    let port = self.ports.get(&frame.slot);
                    tell(&Traced::Frame(&frame, port)).map_err(Error::Output)?;
                }
            }
            let now = self.events.lost()?;
            if now > lost {
                tell(&Traced::Lost(now - lost)).map_err(Error::Output)?;
                lost = now;
            }
            if ended {
                return Ok(());
            }
        }
    }

    fn is_wanted(&self, frame: &TracedFrame) -> bool {
        let kind = match frame.explained.road {
            Road::Dropped(_) => self.drops,
            _ => self.misses,
        };
        kind && (!self.only_ports || self.ports.contains_key(&frame.slot))
    }
}
