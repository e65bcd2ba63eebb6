//! Network namespaces: opening, making, naming and entering them.
//!
//! A namespace is entered only on a thread that ends right after, so that no other code ever runs
//! in the wrong one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

use super::netlink::Netlink;
use super::{netlink, sys};
use crate::fault;
use crate::model::NETNS_DIR;

/// A network namespace that is kept alive by an open file.
#[derive(Debug)]
pub struct NetNs {
    file: File,
    id: NetNsId,
}

/// What tells one namespace from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetNsId {
    /// `SO_NETNS_COOKIE`: never used twice in one boot.
    pub cookie: u64,
    /// Inode of the namespace file: unique only while the namespace lives.
    pub inode: u64,
}

/// Why a namespace cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NetNsError {
    /// No such file or process.
    #[error("there is no network namespace at {path}")]
    NotFound {
        /// The namespace file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{path} is not a network namespace")]
    NotNamespace {
        /// The file.
        path: PathBuf,
    },
    /// Another namespace, or a file, has the name.
    #[error("{path} is there already")]
    NameTaken {
        /// The namespace file.
        path: PathBuf,
    },
    /// A call failed.
    #[error("failed to {action} {path}")]
    Call {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl NetNs {
    /// `SO_NETNS_COOKIE` of the namespace that this process is in.
    pub fn host_cookie() -> Result<u64, NetNsError> {
        let path = Path::new("/proc/thread-self/ns/net");
        own_cookie().map_err(failed("examine", path))
    }

    /// The namespace behind a file: a bind mount or a link in /proc.
    pub fn open(path: &Path) -> Result<Self, NetNsError> {
        // Without O_NONBLOCK a FIFO would keep us waiting.
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path);
        let file = opened.map_err(|source| match source.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR | libc::ESRCH) => {
                NetNsError::NotFound { path: path.into() }
            }
            _ => failed("open", path)(source),
        })?;
        let on_nsfs = fstatfs(&file).is_ok_and(|fs| fs.filesystem_type() == NSFS_MAGIC);
        if !on_nsfs {
            return Err(NetNsError::NotNamespace { path: path.into() });
        }
        Self::of(file, path)
    }

    /// A new namespace without a name, its loopback interface up. It ends with this value, unless
    /// it is bound to a name before.
    pub fn create() -> Result<Self, NetNsError> {
        let path = Path::new("/proc/thread-self/ns/net");
        let file = on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open(path)
        });
        let namespace = Self::of(file.map_err(failed("create", path))?, path)?;
        let loopback = || {
            let mut inside = Netlink::open_in(&namespace)?;
            let index = netlink::existing_link(&mut inside, "lo")?.index;
            netlink::set_up(&mut inside, index)
        };
        loopback().map_err(|e| failed("set up lo in", path)(io::Error::other(e)))?;
        Ok(namespace)
    }

    fn of(file: File, path: &Path) -> Result<Self, NetNsError> {
        let inode = file.metadata().map_err(failed("examine", path))?.ino();
        let cookie = on_thread(|| {
            setns(&file, CloneFlags::CLONE_NEWNET)?;
            own_cookie()
        });
        let cookie = cookie.map_err(|source| match source.raw_os_error() {
            // A namespace of another kind.
            Some(libc::EINVAL) => NetNsError::NotNamespace { path: path.into() },
            _ => failed("enter", path)(source),
        })?;
        Ok(Self {
            file,
            id: NetNsId { cookie, inode },
        })
    }

    /// What tells the namespace from others.
    pub fn id(&self) -> NetNsId {
        self.id
    }

    /// Runs `work` inside, on a thread of its own. Sockets that it opens stay inside.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_thread(|| {
            setns(&self.file, CloneFlags::CLONE_NEWNET)?;
            work()
        })
    }

    /// Gives the namespace a name under /run/netns, as `ip netns attach NAME`.
    pub fn bind(&self, name: &str) -> Result<(), NetNsError> {
        tracing::info!("ip netns add {name}");
        ensure_netns_dir()?;
        let path = Path::new(NETNS_DIR).join(name);
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o444)
            .open(&path);
        made.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => NetNsError::NameTaken { path: path.clone() },
            _ => failed("create", &path)(source),
        })?;
        fault::step();
        let source = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let bound = mount(Some(source.as_str()), &path, NONE, MsFlags::MS_BIND, NONE);
        bound.map_err(|errno| {
            let _ = fs::remove_file(&path);
            failed("bind a namespace to", &path)(errno.into())
        })
    }

    /// Takes the name away, if it is still that of the namespace with this cookie, or an empty
    /// file that a crash left before anything was bound to it. As `ip netns delete NAME`.
    pub fn ensure_name_absent(name: &str, cookie: u64) -> Result<(), NetNsError> {
        let path = Path::new(NETNS_DIR).join(name);
        match Self::open(&path) {
            Ok(namespace) if namespace.id.cookie == cookie => {
                umount2(&path, MntFlags::MNT_DETACH)
                    .map_err(|errno| failed("unmount", &path)(errno.into()))?;
                fault::step();
            }
            Ok(_) | Err(NetNsError::NotFound { .. }) => return Ok(()),
            Err(NetNsError::NotNamespace { .. }) => {
                let file = fs::symlink_metadata(&path).map_err(failed("examine", &path))?;
                if !file.is_file() || file.len() > 0 {
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &path)(source))
            }
            _ => Ok(()),
        }
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Identity of the running kernel's boot: /proc/sys/kernel/random/boot_id.
pub fn boot_id() -> Result<String, NetNsError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let text = fs::read_to_string(path).map_err(failed("read", path))?;
    Ok(text.trim().to_owned())
}

/// Whether a process is in, or a mount of this process's mount namespace is on, the network
/// namespace with this inode.
pub fn held(inode: u64) -> Result<bool, NetNsError> {
    let target = format!("net:[{inode}]");
    let mounts = Path::new("/proc/self/mountinfo");
    let mounted = fs::read_to_string(mounts).map_err(failed("read", mounts))?;
    if mounted
        .lines()
        .any(|line| line.split(' ').nth(3) == Some(target.as_str()))
    {
        return Ok(true);
    }
    let proc = Path::new("/proc");
    for entry in fs::read_dir(proc).map_err(failed("read", proc))?.flatten() {
        let numeric = entry
            .file_name()
            .to_str()
            .is_some_and(|n| n.parse::<u32>().is_ok());
        // A process may end while we look at it.
        if numeric && fs::read_link(entry.path().join("ns/net")).is_ok_and(|l| l == *target) {
            return Ok(true);
        }
    }
    Ok(false)
}

const NONE: Option<&str> = None;

/// Makes /run/netns, shared with other mount namespaces so that names made here are seen there,
/// as ip-netns(8) does (`create_netns_dir`, ip/ipnetns.c, iproute2 v6.1).
fn ensure_netns_dir() -> Result<(), NetNsError> {
    let path = Path::new(NETNS_DIR);
    fs::create_dir_all(path).map_err(failed("create", path))?;
    let share = || mount(NONE, path, NONE, MsFlags::MS_SHARED | MsFlags::MS_REC, NONE);
    let shared = match share() {
        // Not a mount point yet: make it one of itself.
        Err(Errno::EINVAL) => mount(
            Some(path),
            path,
            NONE,
            MsFlags::MS_BIND | MsFlags::MS_REC,
            NONE,
        )
        .and_then(|()| share()),
        shared => shared,
    };
    shared.map_err(|errno| failed("share", path)(errno.into()))
}

/// The cookie of this thread's namespace.
fn own_cookie() -> io::Result<u64> {
    sys::netns_cookie(UnixDatagram::unbound()?.as_fd())
}

fn on_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(
        |scope| match thread::Builder::new().spawn_scoped(scope, work) {
            Ok(thread) => thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked"))),
            Err(error) => Err(error),
        },
    )
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NetNsError {
    let path = path.to_owned();
    move |source| NetNsError::Call {
        action,
        path,
        source,
    }
}
