//! A call on a socket: what programs at a cgroup get (`struct bpf_sock_addr`,
//! include/uapi/linux/bpf.h, v6.18).
//!
//! The verifier takes loads and stores of single fields only: they are volatile, so that LLVM neither
//! joins nor splits them.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::{
    EbpfContext as _, Global,
    bindings::bpf_sock,
    helpers::generated::{
        bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_probe_read_kernel, bpf_set_retval,
    },
    programs::SockAddrContext,
};
use bridge_common::{Address, PublishedKey, SocketAddress, mapped};

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
    const AF_INET6: u16 = 10;
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

/// The fields of one family of addresses.
pub(crate) trait Family {
    /// The address in the call.
    fn address(ctx: &SockAddrContext) -> Address;

    /// Puts another address in its place.
    fn set_address(ctx: &SockAddrContext, address: &Address);

    /// The address that the socket is bound to; unspecified where it is to none.
    fn bound(ctx: &SockAddrContext) -> Address;

    /// The source that this one datagram is to have, or else the address that the socket is bound to.
    fn source(ctx: &SockAddrContext) -> Address;

    /// The address and port in the call.
    #[inline(always)]
    fn socket_address(ctx: &SockAddrContext) -> SocketAddress {
        SocketAddress {
            address: Self::address(ctx),
            port: port(ctx),
            reserved: [0; 3],
        }
    }

    /// The address and port in the call, as a key of `PUBLISHED`.
    #[inline(always)]
    fn asked(ctx: &SockAddrContext) -> PublishedKey {
        // SAFETY: as in `is_of_host`.
        let protocol = unsafe { read_volatile(&raw const (*ctx.sock_addr).protocol) };
        PublishedKey {
            address: Self::address(ctx),
            port: port(ctx),
            // The lowest byte of IPPROTO_MPTCP, 262, is TCP's number, and on the wire it is TCP
            // (include/uapi/linux/in.h, v6.18).
            protocol: protocol as u8,
            reserved: [0; 5],
        }
    }

    /// Puts another address and port in the call.
    #[inline(always)]
    fn set(ctx: &SockAddrContext, to: &SocketAddress) {
        Self::set_address(ctx, &to.address);
        let port = u32::from(to.port.to_be());
        // SAFETY: as in `is_of_host`; the field may be written.
        unsafe { write_volatile(&raw mut (*ctx.sock_addr).user_port, port) };
    }
}

/// Calls with an IPv4 address.
pub(crate) struct V4;

/// Calls with an IPv6 address, which may be an IPv4-mapped one.
pub(crate) struct V6;

impl Family for V4 {
    #[inline(always)]
    fn address(ctx: &SockAddrContext) -> Address {
        // SAFETY: as in `is_of_host`.
        ipv4(unsafe { read_volatile(&raw const (*ctx.sock_addr).user_ip4) })
    }

    #[inline(always)]
    fn set_address(ctx: &SockAddrContext, address: &Address) {
        let [.., a, b, c, d] = *address;
        let address = u32::from_ne_bytes([a, b, c, d]);
        // SAFETY: as in `is_of_host`; the field may be written.
        unsafe { write_volatile(&raw mut (*ctx.sock_addr).user_ip4, address) };
    }

    #[inline(always)]
    fn bound(ctx: &SockAddrContext) -> Address {
        // SAFETY: as in `is_bound_to_link`.
        ipv4(unsafe { read_volatile(&raw const (*socket(ctx)).src_ip4) })
    }

    #[inline(always)]
    fn source(ctx: &SockAddrContext) -> Address {
        // SAFETY: as in `is_of_host`.
        ipv4(unsafe { read_volatile(&raw const (*ctx.sock_addr).msg_src_ip4) })
    }
}

impl Family for V6 {
    #[inline(always)]
    fn address(ctx: &SockAddrContext) -> Address {
        // SAFETY: as in `is_of_host`.
        unsafe { ipv6(&raw const (*ctx.sock_addr).user_ip6) }
    }

    #[inline(always)]
    fn set_address(ctx: &SockAddrContext, address: &Address) {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *address;
        let words = [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]];
        // SAFETY: as in `is_of_host`; the field may be written.
        unsafe {
            let field: *mut u32 = (&raw mut (*ctx.sock_addr).user_ip6).cast();
            write_volatile(field, u32::from_ne_bytes(words[0]));
            write_volatile(field.add(1), u32::from_ne_bytes(words[1]));
            write_volatile(field.add(2), u32::from_ne_bytes(words[2]));
            write_volatile(field.add(3), u32::from_ne_bytes(words[3]));
        }
    }

    #[inline(always)]
    fn bound(ctx: &SockAddrContext) -> Address {
        // SAFETY: as in `is_bound_to_link`.
        unsafe { ipv6(&raw const (*socket(ctx)).src_ip6) }
    }

    #[inline(always)]
    fn source(ctx: &SockAddrContext) -> Address {
        // SAFETY: as in `is_of_host`.
        unsafe { ipv6(&raw const (*ctx.sock_addr).msg_src_ip6) }
    }
}

#[inline(always)]
fn socket(ctx: &SockAddrContext) -> *const bpf_sock {
    // SAFETY: as in `is_of_host`; no program writes the pointer.
    unsafe { (*ctx.sock_addr).__bindgen_anon_1.sk }
}

#[inline(always)]
fn port(ctx: &SockAddrContext) -> u16 {
    // SAFETY: as in `is_of_host`.
    let port = unsafe { read_volatile(&raw const (*ctx.sock_addr).user_port) };
    u16::from_be(port as u16)
}

#[inline(always)]
fn ipv4(bytes: u32) -> Address {
    mapped(bytes.to_ne_bytes())
}

/// # Safety
/// The field is one of the context or its socket.
#[inline(always)]
unsafe fn ipv6(field: *const [u32; 4]) -> Address {
    let field: *const u32 = field.cast();
    // SAFETY: the caller's promise: the field has four words.
    let words = unsafe {
        [
            read_volatile(field),
            read_volatile(field.add(1)),
            read_volatile(field.add(2)),
            read_volatile(field.add(3)),
        ]
    };
    let [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]] = words.map(u32::to_ne_bytes);
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}
