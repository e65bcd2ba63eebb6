//! The calls that no safe library has: the only `unsafe` code of this crate.
#![allow(unsafe_code, reason = "this module is the fence around unsafe calls")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

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
