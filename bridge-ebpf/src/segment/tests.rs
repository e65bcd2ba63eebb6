//! What is read, and what is not.

use bridge_common::{PublishedKey, SocketAddress, mapped};

use super::Segment;
use crate::publish::{self, Publications};
use crate::testing::raw;

struct Published(Vec<(PublishedKey, SocketAddress)>);

impl Publications for Published {
    fn publication(&self, asked: &PublishedKey) -> Option<SocketAddress> {
        let mut entries = self.0.iter();
        entries.find_map(|(key, to)| (key == asked).then_some(*to))
    }
}

fn key(address: [u8; 4], port: u16) -> PublishedKey {
    PublishedKey {
        address: mapped(address),
        port,
        protocol: 6,
        reserved: [0; 5],
    }
}

/// TCP from port 4000 to 80, ACK alone.
const TCP: [u8; 20] = [
    0x0f, 0xa0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 16, 0, 0, 0, 0, 0, 0,
];

fn ipv4(first: u8, fragment: u16, protocol: u8) -> Vec<u8> {
    let [a, b] = fragment.to_be_bytes();
    let header = [
        first, 0, 0, 40, 0, 0, a, b, 64, protocol, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1,
    ];
    raw([2; 6], [4; 6], 0x0800, &[&header[..], &TCP].concat())
}

fn ipv6(next: u8) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0, 0, 20, next, 64];
    header.extend([0x20; 16]);
    header.extend([0x30; 16]);
    raw([2; 6], [4; 6], 0x86dd, &[&header[..], &TCP].concat())
}

#[test]
fn plain_segments_are_read() {
    let read = Segment::read(&ipv4(0x45, 0x4000, 6).as_slice(), false).unwrap();
    assert_eq!((read.ipv6, read.protocol, read.hops), (false, 6, 64));
    assert!(read.is_settled(true) && !read.is_settled(false));
    assert!(!read.begins() && !read.ends());
    let to = |address: [u8; 4]| SocketAddress {
        address: mapped(address),
        port: 1,
        reserved: [0; 3],
    };
    let published = Published(vec![
        // Of all addresses, and of single ones.
        (publish::key([0, 0], 80, 17), to([10, 0, 0, 6])),
        (key([0; 4], 80), to([10, 0, 0, 1])),
        (key([192, 0, 2, 1], 80), to([10, 0, 0, 2])),
        (key([0; 4], 4000), SocketAddress::default()),
        (key([192, 0, 2, 2], 4000), to([10, 0, 0, 3])),
    ]);
    assert_eq!(read.asked(&published), Some(to([10, 0, 0, 1])));
    assert_eq!(read.answering(&published), Some(to([10, 0, 0, 3])));
    assert_eq!(read.asked(&Published(Vec::new())), None);
    let read = Segment::read(&ipv6(17).as_slice(), false).unwrap();
    assert_eq!(
        (read.ipv6, read.protocol, read.asked(&published)),
        (true, 17, Some(to([10, 0, 0, 6])))
    );
    assert_eq!(read.flow_in().client, read.flow_out().endpoint);
}

#[test]
fn all_else_is_the_stacks() {
    for (case, frame, tagged) in [
        ("options", ipv4(0x46, 0, 6), false),
        ("more fragments", ipv4(0x45, 0x2000, 6), false),
        ("a later fragment", ipv4(0x45, 1, 17), false),
        ("icmp", ipv4(0x45, 0, 1), false),
        ("sctp", ipv4(0x45, 0, 132), false),
        ("a tag", ipv4(0x45, 0, 6), true),
        ("an extension", ipv6(44), false),
        ("icmpv6", ipv6(58), false),
        ("arp", raw([2; 6], [4; 6], 0x0806, &[0; 40]), false),
        ("no flags", ipv4(0x45, 0, 6)[..40].to_vec(), false),
    ] {
        assert_eq!(Segment::read(&frame.as_slice(), tagged), None, "{case}");
    }
}
