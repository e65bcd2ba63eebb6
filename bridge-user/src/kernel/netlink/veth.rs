//! Veth pairs (veth(4)).

use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
};

use super::{NEW, Netlink, NetlinkError, made};
use crate::kernel::netns::NetNs;

/// A pair as it should be.
#[derive(Debug, Clone, Copy)]
pub struct VethSpec<'a> {
    /// Name of the leg that stays here.
    pub host_leg: &'a str,
    /// Name of the leg in the sandbox.
    pub container_leg: &'a str,
    /// MAC address of the leg in the sandbox.
    pub mac: [u8; 6],
    /// MTU of both, in bytes.
    pub mtu: u32,
    /// The sandbox.
    pub netns: &'a NetNs,
}

/// Makes a pair in one request, the container leg in its namespace from the start: there is never
/// half a pair. Both legs are down.
/// As `ip link add HOST_LEG mtu N type veth peer name CONTAINER_LEG address MAC mtu N netns NS`.
pub fn create_veth(netlink: &mut Netlink, spec: &VethSpec<'_>) -> Result<(), NetlinkError> {
    tracing::info!(
        "ip link add {} mtu {} type veth peer name {} netns [sandbox]",
        spec.host_leg,
        spec.mtu,
        spec.container_leg
    );
    let mut peer = LinkMessage::default();
    peer.attributes = vec![
        LinkAttribute::IfName(spec.container_leg.to_owned()),
        LinkAttribute::Address(spec.mac.to_vec()),
        LinkAttribute::Mtu(spec.mtu),
        LinkAttribute::NetNsFd(spec.netns.as_fd().as_raw_fd()),
    ];
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(spec.host_leg.to_owned()),
        LinkAttribute::Mtu(spec.mtu),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    let result = netlink.change(RouteNetlinkMessage::NewLink(message), NEW);
    made("veth", spec.host_leg, result)
}
