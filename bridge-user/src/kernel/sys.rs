//! The calls that no safe library has: the only `unsafe` code of this crate.
#![allow(unsafe_code, reason = "this module is the fence around unsafe calls")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Cookie of the network namespace that a socket belongs to: `SO_NETNS_COOKIE`, Linux 5.14
/// (include/uapi/asm-generic/socket.h). Never used twice in one boot.
pub(super) fn netns_cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).unwrap_or(8);
    // SAFETY: `cookie` and `length` live through the call, `length` is the size of `cookie`, and
    // the descriptor is open for as long as `socket` borrows it.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(cookie)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Words of the buffer of an `SIOCETHTOOL` call: room for the names of 511 features, the longest
/// answer that we ask for.
pub(super) const ETHTOOL_WORDS: usize = 4096;

/// `SIOCETHTOOL` on an interface of the socket's namespace (include/uapi/linux/ethtool.h, v6.18).
/// The first word of `words` is the command, the rest its argument and the answer.
pub(super) fn ethtool(
    socket: BorrowedFd<'_>,
    interface: &str,
    words: &mut [u32; ETHTOOL_WORDS],
) -> io::Result<i32> {
    // SAFETY: zeroes are a request without a name.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
    // SAFETY: the request and the buffer live through the call, the name ends with a zero, and the
    // kernel writes no more than the names or words of its features: 64 today, a bit each of a word
    // of 64 bits (netdev_features_t, include/linux/netdev_features.h, v6.18).
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// `SO_ATTACH_REUSEPORT_CBPF` (socket(7), Linux 4.5): which socket of a `SO_REUSEPORT` group, in the
/// order of their binding, a datagram goes to.
pub(super) fn attach_reuseport_filter(
    socket: BorrowedFd<'_>,
    filter: &mut [libc::sock_filter],
) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(io::Error::other)?,
        filter: filter.as_mut_ptr(),
    };
    let length = libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).unwrap_or(16);
    // SAFETY: the program and its instructions live through the call, which copies them, and the
    // descriptor is open for as long as `socket` borrows it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What the kernel tells of a link of BPF programs (`struct bpf_link_info`, include/uapi/linux/bpf.h,
/// v6.18), as far as we ask.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct BpfLink {
    kind: u32,
    id: u32,
    /// Id of the program.
    pub(super) program: u32,
    reserved: u32,
    /// Of a link at a cgroup: the cgroup's id; 0 once it is detached.
    pub(super) cgroup: u64,
}

/// What the kernel tells of a pinned link: `BPF_OBJ_GET`, `BPF_OBJ_GET_INFO_BY_FD` (bpf(2), Linux 5.8).
pub(super) fn bpf_link(pin: &Path) -> io::Result<BpfLink> {
    const BPF_OBJ_GET: libc::c_int = 7;
    const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
    let path = CString::new(pin.as_os_str().as_bytes())?;
    // `union bpf_attr` of either command: the path and two numbers; descriptor, length and address.
    let attributes = [path.as_ptr().expose_provenance() as u64, 0];
    let size = size_of_val(&attributes);
    // SAFETY: the attributes and the path live through the call, which reads `size` bytes of them and up to
    // the path's zero.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_OBJ_GET, attributes.as_ptr(), size) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let number = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel made the descriptor for us just now, and nobody else knows it.
    let link = unsafe { OwnedFd::from_raw_fd(number) };
    let mut info = BpfLink::default();
    let length = u32::try_from(size_of::<BpfLink>()).map_err(io::Error::other)?;
    let mut attributes = InfoAttributes {
        fd: link.as_raw_fd(),
        length,
        info: (&raw mut info).expose_provenance() as u64,
    };
    // SAFETY: both live through the call; the kernel writes no more than `length` bytes to `info`, for which
    // all bytes are good, and the length to the attributes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET_INFO_BY_FD,
            &raw mut attributes,
            size_of::<InfoAttributes>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(info)
    }
}

/// The part of `union bpf_attr` for `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct InfoAttributes {
    fd: RawFd,
    length: u32,
    info: u64,
}

/// A descriptor that stands for a process: `pidfd_open(2)`, Linux 5.3.
pub(super) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two numbers and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = RawFd::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel made the descriptor for us just now, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The user namespace that owns a namespace: `NS_GET_USERNS` (ioctl_nsfs(2), Linux 4.9).
pub(super) fn owner_of_namespace(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const NS_GET_USERNS: libc::Ioctl = 0xb701;
    // SAFETY: the descriptor is open for as long as `namespace` borrows it, and the request takes
    // nothing else.
    let fd = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel made the descriptor for us just now, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor that a tokio runtime waits for, until it can be read.
pub(super) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open until it is dropped, and gives the same number all the time.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

/// Sends a signal to the process that a descriptor stands for: `pidfd_send_signal(2)`, Linux 5.1.
pub(super) fn pidfd_send_signal(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open for as long as `process` borrows it, and no information is
    // handed over.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            no_info,
            0,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Closes what the process that started us left open besides standard input, output and error and
/// this descriptor: `close_range(2)`, Linux 5.9.
pub(super) fn close_all_but(kept: RawFd) -> io::Result<()> {
    let kept = libc::c_uint::try_from(kept).map_err(|_| io::ErrorKind::InvalidInput)?;
    let first = 3;
    for (from, to) in [
        (first, kept.saturating_sub(1)),
        (kept + 1, libc::c_uint::MAX),
    ] {
        if from > to {
            continue;
        }
        // SAFETY: a process that calls this does so first of all, and owns no descriptor of its own
        // yet: those that are closed are nobody's in it.
        if unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// What the process that started us left open at this number, for us alone.
pub(super) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the call touches no memory of ours, whatever the number is.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, as the call above found, and its number came by the command line
    // or the environment of a command that takes it once, at its start: nobody else in this process
    // owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
