//! Headers with another source or destination: what the firewall's NAT and the host's routing make of
//! them, in one.

use crate::frame::Frame;
use crate::segment::IP;

/// Units of two bytes of a frame up to the ports behind a plain IPv4 header.
pub const HEADERS4: usize = 19;
/// Likewise behind an IPv6 header.
pub const HEADERS6: usize = 29;

/// Where things are in those, in units: the byte of hops and the protocol, IPv4's checksum, addresses,
/// ports.
const HOPS4: usize = IP / 2 + 4;
const CHECKSUM4: usize = IP / 2 + 5;
const SOURCE4: usize = IP / 2 + 6;
const DESTINATION4: usize = IP / 2 + 8;
const HOPS6: usize = IP / 2 + 3;
const SOURCE6: usize = IP / 2 + 4;
const DESTINATION6: usize = IP / 2 + 12;

/// Which end of a segment gets another address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// From the endpoint: it is to come from the published port.
    Source,
    /// To the published port: it is to go to the endpoint.
    Destination,
}

/// What a segment gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Its destination and source MAC address, as they begin a frame.
    pub link: [u16; 6],
    /// Which end changes.
    pub end: End,
    /// The new address, as two halves of its bytes on the wire ([`bridge_common::mapped`]).
    pub address: [u64; 2],
    /// The new port, in host byte order.
    pub port: u16,
}

/// Headers that were translated, as they lie in memory, and what that changes of the checksum behind
/// them: one's complement sums of units of two bytes (RFC 1071), in their order in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translated<const N: usize> {
    /// From the Ethernet header to the ports.
    pub headers: [u16; N],
    /// By the addresses, which are in the pseudo-header (RFC 9293, 3.1).
    pub addresses: u32,
    /// By the ports.
    pub ports: u32,
}

/// Translates a segment's headers, [`HEADERS4`] or [`HEADERS6`] units of them; it is by one hop nearer
/// to its end then. `None`: they are cut short.
#[inline(always)]
pub fn translated4<F: Frame>(frame: &F, to: &Translation) -> Option<Translated<HEADERS4>> {
    let mut translated = Translated {
        headers: frame.units()?,
        addresses: 0,
        ports: 0,
    };
    let headers = &mut translated.headers;
    put_link(headers, to);
    let [_, low] = to.address;
    let [_, _, first, second] = units_of(low);
    let (at, port) = match to.end {
        End::Source => (SOURCE4, HEADERS4 - 2),
        End::Destination => (DESTINATION4, HEADERS4 - 1),
    };
    let mut changed = put(headers, at, first) + put(headers, at + 1, second);
    translated.addresses = changed;
    translated.ports = put(headers, port, to.port.to_be());
    // The hops are the unit's first byte.
    changed += put(headers, HOPS4, headers[HOPS4].wrapping_sub(1));
    // RFC 1624, 3: the sum of what was there, without what went and with what came.
    headers[CHECKSUM4] = !folded(u32::from(!headers[CHECKSUM4]) + changed);
    Some(translated)
}

/// As [`translated4`]. IPv6 has no checksum of its own.
#[inline(always)]
pub fn translated6<F: Frame>(frame: &F, to: &Translation) -> Option<Translated<HEADERS6>> {
    let mut translated = Translated {
        headers: frame.units()?,
        addresses: 0,
        ports: 0,
    };
    let headers = &mut translated.headers;
    put_link(headers, to);
    let [high, low] = to.address;
    let (at, port) = match to.end {
        End::Source => (SOURCE6, HEADERS6 - 2),
        End::Destination => (DESTINATION6, HEADERS6 - 1),
    };
    for (offset, half) in [(0, high), (4, low)] {
        let [a, b, c, d] = units_of(half);
        translated.addresses += put(headers, at + offset, a)
            + put(headers, at + offset + 1, b)
            + put(headers, at + offset + 2, c)
            + put(headers, at + offset + 3, d);
    }
    translated.ports = put(headers, port, to.port.to_be());
    // The hops are the unit's second byte, behind the next header.
    put(headers, HOPS6, headers[HOPS6].wrapping_sub(1 << 8));
    Some(translated)
}

/// Puts a unit in the place of another; what that changes of a sum over both (RFC 1624, 3).
#[inline(always)]
fn put<const N: usize>(headers: &mut [u16; N], at: usize, unit: u16) -> u32 {
    let changed = u32::from(!headers[at]) + u32::from(unit);
    headers[at] = unit;
    changed
}

#[inline(always)]
fn put_link<const N: usize>(headers: &mut [u16; N], to: &Translation) {
    let [a, b, c, d, e, f] = to.link;
    headers[0] = a;
    headers[1] = b;
    headers[2] = c;
    headers[3] = d;
    headers[4] = e;
    headers[5] = f;
}

/// Half an address, as units lie in memory.
#[inline(always)]
fn units_of(half: u64) -> [u16; 4] {
    let [a, b, c, d, e, f, g, h] = half.to_ne_bytes();
    [[a, b], [c, d], [e, f], [g, h]].map(u16::from_ne_bytes)
}

/// A one's complement sum of few units in 16 bits (RFC 1071, 2).
#[inline(always)]
fn folded(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    #[expect(clippy::cast_possible_truncation, reason = "it was folded twice")]
    let folded = ((sum & 0xffff) + (sum >> 16)) as u16;
    folded
}

#[cfg(test)]
mod tests;
