//! Headers before and after.

use bridge_common::mapped;

use super::{End, Translated, Translation, folded, translated4, translated6};
use crate::address::Ip6;

/// A sum of units of two bytes, in their order in memory.
fn sum(units: &[u16]) -> u16 {
    folded(units.iter().map(|unit| u32::from(*unit)).sum())
}

fn frame(ip: &[u8]) -> Vec<u8> {
    let mut frame = [&[0x11; 12][..], &[0x08, 0x00], ip].concat();
    frame.resize(74, 0xab);
    frame
}

fn to(end: End, address: [u8; 16]) -> Translation {
    Translation {
        link: [1, 2, 3, 4, 5, 6],
        end,
        address: Ip6::from_bytes(address).halves(),
        port: 8080,
    }
}

/// What the changes say of a sum is what it changed.
fn assert_sums<const N: usize>(
    before: &[u16; N],
    translated: &Translated<N>,
    addresses: std::ops::Range<usize>,
) {
    let after = &translated.headers;
    let of_addresses = u32::from(sum(&before[addresses.clone()])) + translated.addresses;
    assert_eq!(folded(of_addresses), sum(&after[addresses]));
    let of_ports = u32::from(sum(&before[N - 2..])) + translated.ports;
    assert_eq!(folded(of_ports), sum(&after[N - 2..]));
}

#[test]
fn an_ipv4_header_gets_one_end_and_one_hop_less() {
    let header = [0x45, 0, 0, 60, 1, 2, 0x40, 0, 64, 6, 0, 0];
    let mut frame = frame(
        &[
            &header[..],
            &[192, 0, 2, 2, 192, 0, 2, 1, 0x0f, 0xa0, 0, 80],
        ]
        .concat(),
    );
    let units = |bytes: &[u8]| -> Vec<u16> {
        let pairs = bytes.chunks(2);
        pairs
            .map(|pair| u16::from_ne_bytes([pair[0], pair[1]]))
            .collect()
    };
    let checksum = !sum(&units(&frame[14..34]));
    frame[24..26].copy_from_slice(&checksum.to_ne_bytes());
    let before: [u16; 19] = units(&frame[..38]).try_into().unwrap();
    for (end, at, port) in [(End::Source, 26, 34), (End::Destination, 30, 36)] {
        let translated = translated4(&frame.as_slice(), &to(end, mapped([10, 90, 0, 2]))).unwrap();
        let bytes: Vec<u8> = translated
            .headers
            .iter()
            .flat_map(|u| u.to_ne_bytes())
            .collect();
        let mut wanted = frame[..38].to_vec();
        wanted[..12].copy_from_slice(&[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0]);
        wanted[22] = 63;
        wanted[at..at + 4].copy_from_slice(&[10, 90, 0, 2]);
        wanted[port..port + 2].copy_from_slice(&8080_u16.to_be_bytes());
        wanted[24..26].copy_from_slice(&bytes[24..26]);
        assert_eq!(bytes, wanted);
        assert_eq!(
            sum(&translated.headers[7..17]),
            0xffff,
            "the header's checksum"
        );
        assert_sums(&before, &translated, 13..17);
    }
}

#[test]
fn an_ipv6_header_does_too() {
    let mut header = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
    header.extend([0x20; 16]);
    header.extend([0x30; 16]);
    header.extend([0x0f, 0xa0, 0, 80]);
    let frame = frame(&header);
    let pairs = frame[..58].chunks(2);
    let before: Vec<u16> = pairs.map(|p| u16::from_ne_bytes([p[0], p[1]])).collect();
    let before: [u16; 29] = before.try_into().unwrap();
    let address = [0xfd, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
    for (end, at, port) in [(End::Source, 22, 54), (End::Destination, 38, 56)] {
        let translated = translated6(&frame.as_slice(), &to(end, address)).unwrap();
        let bytes: Vec<u8> = translated
            .headers
            .iter()
            .flat_map(|u| u.to_ne_bytes())
            .collect();
        let mut wanted = frame[..58].to_vec();
        wanted[..12].copy_from_slice(&[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0]);
        wanted[21] = 63;
        wanted[at..at + 16].copy_from_slice(&address);
        wanted[port..port + 2].copy_from_slice(&8080_u16.to_be_bytes());
        assert_eq!(bytes, wanted);
        assert_sums(&before, &translated, 11..27);
    }
}

#[test]
fn what_is_cut_short_is_not_translated() {
    let frame = frame(&[0x45]);
    let to = to(End::Source, mapped([10, 90, 0, 2]));
    assert!(translated4(&&frame[..37], &to).is_none());
    assert!(translated6(&&frame[..57], &to).is_none());
}
