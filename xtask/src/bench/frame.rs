//! Frames for the program that no socket sent.

use std::net::IpAddr;

use super::topology::Built;

/// A UDP datagram from the client to the server of a topology, from one MAC address to the other;
/// port security reads its addresses. Of 1500 bytes at most.
pub(super) fn udp(
    built: &Built,
    [client, server]: [[u8; 6]; 2],
    bytes: usize,
    ipv6: bool,
) -> Vec<u8> {
    let mut frame = Vec::with_capacity(bytes);
    frame.extend(server);
    frame.extend(client);
    let octets = |address| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let length = |header: usize| {
        u16::try_from(bytes - header)
            .unwrap_or_default()
            .to_be_bytes()
    };
    if ipv6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(length(14 + 40));
        frame.extend([17, 64]);
    } else {
        frame.extend([0x08, 0x00, 0x45, 0]);
        frame.extend(length(14));
        frame.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    }
    frame.extend(octets(built.client_address(ipv6)));
    frame.extend(octets(built.server_address(ipv6)));
    if !ipv6 {
        let sum = checksum(&frame[14..]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    // Ports 40000 and 40001.
    frame.extend([0x9c, 0x40, 0x9c, 0x41]);
    frame.extend(length(frame.len() - 4));
    frame.resize(bytes, 0);
    frame
}

/// The checksum of a header whose own is zero (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let words = header
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    // A header has too few words to carry twice.
    !u16::try_from(folded & 0xffff).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    //! Against a header whose checksum is known.

    use super::checksum;

    #[test]
    fn the_checksum_is_the_one_of_the_header() {
        let header = [
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0,
            0xc7,
        ];
        assert_eq!(checksum(&header), 0xb861);
    }
}
