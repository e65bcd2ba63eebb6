//! netlink(7): the sockets, and in a file each the kernel objects that we keep with rtnetlink(7).
//!
//! What is done is told as iproute2's commands for it. A link that is known by its index is ifN
//! there, which iproute2 understands.

mod address;
mod bridge;
mod filter;
mod link;
mod netfilter;
mod route;
mod sockets;
mod traffic;
mod veth;
mod watch;

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
    NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

pub use address::ensure_address;
pub use bridge::{
    BridgeSpec, PortFlags, await_forwarding, delete_bridge, ensure_bridge, ensure_port,
    ensure_static_fdb_entry,
};
pub use filter::{clsact_links, delete_clsact, filter_priorities, ingress_links};
pub use link::{
    Link, announce, delete_link, delete_link_at, ensure_mtu, existing_link, link, link_at, links,
    set_up,
};
pub use netfilter::{Attributes, Netfilter, NetfilterMessage};
pub use route::{Route, default_links, default_route, ensure_default_route, routes};
pub use sockets::end_connected;
pub use traffic::{Received, Traffic, received};
pub use veth::{VethSpec, create_veth};
pub use watch::{LinkEvent, LinkWatch};

use super::netns::{NetNs, NetNsError};

/// A netlink socket of one namespace.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// Why a link, address or route is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No socket.
    #[error("failed to open a netlink socket")]
    Socket(#[source] io::Error),
    /// The namespace of the socket cannot be entered.
    #[error(transparent)]
    NetNs(#[from] NetNsError),
    /// The kernel refused, or the conversation with it failed.
    #[error("failed to {action} {object}")]
    Request {
        /// What was tried.
        action: &'static str,
        /// On what.
        object: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A link that has to be there is not.
    #[error("link {0} is not there")]
    NoLink(String),
    /// A link of another kind has the name.
    #[error("link {name} is not a {kind}")]
    Kind {
        /// The link.
        name: String,
        /// What it should be.
        kind: &'static str,
    },
    /// The kernel was built without links of a kind, or its module is not there.
    #[error("failed to create {kind} {name}: the kernel has no links of this kind")]
    KindNotInKernel {
        /// The link.
        name: String,
        /// Its kind, which is the module's name too.
        kind: &'static str,
    },
    /// The bridge does not forward from the port.
    #[error("port {0} did not start to forward within {1} ms")]
    NotForwarding(u32, u128),
}

/// What is asked and answered in one of netlink's protocols.
trait Message: NetlinkSerializable + NetlinkDeserializable {}

impl<M: NetlinkSerializable + NetlinkDeserializable> Message for M {}

impl Netlink {
    /// A socket in the namespace of this thread.
    pub fn open() -> Result<Self, NetlinkError> {
        Self::connect(NETLINK_ROUTE).map_err(NetlinkError::Socket)
    }

    /// A socket in another namespace; used from here.
    pub fn open_in(namespace: &NetNs) -> Result<Self, NetlinkError> {
        namespace
            .within(|| Self::connect(NETLINK_ROUTE))
            .map_err(NetlinkError::Socket)
    }

    fn connect(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Asks for a change and waits for the kernel's word on it.
    fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK | flags)
            .map(drop)
    }

    /// Asks for one object.
    fn read(&mut self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK)
    }

    /// Asks for all objects. A dump that was cut into by a change is repeated.
    fn dump<M: Message + Clone>(&mut self, message: &M) -> io::Result<Vec<M>> {
        const ATTEMPTS: usize = 16;
        for _ in 0..ATTEMPTS {
            match self.exchange(message.clone(), NLM_F_REQUEST | NLM_F_DUMP) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                answer => return answer,
            }
        }
        Err(io::Error::other(format!(
            "a dump was interrupted {ATTEMPTS} times"
        )))
    }

    fn exchange<M: Message>(&mut self, message: M, flags: u16) -> io::Result<Vec<M>> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        self.receive()
    }

    /// The next one, whole. A dump comes in datagrams as long as what was received into lately
    /// (`max_recvmsg_len`, net/netlink/af_netlink.c, v6.18), and its beginning is looked for anew for each.
    fn datagram(&self) -> io::Result<Vec<u8>> {
        const LONGEST_OF_DUMPS: usize = 1 << 15;
        let flags = libc::MSG_PEEK | libc::MSG_TRUNC;
        let (length, _) = self.socket.recv_from(&mut Vec::new(), flags)?;
        let mut datagram = Vec::with_capacity(length.max(LONGEST_OF_DUMPS));
        self.socket.recv_from(&mut datagram, 0)?;
        Ok(datagram)
    }

    /// Collects the answers to the last request, up to its acknowledgement or the dump's end.
    fn receive<M: Message>(&mut self) -> io::Result<Vec<M>> {
        let mut answers = Vec::new();
        let mut interrupted = false;
        loop {
            let datagram = self.datagram()?;
            let mut rest = datagram.as_slice();
            while !rest.is_empty() {
                let message = NetlinkMessage::<M>::deserialize(rest)
                    .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
                // Messages are aligned to four bytes (NLMSG_ALIGNTO).
                let length = (message.header.length as usize).next_multiple_of(4);
                rest = rest.get(length.max(4)..).unwrap_or_default();
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(io::Error::from_raw_os_error(-error.raw_code()));
                    }
                    NetlinkPayload::Done(done) if done.code < 0 => {
                        return Err(io::Error::from_raw_os_error(-done.code));
                    }
                    NetlinkPayload::Done(_) if interrupted => {
                        return Err(io::ErrorKind::Interrupted.into());
                    }
                    // An error without a code is the acknowledgement.
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answers),
                    _ => {}
                }
            }
        }
    }
}

/// Flags of a request that makes an object which must not be there yet.
const NEW: u16 = NLM_F_CREATE | NLM_F_EXCL;
/// Flags of a request that makes an object, or makes the one that is there equal to it.
const CREATE_OR_REPLACE: u16 = NLM_F_CREATE | NLM_F_REPLACE;

/// What the kernel said to a new link of a kind (`rtnl_newlink`, net/core/rtnetlink.c, v6.18:
/// "Unknown device type").
fn made(kind: &'static str, name: &str, result: io::Result<()>) -> Result<(), NetlinkError> {
    match result {
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            let name = name.to_owned();
            Err(NetlinkError::KindNotInKernel { name, kind })
        }
        result => result.map_err(failed("create link", name)),
    }
}

fn failed(action: &'static str, object: impl ToString) -> impl FnOnce(io::Error) -> NetlinkError {
    let object = object.to_string();
    move |source| NetlinkError::Request {
        action,
        object,
        source,
    }
}

/// `EEXIST` of a request with [`NEW`]: what should be is.
fn there_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        result => result,
    }
}
