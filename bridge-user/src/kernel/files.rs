//! Changes of files: in a directory by inotify(7), of one by what stat(2) says of it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// What tells a file from another of its name, and from itself before a change: inode, size, time of
/// change. Of a symbolic link, it is that of the file that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(u64, u64, i64, i64);

impl Stamp {
    /// `None` where there is no such file.
    pub fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self(
            file.ino(),
            file.size(),
            file.ctime(),
            file.ctime_nsec(),
        ))
    }
}

/// Hears of files in directories that come, change and go; it never blocks.
#[derive(Debug)]
pub struct FileWatch {
    inotify: Inotify,
    watched: Vec<(Box<Path>, WatchDescriptor)>,
}

impl FileWatch {
    /// Watches nothing yet.
    pub fn new() -> io::Result<Self> {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        Ok(Self {
            inotify: Inotify::init(flags)?,
            watched: Vec::new(),
        })
    }

    /// Makes a directory be watched; one that is not there yet is tried again by the next call.
    pub fn ensure(&mut self, directory: &Path) {
        if self.watched.iter().any(|(path, _)| **path == *directory) {
            return;
        }
        let what = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ONLYDIR;
        if let Ok(descriptor) = self.inotify.add_watch(directory, what) {
            self.watched.push((directory.into(), descriptor));
        }
    }

    /// The directories that something happened in.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing did.
    pub fn touched(&mut self) -> io::Result<Vec<Box<Path>>> {
        let events = self.inotify.read_events().map_err(|errno| match errno {
            Errno::EAGAIN => io::ErrorKind::WouldBlock.into(),
            errno => io::Error::from(errno),
        })?;
        let mut touched = Vec::new();
        for event in events {
            let at = self.watched.iter().position(|(_, wd)| *wd == event.wd);
            let Some(at) = at else { continue };
            // The directory itself went: one that comes in its place is another.
            let path = if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                self.watched.remove(at).0
            } else {
                self.watched[at].0.clone()
            };
            if !touched.contains(&path) {
                touched.push(path);
            }
        }
        Ok(touched)
    }
}

impl AsFd for FileWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
