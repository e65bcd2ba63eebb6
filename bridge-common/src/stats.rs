//! Counters of a port, and the numbered reasons for dropping a frame.

use bytemuck::{Pod, Zeroable};

/// Slot that counts the frames of ports without an entry in `PORTS`.
pub const NO_SLOT: u16 = 0;

/// Length of [`PortStats::drops`]: room for reasons to come.
pub const DROP_REASONS: usize = 16;

/// Value of the per-CPU map `STATS`; the key is the slot of a port (`u32`).
///
/// Counted where the frame enters, that is on the sender's port. A GSO frame counts as the
/// segments that it stands for; its bytes are those of the frame, headers once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct PortStats {
    /// Packets that were redirected into the receiver's namespace.
    pub fast_packets: u64,
    /// Bytes of those, Ethernet header included.
    pub fast_bytes: u64,
    /// Packets that were left to the Linux bridge, or handed to the host.
    pub slow_packets: u64,
    /// Bytes of those, Ethernet header included.
    pub slow_bytes: u64,
    /// Requests for an address that the program answered itself.
    pub answered_packets: u64,
    /// Bytes of those, Ethernet header included.
    pub answered_bytes: u64,
    /// Packets dropped, by [`DropReason`].
    pub drops: [u64; DROP_REASONS],
}

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// Why the program dropped a frame. A number is never used again for another reason.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum DropReason {
            $($(#[$doc])* $variant = $number,)*
        }

        impl DropReason {
            /// Every reason, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The reason's name in commands and documents.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        const _: () = { $(assert!($number < DROP_REASONS);)* };
    };
}

drop_reasons! {
    /// The port has no entry in `PORTS`: it is not (or no longer) one of ours.
    NoPort = 1, "no_port";
    /// Headers are cut short, contradict themselves, or hide what they carry.
    Malformed = 2, "malformed";
    /// The source MAC address is not the endpoint's.
    SpoofedMac = 3, "spoofed_mac";
    /// The source IP address is not the endpoint's.
    SpoofedIp = 4, "spoofed_ip";
    /// An ARP message speaks for an address that is not the endpoint's.
    SpoofedArp = 5, "spoofed_arp";
    /// A neighbour discovery message speaks for an address that is not the endpoint's.
    SpoofedNd = 6, "spoofed_nd";
    /// A DHCP server's message, of either version, from an endpoint.
    RogueDhcp = 7, "rogue_dhcp";
    /// A router advertisement or redirect from an endpoint.
    RogueRa = 8, "rogue_ra";
    /// Inter-container communication is off in the network.
    Icc = 9, "icc";
    /// The destination is in another of our networks.
    Isolated = 10, "isolated";
    /// The network is internal, and the destination beyond it.
    Internal = 11, "internal";
    /// The port sends more broadcast and multicast than it may.
    Storm = 12, "storm";
}

crate::map_type!(PortStats, 48 + 8 * DROP_REASONS);
