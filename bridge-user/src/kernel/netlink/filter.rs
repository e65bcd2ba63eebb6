//! Filters at the clsact qdisc, as tc-bpf(8) shows them.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcHandle, TcMessage};

use super::{Netlink, NetlinkError, failed};

/// Parent of ingress filters at clsact: `TC_H_CLSACT` and `TC_H_MIN_INGRESS`
/// (include/uapi/linux/pkt_sched.h, v6.18).
const CLSACT_INGRESS: TcHandle = TcHandle {
    major: 0xffff,
    minor: 0xfff2,
};

/// Whether an ingress filter of this priority is at a link.
/// As `tc filter show dev NAME ingress prio PRIORITY`.
pub fn has_ingress_filter(
    netlink: &mut Netlink,
    link: u32,
    priority: u16,
) -> Result<bool, NetlinkError> {
    let mut message = TcMessage::default();
    message.header.index = i32::try_from(link).unwrap_or_default();
    message.header.parent = CLSACT_INGRESS;
    let answers = netlink
        .dump(&RouteNetlinkMessage::GetTrafficFilter(message))
        .map_err(failed("list the filters of link number", link))?;
    // The upper half of `tcm_info` is the priority, the lower one the protocol.
    Ok(answers.iter().any(|answer| match answer {
        RouteNetlinkMessage::NewTrafficFilter(filter) => {
            filter.header.info >> 16 == u32::from(priority)
        }
        _ => false,
    }))
}
