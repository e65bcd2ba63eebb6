//! Which packets of who asks make a flow. Answers are among the rows.

use bridge_common::mapped;

use super::asked;
use crate::testing::{ipv6, raw, udp4};

const ASKER: [u8; 4] = [10, 0, 1, 11];
const ENDPOINT: [u8; 4] = [10, 0, 1, 25];

/// The ports of the flow that a frame makes.
fn ports_of(frame: &[u8]) -> Option<(u16, u16)> {
    let asked = asked(&frame)?;
    assert_eq!((asked.pair.client_port, asked.pair.endpoint_port), (0, 0));
    assert_eq!(asked.pair.client, asked.flow.client);
    assert_eq!(asked.pair.endpoint, asked.flow.endpoint);
    assert_eq!(asked.pair.protocol, asked.flow.protocol);
    Some((asked.flow.client_port, asked.flow.endpoint_port))
}

fn udp(ports: (u16, u16), protocol: u8, fragment: u16) -> Vec<u8> {
    let mut frame = udp4([2; 6], [6; 6], (ASKER, ports.0), (ENDPOINT, ports.1), &[]);
    frame[20..22].copy_from_slice(&fragment.to_be_bytes());
    frame[23] = protocol;
    frame
}

#[test]
fn what_asks_a_published_port_makes_a_flow() {
    for (case, frame, expected) in [
        ("UDP", udp((2000, 53), 17, 0), true),
        ("TCP", udp((2000, 53), 6, 0), true),
        ("SCTP", udp((2000, 53), 132, 0), true),
        ("a first fragment", udp((2000, 53), 17, 0x2000), true),
        ("another fragment", udp((2000, 53), 17, 0x2001), false),
        ("the last fragment", udp((2000, 53), 17, 1), false),
        ("a protocol without ports", udp((2000, 53), 47, 0), false),
        (
            "a port that a socket chose",
            udp((32_768, 53), 17, 0),
            false,
        ),
        ("the last port below", udp((32_767, 53), 17, 0), true),
        ("ARP", raw([2; 6], [6; 6], 0x0806, &[]), false),
        (
            "too short",
            raw([2; 6], [6; 6], 0x0800, &[])[..30].to_vec(),
            false,
        ),
    ] {
        assert_eq!(ports_of(&frame).is_some(), expected, "{case}");
    }
    assert_eq!(ports_of(&udp((2000, 53), 17, 0)), Some((2000, 53)));
}

#[test]
fn the_flow_is_as_the_endpoint_sees_it() {
    let flow = asked(&udp((2000, 53), 6, 0).as_slice()).unwrap().flow;
    assert_eq!(flow.client, bytemuck::cast::<_, [u64; 2]>(mapped(ASKER)));
    assert_eq!(
        flow.endpoint,
        bytemuck::cast::<_, [u64; 2]>(mapped(ENDPOINT))
    );
    assert_eq!(flow.protocol, 6);
}

#[test]
fn ipv6_is_read_behind_a_fragment_header_too() {
    let ends = ([0x20; 16], [0x30; 16]);
    let udp = [7, 208, 0, 53, 0, 8, 0, 0];
    let fragment = |offset| [&[17, 0, 0, offset, 0, 0, 0, 9], &udp[..]].concat();
    let of = |next, rest: &[u8]| ports_of(&ipv6([2; 6], [6; 6], ends, next, rest));
    assert_eq!(of(17, &udp), Some((2000, 53)));
    assert_eq!(of(44, &fragment(1)), Some((2000, 53)));
    assert_eq!(of(44, &fragment(8)), None);
    assert_eq!(of(58, &udp), None);
}
