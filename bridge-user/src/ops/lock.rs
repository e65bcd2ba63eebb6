//! Who is at work on what: advisory locks that end with their holder, however it ends.
//!
//! One file, one byte of it an object (open file description locks, fcntl(2), Linux 3.15). A row
//! that is `creating` or `deleting` while nobody holds its object's lock is what a crash left.
//!
//! ```text
//! order of taking:  state  ->  network | sandbox  ->  names | shared
//! ```
//! A command that connects holds the sandbox, not the network: a network goes only when no
//! endpoint's row refers to it, and the transactions see to that. Every command shares the state
//! with the others, but for the one that removes it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use super::Error;
use super::file::failed;
use crate::model::Id;

/// A lock that is held until it is dropped or the process ends.
#[derive(Debug)]
#[must_use]
pub(super) struct Lock {
    file: File,
}

/// What a lock is on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Object<'a> {
    /// The state as a whole.
    State,
    /// The hosts files of all sandboxes.
    Names,
    /// The place where the program leaves a decision.
    Decision,
    /// The ring buffer of events.
    Events,
    /// What all networks share: pins and nft table.
    Shared,
    /// One network or sandbox: their ids are random, so one space serves both.
    Id(&'a Id),
}

impl Object<'_> {
    /// The object's byte. Ids hash to 60 bits; two that clashed would only wait for each other.
    fn offset(self) -> i64 {
        match self {
            Self::State => 0,
            Self::Names => 1,
            Self::Shared => 2,
            Self::Decision => 3,
            Self::Events => 4,
            Self::Id(id) => 5 + i64::from_str_radix(&id.as_str()[..15], 16).unwrap_or_default(),
        }
    }
}

/// The lock file of a state directory.
#[derive(Debug)]
pub(super) struct LockFile {
    path: PathBuf,
    create: bool,
}

impl LockFile {
    pub(super) fn new(state_directory: &Path) -> Self {
        Self {
            path: state_directory.join("lock"),
            create: true,
        }
    }

    /// The one of a state that is there, and is not made where it is not.
    pub(super) fn existing(state_directory: &Path) -> Self {
        Self {
            create: false,
            ..Self::new(state_directory)
        }
    }

    /// What an error with it is called.
    pub(super) fn failed(&self) -> impl FnOnce(io::Error) -> Error {
        failed("lock", &self.path)
    }

    /// Waits until nobody else holds the object, and holds it alone.
    pub(super) fn exclusive(&self, object: Object<'_>) -> io::Result<Lock> {
        self.lock(object, libc::F_WRLCK, true)
    }

    /// Holds the state: with others, or `alone`, for who removes it and the lock file with it.
    pub(super) fn state(&self, alone: bool) -> io::Result<Lock> {
        let kind = if alone { libc::F_WRLCK } else { libc::F_RDLCK };
        loop {
            let lock = self.lock(Object::State, kind, true)?;
            // While we waited, the file may have become another one.
            let held = lock.file.metadata()?.ino();
            if std::fs::metadata(&self.path).is_ok_and(|file| file.ino() == held) {
                return Ok(lock);
            }
        }
    }

    /// Holds the object alone, or `None` when somebody is at work on it.
    pub(super) fn try_exclusive(&self, object: Object<'_>) -> io::Result<Option<Lock>> {
        match self.lock(object, libc::F_WRLCK, false) {
            Ok(lock) => Ok(Some(lock)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn lock(&self, object: Object<'_>, kind: libc::c_int, wait: bool) -> io::Result<Lock> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(self.create)
            .truncate(false)
            .mode(0o600);
        let file = file.open(&self.path)?;
        let flock = libc::flock {
            l_type: i16::try_from(kind).unwrap_or_default(),
            l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
            l_start: object.offset(),
            l_len: 1,
            l_pid: 0,
        };
        loop {
            let arg = if wait {
                FcntlArg::F_OFD_SETLKW(&flock)
            } else {
                FcntlArg::F_OFD_SETLK(&flock)
            };
            match fcntl(&file, arg) {
                Ok(_) => return Ok(Lock { file }),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_alone_and_lets_go() {
        let directory =
            std::env::temp_dir().join(format!("bridge-user-lock-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let locks = LockFile::new(&directory);
        let (a, b) = (Id::from_bytes([1; 32]), Id::from_bytes([2; 32]));
        let held = locks.exclusive(Object::Id(&a)).unwrap();
        assert!(locks.try_exclusive(Object::Id(&a)).unwrap().is_none());
        assert!(locks.try_exclusive(Object::Id(&b)).unwrap().is_some());
        drop(held);
        assert!(locks.try_exclusive(Object::Id(&a)).unwrap().is_some());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
