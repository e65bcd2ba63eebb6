//! A call on a socket: what programs at a cgroup get (`struct bpf_sock_addr`,
//! include/uapi/linux/bpf.h, v6.18).
//!
//! The verifier takes loads and stores of single fields only: they are volatile, so that LLVM neither
//! joins nor splits them.

mod family;

use core::ptr::read_volatile;

use aya_ebpf::{
    EbpfContext as _, Global,
    bindings::bpf_sock,
    helpers::generated::{
        bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_probe_read_kernel, bpf_set_retval,
    },
    programs::SockAddrContext,
};
use bridge_ebpf::nobodys;

pub(crate) use self::family::{Family, V4, V6};

/// `AF_INET6` of include/linux/socket.h.
const AF_INET6: u16 = 10;

/// `EADDRINUSE` of include/uapi/asm-generic/errno.h.
const EADDRINUSE: i32 = 98;

/// Cookie of the host's network namespace; bridge-user says it when it loads. The programs run for
/// the sockets of every namespace.
#[unsafe(no_mangle)]
static HOST_COOKIE: Global<u64> = Global::new(0);

/// Whether programs may read the kernel's memory; bridge-user says it when it loads. They may not where
/// the kernel is locked down to keep its secrets, and would not be loaded.
#[unsafe(no_mangle)]
static SOCKETS_READABLE: Global<u8> = Global::new(0);

/// Whether the socket is in the host's network namespace.
#[inline(always)]
pub(crate) fn is_of_host(ctx: &SockAddrContext) -> bool {
    // SAFETY: the kernel passes a valid context and keeps it until the program returns.
    unsafe { bpf_get_netns_cookie(ctx.as_ptr()) == HOST_COOKIE.load() }
}

/// The socket's cookie.
#[inline(always)]
pub(crate) fn socket_cookie(ctx: &SockAddrContext) -> u64 {
    // SAFETY: as in `is_of_host`.
    unsafe { bpf_get_socket_cookie(ctx.as_ptr()) }
}

/// Has the call fail with `EADDRINUSE` if the program refuses it (Linux 5.18).
#[inline(always)]
pub(crate) fn address_in_use() {
    // SAFETY: the helper takes no pointer.
    unsafe { bpf_set_retval(-EADDRINUSE) };
}

/// Whether the socket is bound to an interface.
#[inline(always)]
pub(crate) fn is_bound_to_link(ctx: &SockAddrContext) -> bool {
    // SAFETY: as in `is_of_host`; the socket is valid as long as the context.
    unsafe { read_volatile(&raw const (*socket(ctx)).bound_dev_if) != 0 }
}

/// Whether an IPv6 socket that is about to be bound is for IPv6 alone (`IPV6_V6ONLY`).
///
/// No field of the context tells that. `struct sock` begins with `struct sock_common`, whose first bytes
/// have been the same from before Linux 5.18 to 6.18 (include/net/sock.h): family and state stand
/// before the bit, and say whether they still are.
#[inline(always)]
pub(crate) fn is_ipv6_only(ctx: &SockAddrContext) -> bool {
    const TCP_CLOSE: u8 = 7;
    const IPV6ONLY: u8 = 1 << 5;
    if SOCKETS_READABLE.load() == 0 {
        return false;
    }
    let mut start = [0_u8; 20];
    let size = start.len() as u32;
    // SAFETY: `start` has room for as many bytes; the helper fails where the source is not readable.
    let read =
        unsafe { bpf_probe_read_kernel(start.as_mut_ptr().cast(), size, socket(ctx).cast()) };
    let [.., low, high, state, bits] = start;
    read == 0
        && u16::from_ne_bytes([low, high]) == AF_INET6
        && state == TCP_CLOSE
        && bits & IPV6ONLY != 0
}

/// Binds the socket to the address in the call, if that is the host's; else to none.
///
/// The kernel binds to addresses of its own (`__inet_bind`, net/ipv4/af_inet.c, `__inet6_bind`,
/// net/ipv6/af_inet6.c, v6.18), unless the host or the socket may have any (`ip_nonlocal_bind`, `IP_FREEBIND`,
/// `IP_TRANSPARENT`): so it is asked for one first that no host has. Bound to an IPv6 address, if only for that
/// trial, it is for IPv6 alone from then on (`IPV6_V6ONLY`). A socket that has a port already stays as it is.
#[inline(always)]
pub(crate) fn is_bound_to_host<F: Family>(ctx: &SockAddrContext) -> bool {
    let address = F::address(ctx);
    let nobodys = nobodys(&address);
    if F::bind(ctx, &nobodys.address) {
        F::bind(ctx, &nobodys.unspecified);
        return false;
    }
    F::bind(ctx, &address)
}

#[inline(always)]
fn socket(ctx: &SockAddrContext) -> *const bpf_sock {
    // SAFETY: as in `is_of_host`; no program writes the pointer.
    unsafe { (*ctx.sock_addr).__bindgen_anon_1.sk }
}
