//! What went through a veth pair, by the counters of its two legs.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, Stats64};

use super::{Netlink, NetlinkError, failed};

/// Frames and bytes, Ethernet headers included. A frame that stands for several segments is one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What came to the container leg of a veth pair since the pair was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// All of it.
    pub total: Traffic,
    /// What the host leg sent there, and so none that was redirected past it by
    /// `bpf_redirect_peer` (`skb_do_redirect`, net/core/filter.c, v6.18).
    pub by_host_leg: Traffic,
}

impl Traffic {
    /// What is here and not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(other.packets),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

/// What came to the container leg behind the host leg `index`, in whatever namespace it is (Linux
/// 4.17, by `IFLA_TARGET_NETNSID`); `None` where there is no such pair. As `ip -s link show` for
/// both.
pub fn received(netlink: &mut Netlink, index: u32) -> Result<Option<Received>, NetlinkError> {
    let look = |netlink: &mut Netlink| {
        let mut message = LinkMessage::default();
        message.header.index = index;
        let Some(host_leg) = leg(netlink, message)? else {
            return Ok(None);
        };
        let (Some(peer), Some(namespace)) = (host_leg.peer, host_leg.namespace) else {
            return Ok(None);
        };
        // Asked about later: what comes in between is more, never less, than what went there.
        let mut message = LinkMessage::default();
        message.header.index = peer;
        message.attributes.push(LinkAttribute::IfNetnsId(namespace));
        let container_leg = leg(netlink, message)?;
        Ok(container_leg.map(|container_leg| Received {
            total: container_leg.received,
            by_host_leg: host_leg.sent,
        }))
    };
    look(netlink).map_err(failed("read the counters of link number", index))
}

/// A leg of a veth pair.
struct Leg {
    peer: Option<u32>,
    /// Number of the other leg's namespace, as this one calls it.
    namespace: Option<i32>,
    sent: Traffic,
    received: Traffic,
}

fn leg(netlink: &mut Netlink, message: LinkMessage) -> io::Result<Option<Leg>> {
    let answers = match netlink.read(RouteNetlinkMessage::GetLink(message)) {
        // The link, or the namespace, is gone.
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENODEV | libc::EINVAL)) => return Ok(None),
        answers => answers?,
    };
    let message = answers.into_iter().find_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(message) => Some(message),
        _ => None,
    });
    let mut leg = Leg {
        peer: None,
        namespace: None,
        sent: Traffic::default(),
        received: Traffic::default(),
    };
    for attribute in message.into_iter().flat_map(|message| message.attributes) {
        match attribute {
            LinkAttribute::Link(index) => leg.peer = Some(index),
            LinkAttribute::LinkNetNsId(number) => leg.namespace = Some(number),
            LinkAttribute::Stats64(stats) => (leg.sent, leg.received) = traffic(&stats),
            _ => {}
        }
    }
    Ok(Some(leg))
}

fn traffic(stats: &Stats64) -> (Traffic, Traffic) {
    let sent = Traffic {
        packets: stats.tx_packets,
        bytes: stats.tx_bytes,
    };
    let received = Traffic {
        packets: stats.rx_packets,
        bytes: stats.rx_bytes,
    };
    (sent, received)
}
