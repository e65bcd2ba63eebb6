//! The frames that answer a request for a neighbour.

use crate::address::Ip6;
use crate::frame::Frame;

/// Length of a neighbour advertisement with one option in an Ethernet frame.
pub const NA_LENGTH: usize = 14 + 40 + 32;

/// All nodes of a link (RFC 4291, 2.7.1), and their MAC address (RFC 2464, 7).
const ALL_NODES: [u8; 16] = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// Where [`ArpReply::message`] begins in an Ethernet frame: at the operation.
pub const ARP_OPERATION: usize = 14 + 6;

/// What makes an ARP request its own reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpReply {
    /// Destination and source MAC address, from offset 0.
    pub ethernet: [u8; 12],
    /// Operation, sender and target, from [`ARP_OPERATION`].
    pub message: [u8; 22],
}

/// The reply to the ARP request `frame`: `mac` has the address asked for (RFC 826).
#[inline(always)]
pub fn arp_reply<F: Frame>(frame: &F, mac: [u8; 6]) -> Option<ArpReply> {
    let target = frame.ip4(ARP_OPERATION + 18)?.0.to_ne_bytes();
    let asker_mac = frame.mac(ARP_OPERATION + 2)?.bytes();
    let asker_ip = frame.ip4(ARP_OPERATION + 8)?.0.to_ne_bytes();
    let mut reply = ArpReply {
        ethernet: [0; 12],
        message: [0; 22],
    };
    reply.ethernet[..6].copy_from_slice(&frame.mac(6)?.bytes());
    reply.ethernet[6..].copy_from_slice(&mac);
    reply.message[1] = 2;
    reply.message[2..8].copy_from_slice(&mac);
    reply.message[8..12].copy_from_slice(&target);
    reply.message[12..18].copy_from_slice(&asker_mac);
    reply.message[18..].copy_from_slice(&asker_ip);
    Some(reply)
}

/// The advertisement that answers the neighbour solicitation `frame`: `mac` has the target
/// (RFC 4861, 4.4). To the asker, or to all nodes where the asker has no address yet. It is written
/// in place, for a second copy would not fit on the program's stack; `None`: the frame is too short.
#[inline(always)]
pub fn neighbour_advertisement<F: Frame>(
    frame: &F,
    mac: [u8; 6],
    router: bool,
    reply: &mut [u8; NA_LENGTH],
) -> Option<()> {
    /// Flags of an advertisement: router, solicited, override.
    const ROUTER: u8 = 0x80;
    const SOLICITED: u8 = 0x40;
    const OVERRIDE: u8 = 0x20;
    let target = frame.ip6(14 + 48)?;
    let asker = frame.ip6(14 + 8)?;
    let asker_mac = frame.mac(6)?;
    reply.fill(0);
    let flags = if asker == Ip6::UNSPECIFIED {
        reply[..6].copy_from_slice(&ALL_NODES_MAC);
        reply[38..54].copy_from_slice(&ALL_NODES);
        OVERRIDE
    } else {
        reply[..6].copy_from_slice(&asker_mac.bytes());
        reply[38..54].copy_from_slice(&asker.bytes());
        SOLICITED | OVERRIDE
    };
    reply[6..12].copy_from_slice(&mac);
    reply[12..22].copy_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255]);
    reply[22..38].copy_from_slice(&target.bytes());
    reply[54] = 136;
    reply[58] = if router { flags | ROUTER } else { flags };
    reply[62..78].copy_from_slice(&target.bytes());
    // Target link-layer address, one unit of eight bytes.
    reply[78..80].copy_from_slice(&[2, 1]);
    reply[80..86].copy_from_slice(&mac);
    let sum = checksum(reply);
    reply[56..58].copy_from_slice(&sum.to_be_bytes());
    Some(())
}

/// The ICMPv6 checksum of a whole frame with its own field zero: addresses, length and next header
/// count too (RFC 8200, 8.1).
#[inline(always)]
fn checksum(frame: &[u8; NA_LENGTH]) -> u16 {
    let mut sum: u32 = 32 + 58;
    let mut at = 22;
    while at < NA_LENGTH {
        sum += u32::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
        at += 2;
    }
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    #[expect(clippy::cast_possible_truncation, reason = "both halves were added up")]
    let folded = !(sum as u16);
    folded
}
