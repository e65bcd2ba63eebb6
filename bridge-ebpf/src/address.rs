//! Addresses as the program handles them: integers of the bytes as they lie in memory, so that
//! reading, comparing and passing one on is an instruction or two, and never a loop over bytes.

use bridge_common::{Address, mapped, wire_mac};

/// A MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(u16, u16, u16);

impl Mac {
    /// Of three units, as they lie in memory ([`bridge_common::wire_mac`]).
    #[inline(always)]
    pub fn new(units: [u16; 3]) -> Self {
        let [a, b, c] = units;
        Self(a, b, c)
    }

    /// The three units.
    #[inline(always)]
    pub fn units(self) -> [u16; 3] {
        [self.0, self.1, self.2]
    }

    /// The bytes on the wire.
    #[inline(always)]
    pub fn bytes(self) -> [u8; 6] {
        let ([a, b], [c, d], [e, f]) = (
            self.0.to_ne_bytes(),
            self.1.to_ne_bytes(),
            self.2.to_ne_bytes(),
        );
        [a, b, c, d, e, f]
    }

    /// Whether it is a group's: multicast or broadcast (IEEE 802-2014, 8.2.2, I/G bit).
    #[inline(always)]
    pub fn is_group(self) -> bool {
        self.0.to_ne_bytes()[0] & 1 == 1
    }

    /// Whether it can be a station's: neither a group's nor zero (`is_valid_ether_addr`,
    /// include/linux/etherdevice.h, v6.18).
    #[inline(always)]
    pub fn is_station(self) -> bool {
        !self.is_group() && self.0 | self.1 | self.2 != 0
    }

    /// The slot that an address of our making ends in.
    #[inline(always)]
    pub fn slot(self) -> u16 {
        u16::from_be(self.2)
    }
}

/// An IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip4(pub u32);

impl Ip4 {
    /// No address.
    pub const UNSPECIFIED: Self = Self(0);
    /// All of a link (RFC 919, 7).
    pub const BROADCAST: Self = Self(u32::MAX);

    /// As keys of maps have it.
    #[inline(always)]
    pub fn mapped(self) -> Address {
        mapped(self.0.to_ne_bytes())
    }

    /// Whether it is multicast, reserved or broadcast (RFC 1112, 4): nothing that is routed.
    #[inline(always)]
    pub fn is_beyond_unicast(self) -> bool {
        self.0.to_ne_bytes()[0] >= 224
    }
}

/// The first half of link-local addresses (RFC 4291, 2.5.6).
const LINK_LOCAL: u64 = u64::from_ne_bytes([0xfe, 0x80, 0, 0, 0, 0, 0, 0]);

/// The first half of the second half of IPv4-mapped addresses (RFC 4291, 2.5.5.2).
const MAPPED: u64 = u64::from_ne_bytes([0, 0, 0xff, 0xff, 0, 0, 0, 0]);
const MAPPED_MASK: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

/// An IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip6 {
    high: u64,
    low: u64,
}

impl Ip6 {
    /// No address.
    pub const UNSPECIFIED: Self = Self { high: 0, low: 0 };
    /// No IPv4 address.
    pub const UNSPECIFIED_IPV4: Self = Self {
        high: 0,
        low: MAPPED,
    };
    /// The host itself (RFC 4291, 2.5.3).
    const LOOPBACK: Self = Self {
        high: 0,
        low: 1_u64.to_be(),
    };

    /// Of the bytes on the wire.
    #[inline(always)]
    pub fn from_bytes(bytes: Address) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Self {
            high: u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            low: u64::from_ne_bytes([i, j, k, l, m, n, o, p]),
        }
    }

    /// Of two halves, as they lie in memory.
    #[inline(always)]
    pub fn new(halves: [u64; 2]) -> Self {
        let [high, low] = halves;
        Self { high, low }
    }

    /// The bytes on the wire.
    #[inline(always)]
    pub fn bytes(self) -> Address {
        let [a, b, c, d, e, f, g, h] = self.high.to_ne_bytes();
        let [i, j, k, l, m, n, o, p] = self.low.to_ne_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    /// An IPv4-mapped one.
    #[inline(always)]
    pub fn of_ipv4(address: Ip4) -> Self {
        Self {
            high: 0,
            low: MAPPED | u64::from(address.0) << 32,
        }
    }

    /// Two halves, as they lie in memory.
    #[inline(always)]
    pub fn halves(self) -> [u64; 2] {
        [self.high, self.low]
    }

    /// The link-local address of a MAC address (RFC 4291, appendix A).
    #[inline(always)]
    pub fn link_local(mac: Mac) -> Self {
        let [a, b, c, d, e, f] = mac.bytes();
        Self::new([
            LINK_LOCAL,
            u64::from_ne_bytes([a ^ 0x02, b, c, 0xff, 0xfe, d, e, f]),
        ])
    }

    /// The MAC address that [`Self::link_local`] made it of, if it did.
    #[inline(always)]
    pub fn link_local_mac(self) -> Option<Mac> {
        let [a, b, c, ff, fe, d, e, f] = self.low.to_ne_bytes();
        let mac = Mac::new(wire_mac([a ^ 0x02, b, c, d, e, f]));
        let made = self.high == LINK_LOCAL && ff == 0xff && fe == 0xfe;
        made.then_some(mac)
    }

    /// Whether it is an IPv4-mapped one.
    #[inline(always)]
    pub fn is_ipv4(self) -> bool {
        self.high == 0 && self.low & MAPPED_MASK == MAPPED
    }

    /// Whether it is the host itself, of either family (RFC 1122, 3.2.1.3).
    #[inline(always)]
    pub fn is_loopback(self) -> bool {
        self == Self::LOOPBACK || (self.is_ipv4() && self.low.to_ne_bytes()[4] == 127)
    }

    /// Whether it is none, of either family.
    #[inline(always)]
    pub fn is_unspecified(self) -> bool {
        self == Self::UNSPECIFIED || self == Self::UNSPECIFIED_IPV4
    }

    /// Whether nothing of that kind is routed, of either family: multicast, link-local, reserved.
    #[inline(always)]
    pub fn is_never_routed(self) -> bool {
        if self.is_ipv4() {
            self.low.to_ne_bytes()[4] >= 224
        } else {
            self.stays_on_link()
        }
    }

    /// Whether it is multicast or link-local (RFC 4291, 2.7 and 2.5.6): nothing that is routed.
    #[inline(always)]
    pub fn stays_on_link(self) -> bool {
        let [first, second, ..] = self.high.to_ne_bytes();
        first == 0xff || (first == 0xfe && second & 0xc0 == 0x80)
    }
}
