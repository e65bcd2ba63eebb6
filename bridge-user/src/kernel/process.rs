//! Processes: which one is meant, whether it still runs, signalling it and waiting for it.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getpgid, getpgrp};

use super::sys;
use crate::model::ProcessId;

/// Signals that are passed on to a command, as Docker's `--sig-proxy` does.
const PASSED_ON: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// A process that is held by a descriptor: whatever takes its number later is not it.
#[derive(Debug)]
pub struct Process {
    fd: OwnedFd,
}

/// The identity of a process, or `None` when it is gone. A zombie is still there.
pub fn identify(pid: u32) -> io::Result<Option<ProcessId>> {
    Ok(stat(pid)?.map(|stat| ProcessId {
        pid,
        start_ticks: stat.start_ticks,
    }))
}

/// The identity of this process.
pub fn identify_self() -> io::Result<ProcessId> {
    identify(std::process::id())?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Whether a process runs, or is stopped; one that only waits for its parent to look at it does not.
pub fn runs(process: ProcessId) -> io::Result<bool> {
    let stat = stat(process.pid)?;
    Ok(stat.is_some_and(|stat| {
        stat.start_ticks == process.start_ticks && !matches!(stat.state, 'Z' | 'X')
    }))
}

/// Inode of a process's namespace, for `kind` net, mnt or uts; `None` where it is gone.
pub fn namespace_inode(pid: u32, kind: &str) -> Option<u64> {
    // A process may end while we look at it.
    let file = fs::metadata(namespace_path(pid, kind));
    file.map(|file| file.ino()).ok()
}

/// The processes in a network and a mount namespace, by their inodes.
pub fn in_namespaces(network: u64, mounts: u64) -> io::Result<Vec<ProcessId>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Identified before it is looked at: what has its number later is another one.
        let process = identify(pid)?;
        let is_in = |kind, inode| namespace_inode(pid, kind) == Some(inode);
        if is_in("net", network) && is_in("mnt", mounts) {
            found.extend(process);
        }
    }
    Ok(found)
}

/// A file of a process's namespace, for `kind` net, mnt or uts.
pub fn namespace_path(pid: u32, kind: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/ns/{kind}"))
}

impl Process {
    /// Holds a process; `None` when it is gone.
    pub fn open(process: ProcessId) -> io::Result<Option<Self>> {
        let fd = match sys::pidfd_open(process.pid) {
            Ok(fd) => fd,
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            Err(e) => return Err(e),
        };
        // Compared after the descriptor is there, so that it cannot be another's.
        Ok((identify(process.pid)? == Some(process)).then_some(Self { fd }))
    }

    /// Sends it a signal; that it has ended meanwhile is no error.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        match sys::pidfd_send_signal(self.fd.as_fd(), signal) {
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            sent => sent,
        }
    }

    /// Its end, to wait for within a tokio runtime.
    pub fn end(self) -> io::Result<impl Future<Output = ()>> {
        let fd = sys::readable(self.fd)?;
        Ok(async move {
            // An error would be the runtime's end.
            let _ = fd.readable().await;
        })
    }

    /// Waits until it has ended, for at most this long; whether it has.
    pub fn wait(&self, longest: Duration) -> io::Result<bool> {
        let timeout = PollTimeout::try_from(longest).unwrap_or(PollTimeout::MAX);
        loop {
            // A descriptor of a process is readable once it has ended (pidfd_open(2)).
            let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, timeout) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The signals that are passed on, kept from this process from here on.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks them; a child that is started from here on unblocks them by [`unblock_signals`].
    pub fn block() -> io::Result<Self> {
        let set: SigSet = PASSED_ON.into_iter().collect();
        set.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&set, flags)?))
    }

    /// Waits for a child and passes signals on to it. One that the terminal sent to its foreground
    /// process group came to the child too, where that is in it: it is not sent twice. SIGHUP for a
    /// terminal that went away comes to the leader of the session alone (`tty_signal_session_leader`,
    /// drivers/tty/tty_jobctrl.c, v6.18).
    ///
    /// Gives what a shell would: the exit code, or 128 and the number of the signal that ended it.
    pub fn wait_for(&self, child: &mut Child) -> io::Result<u8> {
        use std::os::unix::process::ExitStatusExt as _;

        let fd = sys::pidfd_open(child.id())?;
        let process = Process { fd };
        loop {
            let mut fds = [
                PollFd::new(process.fd.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.0.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            while let Some(signal) = self.0.read_signal()? {
                let number = signal.ssi_signo.cast_signed();
                let has_it = signal.ssi_code == libc::SI_KERNEL
                    && number != libc::SIGHUP
                    && is_in_our_group(child.id());
                if !has_it {
                    process.signal(number)?;
                }
            }
            if let Some(status) = child.try_wait()? {
                let code = status.code().or(status.signal().map(|signal| 128 + signal));
                return Ok(u8::try_from(code.unwrap_or(255)).unwrap_or(255));
            }
        }
    }
}

fn is_in_our_group(pid: u32) -> bool {
    let pid = i32::try_from(pid).map(Pid::from_raw);
    pid.is_ok_and(|pid| getpgid(Some(pid)) == Ok(getpgrp()))
}

/// Lets the signals come that [`Signals::block`] keeps away.
pub fn unblock_signals() -> io::Result<()> {
    let set: SigSet = PASSED_ON.into_iter().collect();
    Ok(set.thread_unblock()?)
}

struct Stat {
    state: char,
    start_ticks: u64,
}

/// What /proc/PID/stat says (proc_pid_stat(5)).
fn stat(pid: u32) -> io::Result<Option<Stat>> {
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(libc::ESRCH) => {
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    let odd = || io::Error::other(format!("/proc/{pid}/stat has another form"));
    parse_stat(&text).map(Some).ok_or_else(odd)
}

/// The name of the program, in parentheses, may have any character in it, parentheses too. Behind
/// it come the state, field 3, and the start time, field 22.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        start_ticks: fields.nth(18)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_is_read_whatever_the_program_is_called() {
        let text = "7 (a) Z (b) S 1 7 7 0 -1 4194304 98 0 0 0 0 0 0 0 20 0 1 0 4711 8 9";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.state, stat.start_ticks), ('S', 4711));
        assert!(parse_stat("7 (a").is_none());
    }

    #[test]
    fn this_process_runs_and_another_of_its_number_does_not() {
        let this = identify_self().unwrap();
        assert!(runs(this).unwrap());
        let other = ProcessId {
            start_ticks: this.start_ticks + 1,
            ..this
        };
        assert!(!runs(other).unwrap());
        assert!(Process::open(other).unwrap().is_none());
    }
}
