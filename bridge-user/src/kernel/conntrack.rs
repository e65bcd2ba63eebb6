//! Connections that the kernel keeps track of (ctnetlink). An entry decides for good where its
//! packets go, and as long as a UDP flow goes on it stays: what is published, or no more, counts for
//! the flow once its entry is gone. As `conntrack -D`.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::netlink::{Attributes, Netfilter, NetfilterMessage};
use crate::model::{Protocol, Published};

/// `NFNL_SUBSYS_CTNETLINK`, with `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`
/// (include/uapi/linux/netfilter/nfnetlink_conntrack.h, v6.18), as all numbers here.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
/// `CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`: how packets of either direction look.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
/// `CTA_ID` and `CTA_ZONE` tell an entry from one that comes in its place.
const ID: u16 = 12;
const ZONE: u16 = 18;
/// `CTA_FILTER`; its attributes have the numbers of those two, and one of the fields that they select by is
/// `CTA_FILTER_F_CTA_IP_SRC` (net/netfilter/nf_internals.h, v6.18). Linux 5.8.
const FILTER: u16 = 25;
const FILTER_SOURCE: u32 = 1 << 0;
/// `NLA_F_NESTED` of include/uapi/linux/netlink.h.
const NESTED: u16 = 1 << 15;
/// `CTA_TUPLE_IP`, `CTA_TUPLE_PROTO`.
const ADDRESSES: u16 = 1;
const PORTS: u16 = 2;
/// `CTA_IP_V4_SRC`, `CTA_IP_V6_SRC`; destinations have the number after it.
const SOURCES: [u16; 2] = [1, 3];
/// `CTA_PROTO_NUM`, `CTA_PROTO_SRC_PORT`, `CTA_PROTO_DST_PORT`.
const PROTOCOL: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;

/// An entry, by who asked and who answers.
#[derive(Debug)]
struct Connection {
    protocol: u8,
    /// Who asks.
    asking: SocketAddr,
    /// What was asked for.
    asked: SocketAddr,
    /// Who answers.
    answering: SocketAddr,
    /// Where to.
    answered: SocketAddr,
}

/// Forgets what an endpoint's addresses asked, and what they were asked: whoever has one next has nothing of
/// it.
pub fn forget_endpoint(addresses: impl Iterator<Item = IpAddr>) {
    for address in addresses {
        for selection in near(address) {
            // What the kernel selects is looked at again: what it says is for the whole host.
            if let Err(error) = forget_of(&selection, |entry| is_source(entry, address)) {
                tracing::warn!("warning: connections of {address} may go on: {error}");
                return;
            }
        }
    }
}

/// Asks for entries among which are all whose packets of either direction have an address as their source.
fn near(address: IpAddr) -> Vec<NetfilterMessage> {
    match address {
        IpAddr::V4(v4) => [ORIGINAL, REPLY].map(|tuple| from(v4, tuple)).into(),
        // The kernel leaves out those with the address, and no others (`ctnetlink_filter_match_tuple`,
        // net/netfilter/nf_conntrack_netlink.c, v5.8 to v6.18: `!ipv6_addr_cmp`).
        IpAddr::V6(_) => vec![all(libc::NFPROTO_IPV6, Attributes::default())],
    }
}

/// Whether packets of a direction have an address as their source.
fn is_source(entry: &NetfilterMessage, address: IpAddr) -> bool {
    let tuples = [ORIGINAL, REPLY].map(|kind| entry.attributes.first(kind));
    let mut tuples = tuples.iter().flatten();
    tuples.any(|tuple| address_of(tuple, 0) == Some(address))
}

/// Asks for the entries whose packets of a direction have an address as their source.
fn from(address: Ipv4Addr, tuple: u16) -> NetfilterMessage {
    let nested = |kind, value: &Attributes| {
        let mut outer = Attributes::default();
        outer.push(kind | NESTED, value);
        outer
    };
    let mut attributes = Attributes::default();
    let mut addresses = Attributes::default();
    addresses.push(SOURCES[0], &Attributes::of_bytes(&address.octets()));
    attributes.push(tuple | NESTED, &nested(ADDRESSES, &addresses));
    let mut flags = Attributes::default();
    flags.push(tuple, &Attributes::of_bytes(&FILTER_SOURCE.to_ne_bytes()));
    attributes.push(FILTER | NESTED, &flags);
    all(libc::NFPROTO_IPV4, attributes)
}

/// Asks for the entries of a family that attributes select.
fn all(family: libc::c_int, attributes: Attributes) -> NetfilterMessage {
    NetfilterMessage {
        kind: GET,
        family: u8::try_from(family).expect("it is a byte"),
        attributes,
    }
}

/// Forgets UDP flows which began before these ports were published: those to them, and those of endpoints
/// that leave by one. Of other protocols a new connection makes a new entry.
pub fn forget_before(published: &[Published]) {
    let udp = |published: &&Published| published.publication.protocol == Protocol::Udp;
    let udp: Vec<Published> = published.iter().filter(udp).cloned().collect();
    forget(&udp, |connection, ports| {
        let is_published = |end| ports.at(connection.protocol, end).next().is_some();
        let Connection { asking, asked, .. } = *connection;
        // Others pass through: what is for the host has an address that a socket can have.
        let to_host = connection.answering == asked
            && is_published(asked)
            && UdpSocket::bind((asked.ip(), 0)).is_ok();
        let leaves = connection.answered != asking && is_published(connection.answered);
        to_host || leaves
    });
}

/// Publications by protocol and port of the host.
struct Ports<'p>(HashMap<(u8, u16), Vec<&'p Published>>);

impl<'p> Ports<'p> {
    fn new(published: &'p [Published]) -> Self {
        let mut by_port: HashMap<_, Vec<_>> = HashMap::new();
        for published in published {
            let publication = &published.publication;
            let key = (publication.protocol.number(), publication.host_port);
            by_port.entry(key).or_default().push(published);
        }
        Self(by_port)
    }

    /// Those that have this port of the host, if the address is the host's.
    fn at(&self, protocol: u8, end: SocketAddr) -> impl Iterator<Item = &'p Published> {
        let there = self.0.get(&(protocol, end.port())).into_iter().flatten();
        there.copied().filter(move |published| {
            let host = published.publication.host;
            host == end.ip() || host.is_unspecified() && host.is_ipv4() == end.is_ipv4()
        })
    }
}

/// Forgets the connections that `wanted` accepts. What cannot be forgotten is told of: it ends by itself
/// once nothing is sent any more.
fn forget(published: &[Published], wanted: impl Fn(&Connection, &Ports<'_>) -> bool) {
    let ports = Ports::new(published);
    for (family, ipv6) in [(libc::NFPROTO_IPV4, false), (libc::NFPROTO_IPV6, true)] {
        let mut addresses = published.iter().map(|published| published.address);
        if addresses.any(|address| address.is_ipv6() == ipv6)
            && let Err(error) = forget_of(&all(family, Attributes::default()), |entry| {
                Connection::of(entry).is_some_and(|connection| wanted(&connection, &ports))
            })
        {
            tracing::warn!("warning: connections to published ports may go on: {error}");
        }
    }
}

fn forget_of(
    selection: &NetfilterMessage,
    is_wanted: impl Fn(&NetfilterMessage) -> bool,
) -> io::Result<()> {
    let mut netfilter = Netfilter::open()?;
    for entry in netfilter.dump(selection)? {
        if !is_wanted(&entry) {
            continue;
        }
        if let Some(connection) = Connection::of(&entry) {
            tracing::info!("conntrack -D {connection}");
        }
        match netfilter.change(&deletion(&entry)) {
            // It ended meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            deleted => deleted?,
        }
    }
    Ok(())
}

/// The message that has exactly this entry deleted.
fn deletion(entry: &NetfilterMessage) -> NetfilterMessage {
    let mut attributes = Attributes::default();
    for kind in [ORIGINAL, ZONE, ID] {
        if let Some(value) = entry.attributes.first(kind) {
            attributes.push(kind, &value);
        }
    }
    NetfilterMessage {
        kind: DELETE,
        family: entry.family,
        attributes,
    }
}

impl Connection {
    /// None of protocols without ports.
    fn of(entry: &NetfilterMessage) -> Option<Self> {
        let original = entry.attributes.first(ORIGINAL)?;
        let reply = entry.attributes.first(REPLY)?;
        Some(Self {
            protocol: *original.first(PORTS)?.first(PROTOCOL)?.bytes().first()?,
            asking: end(&original, 0, SOURCE_PORT)?,
            asked: end(&original, 1, DESTINATION_PORT)?,
            answering: end(&reply, 0, SOURCE_PORT)?,
            answered: end(&reply, 1, DESTINATION_PORT)?,
        })
    }
}

/// As conntrack(8) takes it.
impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "-p {} --orig-src {} --orig-port-src {} --orig-dst {} --orig-port-dst {}",
            self.protocol,
            self.asking.ip(),
            self.asking.port(),
            self.asked.ip(),
            self.asked.port()
        )
    }
}

/// One end of a tuple: the number of its address is so much behind that of the source.
fn end(tuple: &Attributes, behind_source: u16, port: u16) -> Option<SocketAddr> {
    let address = address_of(tuple, behind_source)?;
    let port = tuple.first(PORTS)?.first(port)?;
    let port = u16::from_be_bytes(port.bytes().try_into().ok()?);
    Some(SocketAddr::new(address, port))
}

/// Likewise its address.
fn address_of(tuple: &Attributes, behind_source: u16) -> Option<IpAddr> {
    let addresses = tuple.first(ADDRESSES)?;
    let mut addresses = SOURCES
        .map(|kind| addresses.first(kind + behind_source))
        .into_iter();
    addresses.find_map(|address| {
        let address = address?;
        let bytes = address.bytes();
        let ipv4 = <[u8; 4]>::try_from(bytes).map(|b| IpAddr::V4(Ipv4Addr::from(b)));
        ipv4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|b| IpAddr::V6(Ipv6Addr::from(b))))
            .ok()
    })
}
