//! The clsact qdisc and its filters, as tc(8) and tc-bpf(8) show them.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};

use super::{Netlink, NetlinkError, failed};

/// Parents of filters at clsact: `TC_H_CLSACT` with `TC_H_MIN_INGRESS` and `TC_H_MIN_EGRESS`
/// (include/uapi/linux/pkt_sched.h, v6.18). The qdisc's own is `TC_H_INGRESS`, the same as `TC_H_CLSACT`.
const CLSACT: u16 = 0xffff;
const INGRESS: u16 = 0xfff2;
const EGRESS: u16 = 0xfff3;
const ROOT: u16 = 0xfff1;

/// The name of its kind, and of the one that it has no room beside.
const KIND: &str = "clsact";
const INGRESS_KIND: &str = "ingress";

/// About a link, and what hangs below one of its handles.
fn about(link: u32, minor: u16) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = i32::try_from(link).unwrap_or_default();
    message.header.parent = TcHandle {
        major: CLSACT,
        minor,
    };
    message
}

/// Priorities of the filters at the ingress, or the egress, of a link, each as often as there are filters and
/// chains of it. As `tc filter show dev NAME ingress`.
pub fn filter_priorities(
    netlink: &mut Netlink,
    link: u32,
    egress: bool,
) -> Result<Vec<u16>, NetlinkError> {
    let parent = if egress { EGRESS } else { INGRESS };
    let answers = netlink
        .dump(&RouteNetlinkMessage::GetTrafficFilter(about(link, parent)))
        .map_err(failed("list the filters of link number", link))?;
    // The upper half of `tcm_info` is the priority, the lower one the protocol.
    let priority = |answer: &RouteNetlinkMessage| match answer {
        RouteNetlinkMessage::NewTrafficFilter(filter) => {
            Some(u16::try_from(filter.header.info >> 16).expect("it is a half"))
        }
        _ => None,
    };
    Ok(answers.iter().filter_map(priority).collect())
}

/// The indices of the links that have a clsact qdisc. As `tc qdisc show`.
pub fn clsact_links(netlink: &mut Netlink) -> Result<Vec<u32>, NetlinkError> {
    links_with(netlink, KIND)
}

/// The indices of the links that have an ingress qdisc, and so no room for clsact.
pub fn ingress_links(netlink: &mut Netlink) -> Result<Vec<u32>, NetlinkError> {
    links_with(netlink, INGRESS_KIND)
}

fn links_with(netlink: &mut Netlink, kind: &str) -> Result<Vec<u32>, NetlinkError> {
    let answers = netlink
        .dump(&RouteNetlinkMessage::GetQueueDiscipline(
            TcMessage::default(),
        ))
        .map_err(failed("list the qdiscs of", "all links"))?;
    let of_kind = |answer: &RouteNetlinkMessage| match answer {
        RouteNetlinkMessage::NewQueueDiscipline(qdisc) => {
            let is_kind = |a: &TcAttribute| matches!(a, TcAttribute::Kind(is) if is == kind);
            let index = u32::try_from(qdisc.header.index).ok()?;
            qdisc.attributes.iter().any(is_kind).then_some(index)
        }
        _ => None,
    };
    Ok(answers.iter().filter_map(of_kind).collect())
}

/// Deletes the clsact qdisc of a link, with all its filters. As `tc qdisc del dev NAME clsact`.
pub fn delete_clsact(netlink: &mut Netlink, link: u32) -> Result<(), NetlinkError> {
    tracing::info!("tc qdisc del dev if{link} clsact");
    let mut message = about(link, ROOT);
    message.attributes.push(TcAttribute::Kind(KIND.into()));
    netlink
        .change(RouteNetlinkMessage::DelQueueDiscipline(message), 0)
        .map_err(failed("delete the clsact qdisc of link number", link))
}
