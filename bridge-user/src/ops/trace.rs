//! Drops and misses, as they happen.

use std::collections::HashMap;
use std::io;
use std::iter;
use std::os::fd::AsFd;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::lock::{Lock, Object};
use super::ports::PortDetails;
use super::{Context, Error};
use crate::kernel::bpf::{Events, Lease, Road, TracedFrame};

/// How long the program goes on after our last sign of life.
const LEASE: Duration = Duration::from_secs(5);
/// How often we give one.
const RENEWAL: Duration = Duration::from_secs(1);
/// How long events are handed on before anything else is looked at, and how long it is waited for them.
const ROUND: Duration = Duration::from_millis(500);
const WAIT_MS: u16 = 1000;

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
    /// Hands events to `tell` until SIGINT or SIGTERM, or until it fails. However long `tell` takes,
    /// what finds the ring buffer full is counted.
    pub fn run(mut self, mut tell: impl FnMut(&Traced<'_>) -> io::Result<()>) -> Result<(), Error> {
        let failed = |errno: Errno| Error::Wait(errno.into());
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
        // Before there is a second thread, which would be ended by them.
        signals.thread_block().map_err(failed)?;
        let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).map_err(failed)?;
        let lease = Lease::open()?;
        thread::scope(|scope| {
            let (wanted, unwanted) = mpsc::channel();
            let keeper = scope.spawn(|| keep(lease, unwanted));
            let ended = self.follow(&mut tell, &signals, || keeper.is_finished());
            drop(wanted);
            let kept = keeper.join().expect("renewing a lease does not panic");
            ended.and(kept)
        })
    }

    fn follow(
        &mut self,
        tell: &mut impl FnMut(&Traced<'_>) -> io::Result<()>,
        signals: &SignalFd,
        is_over: impl Fn() -> bool,
    ) -> Result<(), Error> {
        let mut lost = self.events.lost()?;
        loop {
            let ended = {
                let fds = iter::once(signals.as_fd()).chain(self.events.fds());
                let mut ready: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
                match poll(&mut ready, PollTimeout::from(WAIT_MS)) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(errno) => return Err(Error::Wait(errno.into())),
                }
                ready[0].any().unwrap_or(true) || is_over()
            };
            while let Some(line) = self.events.next_line() {
                tell(&Traced::Line(&line)).map_err(Error::Output)?;
            }
            // Signals are looked at, however much comes.
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

/// Asks the program for events until nobody wants them any more.
fn keep(mut lease: Lease, unwanted: Receiver<()>) -> Result<(), Error> {
    loop {
        lease.want(LEASE)?;
        if unwanted.recv_timeout(RENEWAL) != Err(RecvTimeoutError::Timeout) {
            return Ok(lease.want(Duration::ZERO)?);
        }
    }
}
