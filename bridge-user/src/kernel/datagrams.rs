//! Sockets for datagrams at one address, of which each client has one: one whose datagrams come
//! faster than they are read fills its own and no other.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;

use libc::sock_filter;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

use super::sys;

/// Loads that are relative to the network header: `SKF_NET_OFF` (include/uapi/linux/filter.h, v6.18).
const NETWORK_HEADER: u32 = 0xfff0_0000;

/// Binds `count` sockets to an address, which the kernel need not have yet, and has datagrams go to
/// them by the last four bytes of their source address. They do not block.
pub fn bind(address: SocketAddr, count: u32, buffer_bytes: usize) -> io::Result<Vec<UdpSocket>> {
    let mut sockets = Vec::new();
    for _ in 0..count {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_port(true)?;
        if address.is_ipv4() {
            socket.set_freebind_v4(true)?;
        } else {
            socket.set_freebind_v6(true)?;
            socket.set_only_v6(true)?;
        }
        setsockopt(&socket, sockopt::RcvBufForce, &buffer_bytes)?;
        if sockets.is_empty() {
            sys::attach_reuseport_filter(socket.as_fd(), &mut by_source(address, count))?;
        }
        socket.bind(&address.into())?;
        sockets.push(socket.into());
    }
    Ok(sockets)
}

/// `source % count`, as instructions (Documentation/networking/filter.rst, v6.18).
fn by_source(address: SocketAddr, count: u32) -> [sock_filter; 3] {
    // Where the last four bytes of the source address are (RFC 791, 3.1; RFC 8200, 3).
    let offset = if address.is_ipv4() { 12 } else { 8 + 12 };
    let instruction = |code, k| sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    };
    let word = |code: u32| u16::try_from(code).unwrap_or_default();
    [
        instruction(
            word(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS),
            NETWORK_HEADER + offset,
        ),
        instruction(word(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K), count),
        instruction(word(libc::BPF_RET | libc::BPF_A), 0),
    ]
}
