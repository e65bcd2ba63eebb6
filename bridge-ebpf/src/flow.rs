//! The road of flows from outside to published ports past the host's stack: which of their packets may
//! take it.
//!
//! ```text
//! uplink_ingress: inward ── not yet ──> stack, firewall ──> bridge_egress: came_in
//!                    └── FLOWS says that it passed ──> endpoint
//! port_ingress:  outward ── not yet ──> stack, firewall ──> uplink_egress: came_out
//!                    └── FLOWS says that it passed ──> uplink
//! ```
//!
//! Nothing here knows the firewall's rules: a packet takes the road only where one of its flow, in its
//! direction, came out of the firewall a moment ago, translated as we would. What the firewall holds
//! back never does.

use bridge_common::{
    ENDPOINT_FLOWS, ENDPOINT_FLOWS_ASKED, ENDPOINT_REACHABLE, ENDPOINT_REDIRECT_OFF, EndpointEntry,
    FlowEntry, FlowKey, NO_SLOT,
};

use crate::Tables;
use crate::address::Ip6;
use crate::nat::{End, Translation};
use crate::segment::Segment;

/// How long it counts that a packet came out of the firewall: after it the next one goes there again.
/// So connection tracking goes on, and a rule that is new is felt.
pub const TRUST_NS: u64 = 100_000_000;

/// How long a flow has to be silent before another takes its entry.
const IDLE_NS: u64 = 10_000_000_000;

/// Where a packet is seen, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Index of the link that it came in by.
    pub ifindex: u32,
    /// The kernel's hash of it; 0 is none.
    pub hash: u32,
    /// The time.
    pub now: u64,
}

/// What to do with a packet from outside for a published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inward {
    /// The host's stack and its firewall get it.
    Stack,
    /// They get it, and may let it pass: its hash is to be in the entry.
    Tried,
    /// Likewise, with this entry besides.
    New(FlowEntry),
    /// The endpoint behind the host leg of this index gets it.
    Endpoint(u32, Translation),
}

/// What to do with a packet of an endpoint that the host would route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outward {
    /// The host's stack gets it, and its firewall may let it pass: its hash is to be in the entry.
    Tried,
    /// It leaves by the link of this index.
    Uplink(u32, Translation),
}

/// A packet that is for a published port, at an uplink, by its index, at this time. Here as below
/// `passing` says that no rule of others has to see each packet of a flow.
#[inline(always)]
pub fn inward<T: Tables>(
    segment: &Segment,
    key: &FlowKey,
    flow: Option<&FlowEntry>,
    (ifindex, now): (u32, u64),
    passing: bool,
    tables: &T,
) -> Inward {
    let begun = FlowEntry {
        host: segment.destination.halves(),
        passed_in: 0,
        passed_out: 0,
        hash_in: 0,
        hash_out: 0,
        ifindex_in: ifindex,
        ifindex_out: 0,
        host_port: segment.destination_port,
        slot: NO_SLOT,
        link: [0; 6],
        closing: 0,
        longest_out: 0,
    };
    let Some(flow) = flow.filter(|_| !segment.begins()) else {
        return Inward::New(begun);
    };
    let same = flow.host == begun.host
        && flow.host_port == begun.host_port
        && flow.ifindex_in == begun.ifindex_in;
    if !same {
        // One of them has another port for its endpoint, by the firewall: its packets come out as of
        // neither, and it stays where it is.
        let idle = now.saturating_sub(flow.passed_in.max(flow.passed_out)) > IDLE_NS;
        return if idle {
            Inward::New(begun)
        } else {
            Inward::Stack
        };
    }
    let trusted = is_fresh(flow.passed_in, now) && flow.passed_out != 0;
    if trusted
        && segment.is_settled(flow.closing == 0)
        && segment.hops > 1
        && let Some(endpoint) = tables.endpoint(flow.slot)
        && has_address(endpoint, key.endpoint)
        && takes_flows(endpoint, passing)
    {
        let [a, b, c] = endpoint.mac;
        let [d, e, f] = endpoint.gateway_mac;
        let translation = Translation {
            link: [a, b, c, d, e, f],
            end: End::Destination,
            address: key.endpoint,
            port: key.endpoint_port,
        };
        return Inward::Endpoint(endpoint.ifindex, translation);
    }
    Inward::Tried
}

/// Whether a packet that the host sends to the endpoint of a slot is the one that came in by the
/// flow's uplink, translated.
#[inline(always)]
pub fn came_in(flow: &FlowEntry, seen: &Seen) -> bool {
    seen.hash != 0 && seen.hash == flow.hash_in && seen.ifindex == flow.ifindex_in
}

/// What that says of the packets behind it: when one passed. Before connection tracking has seen who asks
/// agree (RFC 9293, 3.5), a connection is none to it, and soon forgotten: a SYN speaks for none.
#[inline(always)]
pub fn passed(segment: &Segment, seen: &Seen) -> u64 {
    if segment.begins() { 0 } else { seen.now }
}

/// A packet of an endpoint, by its slot, which may send it, of this length. Where none as long came out, the
/// way that the firewall and the routes let it go may not take it.
#[inline(always)]
pub fn outward(
    segment: &Segment,
    flow: &FlowEntry,
    (slot, length): (u16, u32),
    now: u64,
) -> Outward {
    let trusted = is_fresh(flow.passed_out, now)
        && flow.passed_in != 0
        && flow.slot == slot
        && flow.ifindex_out != 0
        && (length <= flow.longest_out || length <= segment.least());
    if trusted && segment.is_settled(flow.closing == 0) && segment.hops > 1 {
        let translation = Translation {
            link: flow.link,
            end: End::Source,
            address: flow.host,
            port: flow.host_port,
        };
        return Outward::Uplink(flow.ifindex_out, translation);
    }
    Outward::Tried
}

/// Whether a packet that leaves the host is the one that the flow's endpoint sent, translated.
#[inline(always)]
pub fn came_out<T: Tables>(
    segment: &Segment,
    flow: &FlowEntry,
    seen: &Seen,
    passing: bool,
    tables: &T,
) -> bool {
    seen.hash != 0
        && seen.hash == flow.hash_out
        && flow.host == segment.source.halves()
        && flow.host_port == segment.source_port
        && flow.slot != NO_SLOT
        && tables.endpoint(flow.slot).is_some_and(|endpoint| {
            takes_flows(endpoint, passing) && endpoint.bridge == seen.ifindex
        })
}

#[inline(always)]
fn is_fresh(passed: u64, now: u64) -> bool {
    passed != 0 && now.saturating_sub(passed) < TRUST_NS
}

/// Whether an endpoint publishes ports by this road.
#[inline(always)]
pub fn takes_flows(endpoint: &EndpointEntry, passing: bool) -> bool {
    let wanted = ENDPOINT_FLOWS | ENDPOINT_REACHABLE;
    endpoint.flags & (wanted | ENDPOINT_REDIRECT_OFF) == wanted
        && endpoint.ifindex != 0
        && (endpoint.flags & ENDPOINT_FLOWS_ASKED != 0 || passing)
}

/// The longest frame that came out, with one more of this length: one that had to, for the time of the last
/// one was over, is the first.
#[inline(always)]
pub fn longest(flow: &FlowEntry, length: u32, now: u64) -> u32 {
    if is_fresh(flow.passed_out, now) {
        flow.longest_out.max(length)
    } else {
        length
    }
}

#[inline(always)]
fn has_address(endpoint: &EndpointEntry, address: [u64; 2]) -> bool {
    if Ip6::new(address).is_ipv4() {
        let [_, low] = address;
        (low >> 32) as u32 == endpoint.ipv4
    } else {
        address == endpoint.ipv6
    }
}

#[cfg(test)]
mod tests;
