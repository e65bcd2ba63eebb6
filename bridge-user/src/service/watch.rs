//! What wakes the daemon: links that go, ways outside that change, a table that changes, namespaces that
//! come, a state that changes.

use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::ServiceError;
use crate::kernel::files::FileWatch;
use crate::kernel::netlink::{LinkEvent, LinkWatch};
use crate::kernel::nft::TableWatch;
use crate::model::NETNS_DIR;

/// How long after the first event we look: what dies together is then found at once.
const SETTLE: Duration = Duration::from_millis(50);

/// How long after a look we look again: a command may have been at work on what died.
const AGAIN: Duration = Duration::from_secs(1);

/// Names what an event is about.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    /// Something may have died, or come back.
    pub(super) sweep: Notify,
    /// The state or the bridges may have changed.
    pub(super) refresh: Notify,
    /// Files of the host changed.
    pub(super) follow: Notify,
}

/// The kernel's sources of events.
#[derive(Debug)]
struct Events {
    links: LinkWatch,
    table: TableWatch,
    files: FileWatch,
    state_directory: PathBuf,
}

/// Passes the kernel's events on, on a thread that waits for them until the process ends.
pub(super) fn pass_on_events(
    state_directory: &Path,
    wakes: Arc<Wakes>,
) -> Result<(), ServiceError> {
    let mut events = Events {
        links: LinkWatch::open()?,
        table: TableWatch::open().map_err(ServiceError::Start)?,
        files: FileWatch::new().map_err(ServiceError::Start)?,
        state_directory: state_directory.into(),
    };
    events.watch_directories();
    let pass_on = move || {
        loop {
            if let Err(error) = events.pass_on(&wakes) {
                tracing::error!("failed to read the kernel's events: {error}");
                // What may have been missed meanwhile is looked for.
                wakes.sweep.notify_one();
                wakes.refresh.notify_one();
                thread::sleep(AGAIN);
            }
        }
    };
    let thread = thread::Builder::new().name("events".into());
    thread.spawn(pass_on).map(drop).map_err(ServiceError::Start)
}

impl Events {
    /// Directories that are not there yet are tried again with every event of the links: what
    /// makes one makes links too.
    fn watch_directories(&mut self) {
        self.files.ensure(Path::new(NETNS_DIR));
        self.files.ensure(&self.state_directory);
    }

    /// Waits for the next events and passes them on.
    fn pass_on(&mut self, wakes: &Wakes) -> io::Result<()> {
        let waiting = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let fds = [self.links.as_fd(), self.table.as_fd(), self.files.as_fd()];
        let mut fds = fds.map(waiting);
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        while let Some(event) = waited_for(self.links.event())? {
            match event {
                LinkEvent::Gone | LinkEvent::Outside | LinkEvent::Lost => wakes.sweep.notify_one(),
                LinkEvent::Changed => {}
                LinkEvent::Route => continue,
            }
            wakes.refresh.notify_one();
            self.watch_directories();
        }
        while let Some(changed) = waited_for(self.table.changed())? {
            if changed {
                wakes.sweep.notify_one();
            }
        }
        while let Some(touched) = waited_for(self.files.touched())? {
            if touched.iter().any(|path| **path == *self.state_directory) {
                wakes.refresh.notify_one();
            }
            if touched.iter().any(|path| **path == *Path::new(NETNS_DIR)) {
                wakes.sweep.notify_one();
            }
        }
        Ok(())
    }
}

/// `None` when nothing is left to read.
fn waited_for<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
        read => read.map(Some),
    }
}

/// Follows the host's files when it is wanted, on a thread where that may block.
pub(super) async fn follow_when_wanted(wakes: &Wakes, follow: Arc<dyn Fn() + Send + Sync>) {
    loop {
        wakes.follow.notified().await;
        // Who writes a file does so in pieces.
        sleep(SETTLE).await;
        let follow = Arc::clone(&follow);
        if let Err(error) = tokio::task::spawn_blocking(move || follow()).await {
            tracing::error!("following the host's files was cut off: {error}");
        }
    }
}

/// Sweeps when it is wanted, one sweep at a time, on a thread where it may block.
pub(super) async fn sweep_when_wanted(wakes: &Wakes, sweep: Arc<dyn Fn() + Send + Sync>) {
    let run = || {
        let sweep = Arc::clone(&sweep);
        tokio::task::spawn_blocking(move || sweep())
    };
    loop {
        wakes.sweep.notified().await;
        loop {
            sleep(SETTLE).await;
            if let Err(error) = run().await {
                tracing::error!("a sweep was cut off: {error}");
            }
            // What comes while we wait is looked at without waiting longer.
            if timeout(AGAIN, wakes.sweep.notified()).await.is_err() {
                break;
            }
        }
        if let Err(error) = run().await {
            tracing::error!("a sweep was cut off: {error}");
        }
    }
}
