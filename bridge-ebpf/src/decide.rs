//! The decision about a frame: every check, in order.
//!
//! Only what is provably allowed is redirected; whatever this code does not know goes to the
//! Linux bridge. What the bridge and the host would refuse is refused here too, so that flags of
//! the bridge and rules of the firewall are a second lock, not the only one.

use bridge_common::{
    DropReason, ENDPOINT_ICC_OFF, ENDPOINT_REDIRECT_OFF, ENDPOINT_TRUSTED, EndpointEntry, NO_SLOT,
};

use crate::address::Mac;
use crate::frame::Frame;
use crate::parse::{self, Ethernet};
use crate::{Check, Decision, Tables, Verdict, forward, hairpin, hints, security};

/// Decides about a frame that came in on the host leg `ifindex`; `tagged` says that it has a VLAN
/// tag which is not among its bytes.
#[inline(always)]
pub fn decide<F: Frame, T: Tables>(frame: &F, ifindex: u32, tagged: bool, tables: &T) -> Decision {
    tables.reached(Check::Port);
    let ethernet = parse::ethernet(frame, tagged);
    let source = ethernet.map(|ethernet| ethernet.source);
    let Some((slot, endpoint)) = find_port(ifindex, source, tables) else {
        return Decision {
            slot: NO_SLOT,
            verdict: Verdict::Drop(DropReason::NoPort),
            check: Check::Port,
        };
    };
    tables.reached(Check::Ethernet);
    let (verdict, check) = match ethernet {
        Some(ethernet) => checks(frame, &ethernet, slot, endpoint, tables),
        None => (Verdict::Drop(DropReason::Malformed), Check::Ethernet),
    };
    Decision {
        slot,
        verdict,
        check,
    }
}

/// The port's slot and endpoint: guessed by the source MAC address, else by the index of the port.
#[inline(always)]
fn find_port<T: Tables>(
    ifindex: u32,
    source: Option<Mac>,
    tables: &T,
) -> Option<(u16, &EndpointEntry)> {
    let port = |slot| {
        let endpoint = tables.endpoint(slot)?;
        (slot != NO_SLOT && endpoint.ifindex == ifindex).then_some((slot, endpoint))
    };
    if let Some(source) = source
        && let Some(found) = hints::find(source, tables, port)
    {
        return Some(found);
    }
    port(tables.slot(ifindex)?)
}

#[inline(always)]
fn checks<F: Frame, T: Tables>(
    frame: &F,
    ethernet: &Ethernet,
    slot: u16,
    endpoint: &EndpointEntry,
    tables: &T,
) -> (Verdict, Check) {
    tables.reached(Check::SourceMac);
    if endpoint.flags & ENDPOINT_TRUSTED == 0 {
        if ethernet.source != Mac::new(endpoint.mac) {
            return (Verdict::Drop(DropReason::SpoofedMac), Check::SourceMac);
        }
        tables.reached(Check::Headers);
        tables.reached(Check::SourceAddress);
        match security::check(frame, ethernet, endpoint) {
            Ok(()) => {}
            Err(reason @ DropReason::Malformed) => return (Verdict::Drop(reason), Check::Headers),
            Err(reason) => return (Verdict::Drop(reason), Check::SourceAddress),
        }
    } else if !ethernet.source.is_station() {
        // The bridge takes no such frame (`br_handle_frame`,
        // net/bridge/br_input.c, v6.18).
        return (Verdict::Drop(DropReason::Malformed), Check::SourceMac);
    }
    if ethernet.destination.is_group() {
        to_group(frame, ethernet, slot, endpoint, tables)
    } else {
        to_station(frame, ethernet, endpoint, tables)
    }
}

/// Broadcast and multicast.
#[inline(always)]
fn to_group<F: Frame, T: Tables>(
    frame: &F,
    ethernet: &Ethernet,
    slot: u16,
    endpoint: &EndpointEntry,
    tables: &T,
) -> (Verdict, Check) {
    tables.reached(Check::Neighbour);
    if let Some(verdict) = forward::neighbour(frame, ethernet, endpoint, tables) {
        return (verdict, Check::Neighbour);
    }
    if endpoint.storm_pps != 0 {
        tables.reached(Check::Storm);
        if !tables.admit(slot, endpoint.storm_pps) {
            return (Verdict::Drop(DropReason::Storm), Check::Storm);
        }
    }
    tables.reached(Check::Icc);
    if endpoint.flags & ENDPOINT_ICC_OFF != 0 {
        return (
            Verdict::Host {
                ifindex: endpoint.bridge,
            },
            Check::Icc,
        );
    }
    (Verdict::Next, Check::Bridge)
}

/// Unicast.
#[inline(always)]
fn to_station<F: Frame, T: Tables>(
    frame: &F,
    ethernet: &Ethernet,
    endpoint: &EndpointEntry,
    tables: &T,
) -> (Verdict, Check) {
    let to_gateway = ethernet.destination == Mac::new(endpoint.gateway_mac);
    let mut is_answer = false;
    if !to_gateway {
        tables.reached(Check::Icc);
        if !forward::may_reach(endpoint, ethernet.destination, tables) {
            return (Verdict::Drop(DropReason::Icc), Check::Icc);
        }
        tables.reached(Check::Hairpin);
        is_answer = hairpin::is_answer(frame, ethernet, endpoint, tables);
    }
    if !to_gateway && !is_answer {
        tables.reached(Check::Fdb);
        let icc_off = endpoint.flags & ENDPOINT_ICC_OFF != 0;
        if let Some(ifindex) = forward::find(endpoint, ethernet.destination, tables) {
            let slow = endpoint.flags & ENDPOINT_REDIRECT_OFF != 0
                || ethernet.tagged
                // The bridge does not send a frame back where it came from.
                || ifindex == endpoint.ifindex;
            let verdict = match (slow, icc_off) {
                (false, _) => Verdict::Redirect { ifindex },
                (true, false) => Verdict::Next,
                // The bridge carries nothing between isolated ports, linked or not.
                (true, true) => Verdict::Drop(DropReason::Icc),
            };
            return (verdict, Check::Fdb);
        }
        if icc_off {
            return (Verdict::Drop(DropReason::Icc), Check::Icc);
        }
    }
    // The gateway, or a station that only the bridge knows: that may be the host by another name.
    tables.reached(Check::Routing);
    if let Some(reason) = forward::unroutable(frame, ethernet, endpoint, tables) {
        return (Verdict::Drop(reason), Check::Routing);
    }
    if is_answer {
        let verdict = Verdict::Route {
            ifindex: endpoint.bridge,
        };
        return (verdict, Check::Hairpin);
    }
    if to_gateway && endpoint.flags & ENDPOINT_REDIRECT_OFF == 0 && !ethernet.tagged {
        // Past the bridge: with br_netfilter on, a published port would be translated in there, and
        // what then leads back into the network be kept from the port that it came from, and from
        // all that are isolated (`br_nf_pre_routing_finish`, net/bridge/br_netfilter_hooks.c, v6.18).
        let verdict = Verdict::Host {
            ifindex: endpoint.bridge,
        };
        return (verdict, Check::Routing);
    }
    (Verdict::Next, Check::Bridge)
}
