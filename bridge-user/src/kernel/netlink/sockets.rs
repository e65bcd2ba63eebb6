//! sock_diag(7): sockets of the host that are connected to an address, and their end. As `ss -K`.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable,
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::Netlink;

/// `SOCK_DIAG_BY_FAMILY` and `SOCK_DESTROY` (include/uapi/linux/sock_diag.h, v6.18).
const BY_FAMILY: u16 = 20;
const DESTROY: u16 = 21;

/// States of sockets that have a peer (include/net/tcp_states.h, v6.18) as bits: all but `TIME_WAIT`,
/// `CLOSE` and those of servers. UDP has the first alone.
const CONNECTED: u32 = {
    let [
        established,
        syn_sent,
        fin_wait1,
        fin_wait2,
        close_wait,
        last_ack,
        closing,
    ] = [1, 2, 4, 5, 8, 9, 11];
    1 << established
        | 1 << syn_sent
        | 1 << fin_wait1
        | 1 << fin_wait2
        | 1 << close_wait
        | 1 << last_ack
        | 1 << closing
};

/// `sizeof(struct inet_diag_sockid)` (include/uapi/linux/inet_diag.h, v6.18): two ports, two addresses of
/// 16 bytes, in network byte order; the interface's index and two words of a cookie.
const ID_BYTES: usize = 48;
/// What is before it in `struct inet_diag_req_v2`, and in `struct inet_diag_msg`.
const REQUEST_HEADER: usize = 8;
const ANSWER_HEADER: usize = 4;

/// A socket, by what the kernel knows it by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SocketId {
    family: u8,
    id: [u8; ID_BYTES],
}

impl SocketId {
    /// The other end of its connection.
    fn peer(&self) -> SocketAddr {
        let mut port = [0; 2];
        let mut address = [0; 16];
        port.copy_from_slice(&self.id[2..4]);
        address.copy_from_slice(&self.id[20..36]);
        let [a, b, c, d, ..] = address;
        let address = if i32::from(self.family) == libc::AF_INET {
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        } else {
            Ipv6Addr::from(address).to_canonical()
        };
        SocketAddr::new(address, u16::from_be_bytes(port))
    }
}

/// Ends the sockets of this namespace that are connected to one of these: the next call on each fails
/// with `ECONNABORTED`. `protocol` is IP's number of TCP or UDP.
///
/// # Errors
///
/// `EOPNOTSUPP` or `ENOENT` where the kernel cannot (CONFIG_INET_DIAG_DESTROY, the modules tcp_diag and
/// udp_diag).
pub fn end_connected(protocol: u8, peers: &[SocketAddr]) -> io::Result<()> {
    let mut netlink = Netlink::connect(NETLINK_SOCK_DIAG)?;
    for family in [libc::AF_INET, libc::AF_INET6] {
        let family = u8::try_from(family).map_err(io::Error::other)?;
        let all = Message::request(BY_FAMILY, protocol, family, [0; ID_BYTES]);
        for answer in netlink.dump(&all)? {
            let Some(socket) = answer.socket() else {
                continue;
            };
            if !peers.contains(&socket.peer()) {
                continue;
            }
            tracing::info!("ss -K dst {} (protocol {protocol})", socket.peer());
            let end = Message::request(DESTROY, protocol, socket.family, socket.id);
            match netlink.exchange(end, NLM_F_REQUEST | NLM_F_ACK) {
                // It ended meanwhile.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                ended => drop(ended?),
            }
        }
    }
    Ok(())
}

/// A message of this protocol: a request, or the answer to one.
#[derive(Debug, Clone)]
struct Message {
    kind: u16,
    bytes: Vec<u8>,
}

impl Message {
    /// `struct inet_diag_req_v2`.
    fn request(kind: u16, protocol: u8, family: u8, id: [u8; ID_BYTES]) -> Self {
        let mut bytes = Vec::with_capacity(REQUEST_HEADER + ID_BYTES);
        bytes.extend([family, protocol, 0, 0]);
        bytes.extend(CONNECTED.to_ne_bytes());
        bytes.extend(id);
        Self { kind, bytes }
    }

    /// The socket that an answer is about (`struct inet_diag_msg`).
    fn socket(&self) -> Option<SocketId> {
        let id = self.bytes.get(ANSWER_HEADER..ANSWER_HEADER + ID_BYTES)?;
        Some(SocketId {
            family: *self.bytes.first()?,
            id: id.try_into().ok()?,
        })
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.bytes.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.bytes);
    }
}

impl NetlinkDeserializable for Message {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self {
            kind: header.message_type,
            bytes: payload.to_vec(),
        })
    }
}
