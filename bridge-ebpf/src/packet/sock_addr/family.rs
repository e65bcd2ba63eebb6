//! The fields of a call on a socket by the family of its address.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::{helpers::generated::bpf_bind, programs::SockAddrContext};
use bridge_common::{Address, PublishedKey, SocketAddress, mapped};

use super::{AF_INET6, socket};

/// `AF_INET` of include/linux/socket.h.
const AF_INET: u16 = 2;

/// The fields of one family of addresses.
pub(crate) trait Family {
    /// Binds the socket to an address, and no port yet.
    fn bind(ctx: &SockAddrContext, address: &Address) -> bool;

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
    fn bind(ctx: &SockAddrContext, address: &Address) -> bool {
        let [.., a, b, c, d] = *address;
        // `struct sockaddr_in` of include/uapi/linux/in.h.
        let mut to = [family(AF_INET), u32::from_ne_bytes([a, b, c, d]), 0, 0];
        bind(ctx, &mut to)
    }

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
    fn bind(ctx: &SockAddrContext, address: &Address) -> bool {
        let [a, b, c, d] = words(address);
        // `struct sockaddr_in6` of include/uapi/linux/in6.h.
        bind(ctx, &mut [family(AF_INET6), 0, a, b, c, d, 0])
    }

    #[inline(always)]
    fn address(ctx: &SockAddrContext) -> Address {
        // SAFETY: as in `is_of_host`.
        unsafe { ipv6(&raw const (*ctx.sock_addr).user_ip6) }
    }

    #[inline(always)]
    fn set_address(ctx: &SockAddrContext, address: &Address) {
        let [a, b, c, d] = words(address);
        // SAFETY: as in `is_of_host`; the field may be written.
        unsafe {
            let field: *mut u32 = (&raw mut (*ctx.sock_addr).user_ip6).cast();
            write_volatile(field, a);
            write_volatile(field.add(1), b);
            write_volatile(field.add(2), c);
            write_volatile(field.add(3), d);
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

/// Binds the socket to an address of any family, as words in the order of memory; whether it took it.
#[inline(always)]
fn bind<const WORDS: usize>(ctx: &SockAddrContext, to: &mut [u32; WORDS]) -> bool {
    let size = i32::try_from(size_of_val(to)).unwrap_or_default();
    // SAFETY: as in `is_of_host`; `to` has as many bytes.
    unsafe { bpf_bind(ctx.sock_addr, to.as_mut_ptr().cast(), size) == 0 }
}

/// The first word of an address: its family, and no port.
#[inline(always)]
fn family(family: u16) -> u32 {
    let [low, high] = family.to_ne_bytes();
    u32::from_ne_bytes([low, high, 0, 0])
}

/// The words of an IPv6 address, as they lie in memory.
#[inline(always)]
fn words(address: &Address) -> [u32; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *address;
    [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]].map(u32::from_ne_bytes)
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
