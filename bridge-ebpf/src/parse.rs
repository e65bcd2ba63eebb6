//! Headers, as far as the decision needs them.

use crate::address::{Ip4, Ip6, Mac};
use crate::frame::Frame;

/// EtherTypes (IEEE 802 numbers, include/uapi/linux/if_ether.h, v6.18).
pub(crate) const ETH_P_IP: u16 = 0x0800;
pub(crate) const ETH_P_ARP: u16 = 0x0806;
pub(crate) const ETH_P_IPV6: u16 = 0x86dd;
const ETH_P_8021Q: u16 = 0x8100;
const ETH_P_8021AD: u16 = 0x88a8;

/// Protocol and next-header numbers (IANA).
pub(crate) const PROTO_UDP: u8 = 17;
pub(crate) const PROTO_ICMPV6: u8 = 58;
const PROTO_HOP_BY_HOP: u8 = 0;
const PROTO_ROUTING: u8 = 43;
pub(crate) const PROTO_FRAGMENT: u8 = 44;
const PROTO_AH: u8 = 51;
const PROTO_DESTINATION: u8 = 60;

/// The offset in IPv4's field of flags and fragment offset (RFC 791, 3.1).
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// Extension headers that are followed; a frame with more hides something (RFC 7113).
const EXTENSIONS_MAX: usize = 4;

/// The Ethernet header, past any VLAN tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ethernet {
    pub(crate) destination: Mac,
    pub(crate) source: Mac,
    /// EtherType of what is carried, after the tags.
    pub(crate) ether_type: u16,
    /// Where that begins: 14, 18 or 22.
    pub(crate) payload: usize,
    /// Whether there is a VLAN tag.
    pub(crate) tagged: bool,
}

/// Reads the Ethernet header and at most two tags; more hide what is carried. `tagged` says of a tag
/// that was taken off the bytes already, and counts as one.
#[inline(always)]
pub(crate) fn ethernet<F: Frame>(frame: &F, tagged: bool) -> Option<Ethernet> {
    let mut ethernet = Ethernet {
        ether_type: u16::from_be(frame.u16(12)?),
        source: frame.mac(6)?,
        destination: frame.mac(0)?,
        payload: 14,
        tagged,
    };
    if is_tag(ethernet.ether_type) {
        ethernet.tagged = true;
        ethernet.ether_type = u16::from_be(frame.u16(16)?);
        ethernet.payload = 18;
        if is_tag(ethernet.ether_type) {
            ethernet.ether_type = u16::from_be(frame.u16(20)?);
            ethernet.payload = 22;
            if tagged || is_tag(ethernet.ether_type) {
                return None;
            }
        }
    }
    Some(ethernet)
}

/// Whether an EtherType is a VLAN tag's.
#[inline(always)]
fn is_tag(ether_type: u16) -> bool {
    ether_type == ETH_P_8021Q || ether_type == ETH_P_8021AD
}

/// An IPv4 header (RFC 791, 3.1).
pub(crate) struct Ipv4 {
    pub(crate) source: Ip4,
    pub(crate) protocol: u8,
    /// Whether this is the first fragment, or the whole.
    pub(crate) first: bool,
    /// Where the upper layer begins.
    pub(crate) upper: usize,
}

/// Reads an IPv4 header at `at`; `None` where it is cut short or contradicts itself.
#[inline(always)]
pub(crate) fn ipv4<F: Frame>(frame: &F, at: usize) -> Option<Ipv4> {
    // The last field that every header has.
    let _ = frame.ip4(at + 16)?;
    let version = frame.u8(at)?;
    let words = usize::from(version & 0x0f);
    if version >> 4 != 4 || words < 5 {
        return None;
    }
    Some(Ipv4 {
        source: frame.ip4(at + 12)?,
        protocol: frame.u8(at + 9)?,
        first: u16::from_be(frame.u16(at + 6)?) & FRAGMENT_OFFSET == 0,
        upper: at + 4 * words,
    })
}

/// An IPv6 header (RFC 8200, 3).
pub(crate) struct Ipv6 {
    pub(crate) source: Ip6,
    pub(crate) next: u8,
}

/// Reads an IPv6 header at `at`; `None` where it is cut short or contradicts itself.
#[inline(always)]
pub(crate) fn ipv6<F: Frame>(frame: &F, at: usize) -> Option<Ipv6> {
    // The end of the last field.
    let _ = frame.u64(at + 32)?;
    if frame.u8(at)? >> 4 != 6 {
        return None;
    }
    Some(Ipv6 {
        source: frame.ip6(at + 8)?,
        next: frame.u8(at + 6)?,
    })
}

/// What an IPv6 header and its extension headers lead to.
pub(crate) enum Upper {
    /// The upper layer's number and place.
    Layer(u8, usize),
    /// A fragment that does not have it.
    Fragment,
    /// The chain is cut short, or too long: it hides something.
    Hidden,
}

/// Follows the extension headers from `at` on.
#[inline(always)]
pub(crate) fn upper_layer<F: Frame>(frame: &F, at: usize, next: u8) -> Upper {
    let (mut at, mut next) = (at, next);
    if !is_extension(next) {
        return Upper::Layer(next, at);
    }
    for _ in 0..EXTENSIONS_MAX {
        if !is_extension(next) {
            return Upper::Layer(next, at);
        }
        let Some([following, length, third, fourth]) = frame.far(at) else {
            return Upper::Hidden;
        };
        if next == PROTO_FRAGMENT && u16::from_be_bytes([third, fourth]) >> 3 != 0 {
            return Upper::Fragment;
        }
        at += match next {
            PROTO_FRAGMENT => 8,
            PROTO_AH => 4 * (usize::from(length) + 2),
            _ => 8 * (usize::from(length) + 1),
        };
        next = following;
    }
    Upper::Hidden
}

#[inline(always)]
fn is_extension(next: u8) -> bool {
    matches!(
        next,
        PROTO_HOP_BY_HOP | PROTO_ROUTING | PROTO_FRAGMENT | PROTO_AH | PROTO_DESTINATION
    )
}
