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
