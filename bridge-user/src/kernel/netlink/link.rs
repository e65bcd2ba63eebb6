//! Links of every kind: looking them up, deleting, setting up.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridge, InfoData, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkLayerType,
    LinkMessage, LinkXdp,
};

use super::{Netlink, NetlinkError, failed};

/// A link as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its kind ("veth", "bridge", ...); `None` for hardware and loopback.
    pub kind: Option<String>,
    /// Whether its frames are of Ethernet, as those of loopback are not.
    pub ethernet: bool,
    /// Whether it is administratively up.
    pub up: bool,
    /// Its MAC address, where it has one of six bytes.
    pub mac: Option<[u8; 6]>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Index of the bridge that it is a port of.
    pub master: Option<u32>,
    /// Of a veth leg: the index of the other leg, in that one's namespace.
    pub peer: Option<u32>,
    /// Number of the XDP program that runs natively.
    pub xdp_program: Option<u32>,
    /// Of a bridge: whether it looks into IGMP and MLD for who wants which group.
    pub snoops: bool,
}

impl From<LinkMessage> for Link {
    fn from(message: LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            kind: None,
            ethernet: message.header.link_layer_type == LinkLayerType::Ether,
            up: message.header.flags.contains(LinkFlags::Up),
            mac: None,
            mtu: 0,
            master: None,
            peer: None,
            xdp_program: None,
            snoops: false,
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Address(bytes) => link.mac = bytes.try_into().ok(),
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::Controller(index) => link.master = Some(index),
                LinkAttribute::Link(index) => link.peer = Some(index),
                LinkAttribute::Xdp(facts) => {
                    link.xdp_program = facts.into_iter().find_map(|fact| match fact {
                        LinkXdp::DrvProgId(id) => Some(id),
                        _ => None,
                    });
                }
                LinkAttribute::LinkInfo(infos) => {
                    for info in infos {
                        match info {
                            LinkInfo::Kind(kind) => link.kind = Some(kind.to_string()),
                            LinkInfo::Data(InfoData::Bridge(facts)) => {
                                link.snoops = facts.contains(&InfoBridge::MulticastSnooping(true));
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        link
    }
}

/// The link of this name. As `ip link show dev NAME`.
pub fn link(netlink: &mut Netlink, name: &str) -> Result<Option<Link>, NetlinkError> {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::IfName(name.to_owned()));
    look_up(netlink, message).map_err(failed("look up link", name))
}

/// The link of this index.
pub fn link_at(netlink: &mut Netlink, index: u32) -> Result<Option<Link>, NetlinkError> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    look_up(netlink, message).map_err(failed("look up link number", index))
}

fn look_up(netlink: &mut Netlink, mut message: LinkMessage) -> io::Result<Option<Link>> {
    message.attributes.push(without_counters());
    match netlink.read(RouteNetlinkMessage::GetLink(message)) {
        Ok(answers) => Ok(links_of(answers).next()),
        Err(e) if e.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The link of this name, which has to be there.
pub fn existing_link(netlink: &mut Netlink, name: &str) -> Result<Link, NetlinkError> {
    link(netlink, name)?.ok_or_else(|| NetlinkError::NoLink(name.to_owned()))
}

/// Every link of the namespace. As `ip link show`.
pub fn links(netlink: &mut Netlink) -> Result<Vec<Link>, NetlinkError> {
    let mut message = LinkMessage::default();
    message.attributes.push(without_counters());
    let all = RouteNetlinkMessage::GetLink(message);
    let answers = netlink.dump(&all).map_err(failed("list", "links"))?;
    Ok(links_of(answers).collect())
}

/// Counters are most of what the kernel says of a link, and here nobody asks for them
/// (`RTEXT_FILTER_SKIP_STATS`, include/uapi/linux/rtnetlink.h, v6.18).
fn without_counters() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}

fn links_of(answers: Vec<RouteNetlinkMessage>) -> impl Iterator<Item = Link> {
    answers.into_iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(message) => Some(message.into()),
        _ => None,
    })
}

/// Deletes the link of this name, if it is there. As `ip link delete dev NAME`.
pub fn delete_link(netlink: &mut Netlink, name: &str) -> Result<(), NetlinkError> {
    tracing::info!("ip link delete dev {name}");
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::IfName(name.to_owned()));
    match netlink.change(RouteNetlinkMessage::DelLink(message), 0) {
        Err(e) if e.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        result => result.map_err(failed("delete link", name)),
    }
}

/// Deletes the link of this index, if it is there.
pub fn delete_link_at(netlink: &mut Netlink, index: u32) -> Result<(), NetlinkError> {
    tracing::info!("ip link delete dev if{index}");
    let mut message = LinkMessage::default();
    message.header.index = index;
    match netlink.change(RouteNetlinkMessage::DelLink(message), 0) {
        Err(e) if e.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        result => result.map_err(failed("delete link number", index)),
    }
}

/// Sets a link up. As `ip link set dev NAME up`.
pub fn set_up(netlink: &mut Netlink, index: u32) -> Result<(), NetlinkError> {
    tracing::info!("ip link set dev if{index} up");
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    set(netlink, message).map_err(failed("set up link number", index))
}

/// Gives a link its MTU, in bytes. As `ip link set dev NAME mtu N`.
pub fn ensure_mtu(netlink: &mut Netlink, link: &Link, mtu: u32) -> Result<(), NetlinkError> {
    if link.mtu == mtu {
        return Ok(());
    }
    tracing::info!("ip link set dev {} mtu {mtu}", link.name);
    let mut message = LinkMessage::default();
    message.header.index = link.index;
    message.attributes.push(LinkAttribute::Mtu(mtu));
    set(netlink, message).map_err(failed("set the MTU of link", &link.name))
}

/// Gives a link the MAC address that it has already: with `arp_notify` and `ndisc_notify` set, it
/// announces each of its addresses then (`inetdev_event`, net/ipv4/devinet.c;
/// `ndisc_netdev_event`, net/ipv6/ndisc.c; v6.18).
///
/// What it says by itself when it comes up is lost: its bridge port forwards only a moment later.
pub fn announce(netlink: &mut Netlink, index: u32, mac: [u8; 6]) -> Result<(), NetlinkError> {
    tracing::info!("ip link set dev if{index} address [as it is], which announces it");
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
        .attributes
        .push(LinkAttribute::Address(mac.to_vec()));
    set(netlink, message).map_err(failed("announce the addresses of link number", index))
}

pub(super) fn set(netlink: &mut Netlink, message: LinkMessage) -> io::Result<()> {
    netlink.change(RouteNetlinkMessage::SetLink(message), 0)
}
