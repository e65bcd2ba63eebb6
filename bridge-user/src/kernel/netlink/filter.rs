//! Filters at the clsact qdisc, as tc-bpf(8) shows them.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcHandle, TcMessage};

use super::{Netlink, NetlinkError, failed};

/// Parents of filters at clsact: `TC_H_CLSACT` with `TC_H_MIN_INGRESS` and `TC_H_MIN_EGRESS`
/// (include/uapi/linux/pkt_sched.h, v6.18).
const CLSACT: u16 = 0xffff;
const INGRESS: u16 = 0xfff2;
const EGRESS: u16 = 0xfff3;

/// Whether a filter of this priority is at the ingress, or the egress, of a link.
/// As `tc filter show dev NAME ingress prio PRIORITY`.
pub fn has_filter(
    netlink: &mut Netlink,
    link: u32,
    egress: bool,
    priority: u16,
) -> Result<bool, NetlinkError> {
    let mut message = TcMessage::default();
    message.header.index = i32::try_from(link).unwrap_or_default();
    message.header.parent = TcHandle {
        major: CLSACT,
        minor: if egress { EGRESS } else { INGRESS },
    };
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
