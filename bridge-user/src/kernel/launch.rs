//! What a command of `run` is started in: its namespaces, and files of its own in /etc.
//!
//! ```text
//! who starts it                            launcher (this program again, then the command)
//!   spawn, a socket left open  ----------->  dies with its parent; namespaces, mounts
//!                              <-- "ready N" (its process id), or "failed CODE REASON"
//!   writes down who N is
//!                              "go" ------>  execs the command: the socket closes
//!                              <-- end, or "failed CODE REASON"
//! ```

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::{set_name, set_pdeathsig};
use nix::sys::signal::Signal;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::sethostname;
use serde::{Deserialize, Serialize};

use super::netns::NetNs;
use super::process::{self, unblock_signals};
use super::sys;

/// Files in /etc that a sandbox has its own of.
pub const ETC_FILES: [&str; 3] = ["hosts", "resolv.conf", "hostname"];

/// Exit code for a command that could not be started, as Docker's.
pub const EXIT_FAILED: u8 = 125;

/// Exit code for a command that is there and cannot be executed.
const EXIT_NOT_EXECUTABLE: u8 = 126;

/// Exit code for a command that is not there.
const EXIT_NOT_FOUND: u8 = 127;

const NONE: Option<&str> = None;

/// What to start a command in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Surroundings {
    /// Its network namespace, unless it stays in this one.
    pub netns: Option<PathBuf>,
    /// The directory of its own files for /etc.
    pub etc: Option<PathBuf>,
    /// Its host name, unless it keeps this one.
    pub hostname: Option<String>,
}

impl Surroundings {
    /// As a word of the launcher's command line; `FromStr` reads it again.
    pub fn to_argument(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)?)
    }
}

impl FromStr for Surroundings {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// A command that could not be started: what to exit with, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct LaunchError {
    /// 125, 126 or 127, as Docker has them.
    pub code: u8,
    /// In the words of a user.
    pub reason: String,
}

/// The end of the socket that tells a launcher what to do.
#[derive(Debug)]
pub struct Launch(BufReader<UnixStream>);

impl Launch {
    /// A socket: this end, and the launcher's.
    pub fn socket() -> io::Result<(Self, UnixStream)> {
        let (here, there) = UnixStream::pair()?;
        Ok((Self(BufReader::new(here)), there))
    }

    /// Waits until everything but the command is there; gives the process's number.
    pub fn ready(&mut self) -> Result<u32, LaunchError> {
        let line = self.line()?;
        let pid = line.strip_prefix("ready ").and_then(|pid| pid.parse().ok());
        pid.ok_or_else(|| failure(&line))
    }

    /// Has the command executed, and waits until it is.
    pub fn go(mut self) -> Result<(), LaunchError> {
        // A launcher that is gone says so by the end of its socket, too.
        let _ = self.0.get_mut().write_all(b"go\n");
        match self.line()?.as_str() {
            "" => Ok(()),
            line => Err(failure(line)),
        }
    }

    fn line(&mut self) -> Result<String, LaunchError> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line);
        read.map_err(|e| failed(format!("failed to hear from the launcher: {e}")))?;
        Ok(line.trim_end().to_owned())
    }
}

/// What this program is called when it is to be the keeper of a run.
pub const KEEPER: &str = "bridge-user-keeper";

/// What this program is called when it is to become the command of a run.
pub const LAUNCHER: &str = "bridge-user-launcher";

/// This program once more, by a name that says what it is to be.
pub fn this_program(name: &str) -> Command {
    // The link leads to this very program, also where its file was replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg0(name);
    command
}

/// Calls this process so where `ps` and `top` show names.
pub fn be_called(name: &std::ffi::CStr) {
    // A name is nothing to fail for.
    let _ = set_name(name);
}

/// The socket that was left open for this process at this number.
pub fn inherited(socket: i32) -> io::Result<UnixStream> {
    sys::inherited(socket).map(UnixStream::from)
}

/// The same for a process that outlives the one that started it: nothing else of that stays open, which
/// could be a pipe that somebody reads to its end, or a lock.
pub fn inherited_alone(socket: i32) -> io::Result<UnixStream> {
    sys::close_all_but(socket)?;
    inherited(socket)
}

/// Leaves a socket open for the next process that is started; gives its number.
pub fn leave_open(socket: &UnixStream) -> io::Result<i32> {
    fcntl(socket, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(socket.as_raw_fd())
}

/// The launcher: makes this process be in its surroundings, and executes the command when told to.
/// Comes back only when it cannot, and the other end of the socket knows why.
pub fn launch(mut socket: UnixStream, surroundings: &Surroundings, command: &[OsString]) -> u8 {
    let error = match prepare(&mut socket, surroundings) {
        Ok(()) => execute(command),
        Err(error) => error,
    };
    // Nobody is left to tell where the other end is gone.
    let _ = writeln!(socket, "failed {} {}", error.code, error.reason);
    error.code
}

/// Executes a command where a process is: in its mount and UTS namespace, and in `network`, where that is
/// not the host's. Comes back only when it cannot.
///
/// A process without privileges may go to a user namespace of its own, and have mounts there: what it
/// shows there as a program is not executed with our privileges.
pub fn execute_in(
    network: Option<&NetNs>,
    pid: u32,
    still: impl FnOnce() -> bool,
    command: &[OsString],
) -> LaunchError {
    let enter = || -> io::Result<()> {
        let directory = std::env::current_dir();
        let kinds = [
            ("uts", CloneFlags::CLONE_NEWUTS),
            ("mnt", CloneFlags::CLONE_NEWNS),
        ];
        let open = |(kind, flag)| Ok((File::open(process::namespace_path(pid, kind))?, flag));
        let files: Vec<(File, CloneFlags)> =
            kinds.into_iter().map(open).collect::<io::Result<_>>()?;
        if !still() {
            return Err(io::Error::other("it has just ended"));
        }
        for (file, _) in &files {
            check_owner(file)?;
        }
        if let Some(network) = network {
            setns(network, CloneFlags::CLONE_NEWNET)?;
        }
        for (file, flag) in &files {
            setns(file, *flag)?;
        }
        // A mount namespace is entered at its root.
        if let Ok(directory) = directory {
            let _ = std::env::set_current_dir(directory);
        }
        Ok(())
    };
    match enter() {
        Ok(()) => execute(command),
        Err(e) => failed(format!("failed to enter its namespaces: {e}")),
    }
}

fn check_owner(namespace: &File) -> io::Result<()> {
    let owner = File::from(sys::owner_of_namespace(namespace.as_fd())?).metadata()?;
    let own = std::fs::metadata("/proc/self/ns/user")?;
    if (owner.dev(), owner.ino()) == (own.dev(), own.ino()) {
        Ok(())
    } else {
        Err(io::Error::other("it went to a user namespace of its own"))
    }
}

fn prepare(socket: &mut UnixStream, surroundings: &Surroundings) -> Result<(), LaunchError> {
    let action = |what: &'static str| move |e: nix::Error| failed(format!("failed to {what}: {e}"));
    // Until the command runs, and somebody knows that it does, nothing of it is left behind.
    set_pdeathsig(Signal::SIGKILL).map_err(action("follow the parent"))?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)
        .map_err(action("make namespaces"))?;
    if let Some(hostname) = &surroundings.hostname {
        sethostname(hostname).map_err(action("set the host name"))?;
    }
    let recursive = MsFlags::MS_SLAVE | MsFlags::MS_REC;
    mount(NONE, "/", NONE, recursive, NONE).map_err(action("make mounts private"))?;
    if let Some(netns) = &surroundings.netns {
        enter_network(netns)?;
    }
    if let Some(etc) = &surroundings.etc {
        bind_files(etc)?;
    }
    unblock_signals().map_err(|e| failed(format!("failed to let signals come: {e}")))?;
    let told = writeln!(socket, "ready {}", std::process::id());
    let mut answer = String::new();
    let go = told.and_then(|()| BufReader::new(&*socket).read_line(&mut answer));
    if go.is_err() || answer != "go\n" {
        return Err(failed("the command that started it ended".into()));
    }
    set_pdeathsig(None).map_err(action("let the parent go"))
}

/// The network namespace, with a /sys that shows it, as `ip netns exec` does (`netns_switch`,
/// lib/namespace.c, iproute2 v6.1).
fn enter_network(netns: &Path) -> Result<(), LaunchError> {
    let action = |what: &'static str| {
        let netns = netns.display().to_string();
        move |e: io::Error| failed(format!("failed to {what} {netns}: {e}"))
    };
    let file = File::open(netns).map_err(action("open"))?;
    setns(&file, CloneFlags::CLONE_NEWNET).map_err(|e| action("enter")(e.into()))?;
    let read_only = statvfs("/sys").is_ok_and(|sys| sys.flags().contains(FsFlags::ST_RDONLY));
    // There may be none.
    let _ = umount2("/sys", MntFlags::MNT_DETACH);
    let flags = if read_only {
        MsFlags::MS_RDONLY
    } else {
        MsFlags::empty()
    };
    mount(Some("sysfs"), "/sys", Some("sysfs"), flags, NONE)
        .map_err(|e| failed(format!("failed to mount /sys: {e}")))
}

fn bind_files(etc: &Path) -> Result<(), LaunchError> {
    for name in ETC_FILES {
        let (from, to) = (etc.join(name), Path::new("/etc").join(name));
        match mount(Some(&from), &to, NONE, MsFlags::MS_BIND, NONE) {
            Ok(()) => {}
            // The machine has no such file to mount over, as for `ip netns exec`.
            Err(nix::Error::ENOENT) if !to.exists() && from.exists() => {
                tracing::warn!("warning: {} is not there to be replaced", to.display());
            }
            Err(e) => {
                let to = to.display();
                return Err(failed(format!(
                    "failed to mount {} on {to}: {e}",
                    from.display()
                )));
            }
        }
    }
    Ok(())
}

/// Comes back only when the command cannot be executed.
fn execute(command: &[OsString]) -> LaunchError {
    let Some((program, arguments)) = command.split_first() else {
        return failed("no command is given".into());
    };
    let error = Command::new(program).args(arguments).exec();
    let code = match error.kind() {
        io::ErrorKind::NotFound => EXIT_NOT_FOUND,
        _ => EXIT_NOT_EXECUTABLE,
    };
    LaunchError {
        code,
        reason: format!("failed to execute {}: {error}", program.display()),
    }
}

fn failed(reason: String) -> LaunchError {
    LaunchError {
        code: EXIT_FAILED,
        reason,
    }
}

/// What a launcher said instead of what it was asked for.
fn failure(line: &str) -> LaunchError {
    let told = line.strip_prefix("failed ").and_then(|rest| {
        let (code, reason) = rest.split_once(' ')?;
        Some(LaunchError {
            code: code.parse().ok()?,
            reason: reason.to_owned(),
        })
    });
    told.unwrap_or_else(|| failed("the launcher ended before it could say why".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launcher_says_why_it_cannot() {
        let error = failure("failed 127 failed to execute x: no such file");
        assert_eq!(
            (error.code, error.reason.as_str()),
            (127, "failed to execute x: no such file")
        );
        assert_eq!(failure("").code, EXIT_FAILED);
    }

    #[test]
    fn exit_codes_are_dockers() {
        for (program, code) in [("/nonexistent", 127), ("/etc", 126)] {
            assert_eq!(execute(&[program.into()]).code, code, "{program}");
        }
    }
}
