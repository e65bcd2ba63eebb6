//! What the program does with a frame, and which check said so.

use bridge_common::{DecisionRecord, DropReason, verdict};

/// The checks, in the order in which a frame meets them.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// The port is one of ours.
    Port = 0,
    /// The frame has an Ethernet header.
    Ethernet = 1,
    /// The source MAC address is the endpoint's.
    SourceMac = 2,
    /// The headers are whole and plain.
    Headers = 3,
    /// IP, ARP and neighbour discovery speak for the endpoint's addresses only; nobody plays
    /// DHCP server or router.
    SourceAddress = 4,
    /// A request for a neighbour that the program knows.
    Neighbour = 5,
    /// Broadcast and multicast are within the port's limit.
    Storm = 6,
    /// Inter-container communication.
    Icc = 7,
    /// It answers no neighbour that asked by an address of the host.
    Hairpin = 8,
    /// The destination is an endpoint of the network.
    Fdb = 9,
    /// What the host would route: not into other networks, nor out of an internal one.
    Routing = 10,
    /// Nothing decided: the slow path.
    Bridge = 11,
}

impl Check {
    /// Every check, in order.
    pub const ALL: [Self; 12] = [
        Self::Port,
        Self::Ethernet,
        Self::SourceMac,
        Self::Headers,
        Self::SourceAddress,
        Self::Neighbour,
        Self::Storm,
        Self::Icc,
        Self::Hairpin,
        Self::Fdb,
        Self::Routing,
        Self::Bridge,
    ];

    /// The check's name in commands and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Ethernet => "ethernet",
            Self::SourceMac => "source_mac",
            Self::Headers => "headers",
            Self::SourceAddress => "source_address",
            Self::Neighbour => "neighbour",
            Self::Storm => "storm",
            Self::Icc => "icc",
            Self::Hairpin => "hairpin",
            Self::Fdb => "fdb",
            Self::Routing => "routing",
            Self::Bridge => "bridge",
        }
    }
}

/// The answer that the program makes out of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An ARP reply (RFC 826): `mac` has the address that was asked for.
    Arp {
        /// Who has the address.
        mac: [u8; 6],
    },
    /// A neighbour advertisement (RFC 4861, 4.4).
    Neighbour {
        /// Who has the address.
        mac: [u8; 6],
        /// The neighbour is a router.
        router: bool,
    },
}

/// What to do with a frame.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Hand the frame to the container leg whose host leg has this index: the fast path.
    Redirect {
        /// Index of the receiver's host leg.
        ifindex: u32,
    },
    /// Send this answer back instead.
    Answer(Answer),
    /// Hand the frame to the host's stack and nobody else.
    Host {
        /// Index of the bridge.
        ifindex: u32,
    },
    /// Hand the frame to the host's stack, as if it had been sent to the gateway's MAC address.
    Route {
        /// Index of the bridge.
        ifindex: u32,
    },
    /// Leave the frame to the next program and then to the Linux bridge: the slow path.
    Next,
    /// Drop the frame.
    Drop(DropReason),
}

/// The verdict on a frame of a port, and the check that came to it.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Slot of the port; [`bridge_common::NO_SLOT`] for one that is not ours.
    pub slot: u16,
    /// The verdict.
    pub verdict: Verdict,
    /// The check that came to it.
    pub check: Check,
}

impl Decision {
    /// The decision as maps and events hold it. `ifindex` is the port's.
    #[inline(always)]
    pub fn record(&self, ifindex: u32) -> DecisionRecord {
        let (verdict, reason, target) = match self.verdict {
            Verdict::Drop(reason) => (verdict::DROP, reason as u16, 0),
            Verdict::Redirect { ifindex } => (verdict::REDIRECT, 0, ifindex),
            Verdict::Next => (verdict::NEXT, 0, 0),
            Verdict::Answer(_) => (verdict::ANSWER, 0, 0),
            Verdict::Host { ifindex } | Verdict::Route { ifindex } => (verdict::HOST, 0, ifindex),
        };
        DecisionRecord {
            ifindex,
            target,
            slot: self.slot,
            verdict,
            reason,
            check: self.check as u16,
        }
    }
}
