//! The decision about a frame, from the facts that the hook gathered.
//!
//! Only what is provably allowed is redirected; whatever this code does not know goes to the
//! Linux bridge. A frame of an unknown port is dropped: a port without an entry has no policy.

use bridge_common::{DropReason, FdbEntry, FdbKey, PORT_ICC_OFF, PORT_REDIRECT_OFF, PortEntry};

use crate::Verdict;

/// What is known about a frame that came in on a port.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Index of the host leg that the frame came in on.
    pub ifindex: u32,
    /// The port's entry in `PORTS`, if it has one.
    pub port: Option<PortEntry>,
    /// Destination MAC address; `None` if the frame is too short for an Ethernet header.
    pub destination: Option<[u8; 6]>,
    /// The entry of [`fdb_key`] in `FDB`; `None` if there is no such entry, or no key.
    pub target: Option<FdbEntry>,
}

/// Decides about a frame.
#[inline(always)]
pub fn decide(facts: &Facts) -> Verdict {
    let Some(port) = facts.port else {
        return Verdict::Drop(DropReason::NoPort);
    };
    if facts.destination.is_none() {
        return Verdict::Drop(DropReason::Malformed);
    }
    match facts.target {
        // An entry of another network took the place of the one that was looked up.
        Some(target) if target.network != port.network => Verdict::Next,
        // A station behind the very port that sent is the bridge's business: it does not
        // send a frame back where it came from unless hairpin is on.
        Some(target)
            if fdb_key(Some(port), facts.destination).is_some()
                && target.ifindex != facts.ifindex =>
        {
            Verdict::Redirect {
                ifindex: target.ifindex,
            }
        }
        _ => Verdict::Next,
    }
}

/// The key to look up in `FDB` for a frame, or `None` if the decision does not depend on it.
#[inline(always)]
pub fn fdb_key(port: Option<PortEntry>, destination: Option<[u8; 6]>) -> Option<FdbKey> {
    let (port, mac) = (port?, destination?);
    let may_redirect = port.flags & (PORT_ICC_OFF | PORT_REDIRECT_OFF) == 0;
    (may_redirect && !is_group(mac)).then_some(FdbKey {
        mac,
        network: port.network,
    })
}

/// Whether the address is a group's: multicast or broadcast (IEEE 802-2014, 8.2.2, I/G bit).
#[inline(always)]
fn is_group(mac: [u8; 6]) -> bool {
    mac[0] & 1 == 1
}

#[cfg(test)]
mod tests;
