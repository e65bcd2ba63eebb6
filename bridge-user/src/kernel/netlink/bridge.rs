//! Bridges, their ports and the static entries of their forwarding database.

use std::thread;
use std::time::{Duration, Instant};

use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, BridgePortState, In6AddrGenMode, InfoBridge, InfoBridgePort,
    InfoData, InfoKind, InfoPortData, InfoPortKind, LinkAttribute, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::link::{Link, delete_link, set};
use super::{CREATE_OR_REPLACE, NEW, Netlink, NetlinkError, existing_link, failed, link, made};
use crate::fault;

/// How long a port may take from being set up to forwarding; it takes about a millisecond, and
/// waits for the kernel's link watch (net/core/link_watch.c, v6.18), which may be held back by
/// one second.
const FORWARDING_TIMEOUT: Duration = Duration::from_secs(3);

/// A bridge as it should be.
#[derive(Debug, Clone, Copy)]
pub struct BridgeSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its MAC address: one that was set stays, else it follows the ports' (`br_stp_recalculate_bridge_id`).
    pub mac: [u8; 6],
    /// Its MTU in bytes: one that was set stays, else it follows the ports' too.
    pub mtu: u32,
}

/// Settings of a port.
#[derive(Debug, Clone, Copy)]
pub struct PortFlags {
    /// No frame goes to another isolated port.
    pub isolated: bool,
    /// Frames come from stations with an FDB entry at this port only (Linux 5.16); so nobody else is
    /// behind it, and frames for stations without an entry are not flooded to it.
    pub locked: bool,
}

/// Makes a bridge, or makes it right; gives its index.
/// As `ip link add NAME address MAC type bridge forward_delay 0 mcast_snooping 0`, then `ip link set dev
/// NAME mtu N`.
///
/// It does not snoop: whoever sends a query for groups would be believed, and get what nobody asked for
/// in its stead (`br_multicast_querier_exists`, net/bridge/br_multicast.c, v6.18).
pub fn ensure_bridge(netlink: &mut Netlink, spec: &BridgeSpec<'_>) -> Result<u32, NetlinkError> {
    if link(netlink, spec.name)?.is_none() {
        create_bridge(netlink, spec)?;
        fault::step();
    }
    let bridge = existing_link(netlink, spec.name)?;
    if !is_bridge(&bridge) {
        return Err(NetlinkError::Kind {
            name: spec.name.into(),
            kind: "bridge",
        });
    }
    let mut message = LinkMessage::default();
    message.header.index = bridge.index;
    if bridge.mac != Some(spec.mac) {
        message
            .attributes
            .push(LinkAttribute::Address(spec.mac.to_vec()));
    }
    if bridge.mtu != spec.mtu {
        message.attributes.push(LinkAttribute::Mtu(spec.mtu));
    }
    if !message.attributes.is_empty() {
        set(netlink, message).map_err(failed("change bridge", spec.name))?;
    }
    if bridge.snoops {
        tracing::info!("ip link set dev {} type bridge mcast_snooping 0", spec.name);
        let mut message = LinkMessage::default();
        message.header.index = bridge.index;
        message.attributes = vec![bridge_info(vec![InfoBridge::MulticastSnooping(false)])];
        let changed = netlink.change(RouteNetlinkMessage::NewLink(message), 0);
        changed.map_err(failed("change bridge", spec.name))?;
    }
    Ok(bridge.index)
}

/// Deletes the bridge of this name, if it is there; a link of another kind that has the name is
/// somebody else's. As `ip link delete dev NAME type bridge`.
pub fn delete_bridge(netlink: &mut Netlink, name: &str) -> Result<(), NetlinkError> {
    match link(netlink, name)? {
        Some(link) if is_bridge(&link) => delete_link(netlink, name),
        _ => Ok(()),
    }
}

fn is_bridge(link: &Link) -> bool {
    link.kind.as_deref() == Some("bridge")
}

/// The MTU is not given here but changed afterwards: only then does the kernel take it as the
/// user's will (`br_change_mtu`, net/bridge/br_device.c, v6.18).
fn create_bridge(netlink: &mut Netlink, spec: &BridgeSpec<'_>) -> Result<(), NetlinkError> {
    tracing::info!(
        "ip link add {} type bridge forward_delay 0 mcast_snooping 0",
        spec.name
    );
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(spec.name.to_owned()),
        LinkAttribute::Address(spec.mac.to_vec()),
        bridge_info(vec![
            InfoBridge::ForwardDelay(0),
            InfoBridge::MulticastSnooping(false),
        ]),
    ];
    let result = netlink.change(RouteNetlinkMessage::NewLink(message), NEW);
    made("bridge", spec.name, result)
}

fn bridge_info(options: Vec<InfoBridge>) -> LinkAttribute {
    LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Bridge),
        LinkInfo::Data(InfoData::Bridge(options)),
    ])
}

/// Makes a link a port of a bridge, without learning and without an IPv6 address of its own.
/// As `ip link set dev NAME master BRIDGE addrgenmode none` and
/// `bridge link set dev NAME learning off isolated on|off locked on|off flood off|on`.
pub fn ensure_port(
    netlink: &mut Netlink,
    port: u32,
    bridge: u32,
    flags: PortFlags,
) -> Result<(), NetlinkError> {
    let word = |on: bool| if on { "on" } else { "off" };
    tracing::info!("ip link set dev if{port} master if{bridge} addrgenmode none");
    tracing::info!(
        "bridge link set dev if{port} learning off isolated {} locked {} flood {}",
        word(flags.isolated),
        word(flags.locked),
        word(!flags.locked)
    );
    let mut join = LinkMessage::default();
    join.header.index = port;
    join.attributes = vec![LinkAttribute::Controller(bridge)];
    let mut without_address = join.clone();
    without_address
        .attributes
        .push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(
            vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)],
        )]));
    let joined = match set(netlink, without_address) {
        // The link has no IPv6: its MTU is too small, or the kernel has none.
        Err(e) if e.raw_os_error() == Some(libc::EAFNOSUPPORT) => set(netlink, join),
        joined => joined,
    };
    joined.map_err(failed("make a bridge port of link number", port))?;
    fault::step();
    let mut message = LinkMessage::default();
    message.header.index = port;
    message.attributes = vec![LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(vec![
            InfoBridgePort::Learning(false),
            InfoBridgePort::Isolated(flags.isolated),
            InfoBridgePort::Locked(flags.locked),
            InfoBridgePort::UnicastFlood(!flags.locked),
        ])),
    ])];
    // Port settings are taken by RTM_NEWLINK alone (`rtnl_changelink`, net/core/rtnetlink.c).
    let changed = netlink.change(RouteNetlinkMessage::NewLink(message), 0);
    changed.map_err(failed("set the flags of bridge port number", port))
}

/// Waits until the bridge forwards from a port whose both legs are up.
pub fn await_forwarding(netlink: &mut Netlink, port: u32) -> Result<(), NetlinkError> {
    let start = Instant::now();
    while port_state(netlink, port)? != Some(BridgePortState::Forwarding) {
        if start.elapsed() > FORWARDING_TIMEOUT {
            return Err(NetlinkError::NotForwarding(
                port,
                FORWARDING_TIMEOUT.as_millis(),
            ));
        }
        thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

fn port_state(netlink: &mut Netlink, port: u32) -> Result<Option<BridgePortState>, NetlinkError> {
    let mut message = LinkMessage::default();
    message.header.index = port;
    let answers = netlink
        .read(RouteNetlinkMessage::GetLink(message))
        .map_err(failed("look up bridge port number", port))?;
    let attributes = answers.into_iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(message) => Some(message.attributes),
        _ => None,
    });
    Ok(attributes.flatten().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.into_iter().find_map(|info| match info {
            LinkInfo::PortData(InfoPortData::BridgePort(settings)) => {
                settings.into_iter().find_map(|setting| match setting {
                    InfoBridgePort::State(state) => Some(state),
                    _ => None,
                })
            }
            _ => None,
        }),
        _ => None,
    }))
}

/// A MAC address as iproute2 has it.
fn colons(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Makes a static entry that neither ages nor moves. It goes with its port.
/// As `bridge fdb replace MAC dev NAME master static`.
pub fn ensure_static_fdb_entry(
    netlink: &mut Netlink,
    port: u32,
    mac: [u8; 6],
) -> Result<(), NetlinkError> {
    tracing::info!(
        "bridge fdb replace {} dev if{port} master static",
        colons(mac)
    );
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = port;
    message.header.state = NeighbourState::Noarp;
    message.header.flags = NeighbourFlags::Controller;
    message.attributes = vec![NeighbourAttribute::LinkLayerAddress(mac.to_vec())];
    let made = netlink.change(
        RouteNetlinkMessage::NewNeighbour(message),
        CREATE_OR_REPLACE,
    );
    made.map_err(failed(
        "make a static FDB entry at bridge port number",
        port,
    ))
}
