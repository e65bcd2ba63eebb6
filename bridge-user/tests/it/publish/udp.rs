//! UDP flows that go on while a port is published, or no more.

use std::fs::File;
use std::net::UdpSocket;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use super::{UdpServer, connect, publish};
use crate::host::{Host, OUTSIDE, UPLINK};

/// One socket outside, that asks again and again.
fn flow(host: &Host, address: &str, port: u16) -> UdpSocket {
    let socket = host.inside(|| {
        let netns = File::open("/run/netns/outside").expect("it was made");
        setns(netns, CloneFlags::CLONE_NEWNET).expect("root enters a namespace");
        let any = if address.contains(':') {
            "::"
        } else {
            "0.0.0.0"
        };
        UdpSocket::bind((any, 0)).expect("a port is free")
    });
    socket.connect((address, port)).expect("it has a route");
    let timeout = Some(Duration::from_millis(500));
    socket.set_read_timeout(timeout).expect("it is no zero");
    socket
}

fn ask(socket: &UdpSocket) -> Option<String> {
    let mut bytes = [0; 100];
    // An ICMP error of before is told with the next call.
    for _ in 0..3 {
        if socket.send(b"who").is_ok()
            && let Ok(length) = socket.recv(&mut bytes)
        {
            return Some(String::from_utf8_lossy(&bytes[..length]).into());
        }
    }
    None
}

#[test]
fn a_flow_follows_what_is_published() {
    let host = Host::new();
    host.outside();
    host.create("--ipv6 n");
    host.join("n", "other");
    let flows = UPLINK.map(|address| flow(&host, address, 5353));
    let assert_all = |expected: [Option<&str>; 2], when: &str| {
        for (flow, expected) in flows.iter().zip(expected) {
            assert_eq!(ask(flow).as_deref(), expected, "{when}");
        }
    };
    assert_all([None; 2], "before it is published");
    publish(&host, "-p 5353:53/udp n web");
    let _web = UdpServer::start(&host, "web", 53);
    assert_all(OUTSIDE.map(Some), "published");
    host.bridge_user("net disconnect n web").ok();
    assert_all([None; 2], "published no more");
    // The endpoint's address may be another's by now.
    connect(&host, "-p 5353:54/udp n web");
    let _again = UdpServer::start(&host, "web", 54);
    assert_all(OUTSIDE.map(Some), "published again, at another port");
}

#[test]
fn other_flows_go_on() {
    let host = Host::new();
    host.outside();
    host.create("--ipv6 n");
    publish(&host, "-p 5353:53/udp n web");
    publish(&host, "-p 5454:53/udp n other");
    let _web = UdpServer::start(&host, "other", 53);
    let flow = flow(&host, UPLINK[0], 5454);
    assert_eq!(ask(&flow).as_deref(), Some(OUTSIDE[0]));
    let entries = || {
        let table = host.call("cat /proc/net/nf_conntrack").ok();
        table
            .lines()
            .filter(|line| line.contains("dport=5454"))
            .count()
    };
    assert_eq!(entries(), 1);
    host.bridge_user("net disconnect n web").ok();
    assert_eq!(entries(), 1, "it was not published by this one");
    assert_eq!(ask(&flow).as_deref(), Some(OUTSIDE[0]));
}
