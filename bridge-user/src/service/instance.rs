//! One daemon a host: a lock that ends with its holder, and the holder's process id beside it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};

use super::ServiceError;

/// What the daemon has while it runs; root's alone.
const DIRECTORY: &str = "/run/bridge-user";
const LOCK: &str = "/run/bridge-user/daemon.lock";

/// The right to be the daemon of this host, until it is dropped or the process ends.
#[derive(Debug)]
#[must_use]
pub struct Instance {
    _lock: File,
}

impl Instance {
    /// Becomes the daemon, or says which process is.
    pub fn become_it() -> Result<Self, ServiceError> {
        let failed = |action, path: &str| {
            let path = path.into();
            move |source| ServiceError::File {
                action,
                path,
                source,
            }
        };
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(DIRECTORY);
        made.map_err(failed("create", DIRECTORY))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options
            .mode(0o600)
            .open(LOCK)
            .map_err(failed("open", LOCK))?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
            Ok(_) => {}
            Err(errno) if io::Error::from(errno).kind() == io::ErrorKind::WouldBlock => {
                return Err(ServiceError::Running(holder()));
            }
            Err(errno) => return Err(failed("lock", LOCK)(errno.into())),
        }
        let mut name_it = || {
            file.set_len(0)?;
            writeln!(file, "{}", std::process::id())
        };
        name_it().map_err(failed("write", LOCK))?;
        Ok(Self { _lock: file })
    }
}

/// The process id of this host's daemon, where there is one. Asking holds nothing: a daemon that
/// starts meanwhile does start.
pub fn running() -> Option<String> {
    let file = File::open(Path::new(LOCK)).ok()?;
    let mut lock = whole_file(libc::F_WRLCK);
    let asked = fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock));
    (asked.is_ok() && lock.l_type != short(libc::F_UNLCK)).then(holder)
}

fn holder() -> String {
    fs::read_to_string(LOCK)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn whole_file(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: short(kind),
        l_whence: short(libc::SEEK_SET),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn short(constant: libc::c_int) -> i16 {
    i16::try_from(constant).unwrap_or_default()
}
