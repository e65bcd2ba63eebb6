//! Published ports of neighbours, asked by the host, where something is unusual.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use super::hairpin::{answer_lines, neighbours, said};
use super::{connect_from, publish, serve, url, who};
use crate::host::{Host, UPLINK, assert_quick};

const AT: &str = UPLINK[0];

/// Somebody else's translation leads to a neighbour that publishes nothing.
#[test]
fn a_port_that_another_table_publishes() {
    let host = Host::new();
    host.outside();
    host.create("n");
    let web = host.join("n", "web");
    host.join("n", "neighbour");
    let _server = serve(&host, "web", 80);
    let rule = format!(
        "table ip admin {{ chain p {{ type nat hook prerouting priority -101; \
         tcp dport 9999 fib daddr type local dnat to {}:80; }}; }}",
        web.ipv4
    );
    host.call("nft").arg(&rule).ok();
    assert!(who(&host, Some("neighbour"), &url(AT, 9999)).is_some());
}

/// `flows` may be 1.
#[test]
fn the_smallest_configuration() {
    let host = Host::new();
    host.configure("[maps]\nflows = 1\n");
    host.outside();
    host.create("n");
    publish(&host, "-p 8080:80 n web");
    host.join("n", "neighbour");
    let _server = serve(&host, "web", 80);
    assert!(
        who(&host, Some("outside"), &url(AT, 8080)).is_some(),
        "from outside"
    );
    assert!(who(&host, Some("neighbour"), &url(AT, 8080)).is_some());
}

/// Without port security an endpoint may have any MAC address.
#[test]
fn a_trusted_endpoint_with_another_mac_address() {
    let host = Host::new();
    host.outside();
    host.create("n");
    publish(&host, "-p 8080:80 --trusted n web");
    host.join("n", "neighbour");
    let _server = serve(&host, "web", 80);
    host.exec("web", "ip link set eth0 address 02:aa:bb:cc:dd:ee")
        .ok();
    assert!(
        who(&host, Some("outside"), &url(AT, 8080)).is_some(),
        "from outside"
    );
    assert!(who(&host, Some("neighbour"), &url(AT, 8080)).is_some());
}

/// MAC addresses of one bucket of `HINTS`, which has room for four.
#[test]
fn an_endpoint_that_found_no_room_in_its_bucket() {
    const MACS: [&str; 5] = [
        "02:de:f0:00:f0:01",
        "02:de:f0:02:f6:52",
        "02:de:f0:04:fc:a3",
        "02:de:f0:0e:f5:7e",
        "02:de:f0:10:fb:cf",
    ];
    let host = Host::new();
    host.outside();
    host.create("n");
    host.join("n", "neighbour");
    let mut servers = Vec::new();
    for (port, mac) in (8080..).zip(MACS) {
        publish(
            &host,
            &format!("-p {port}:80 --mac-address {mac} n w{port}"),
        );
        servers.push(serve(&host, &format!("w{port}"), 80));
    }
    for (port, mac) in (8080..).zip(MACS) {
        assert!(
            who(&host, Some("outside"), &url(AT, port)).is_some(),
            "{mac} from outside"
        );
        assert!(
            who(&host, Some("neighbour"), &url(AT, port)).is_some(),
            "{mac}"
        );
    }
}

fn serve_lines(host: &Host, netns: &str) {
    let listener = host.within(netns, || TcpListener::bind(("::", 80)));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer_lines(stream));
        }
    });
}

/// A port that was used by the host a moment ago serves directly.
#[test]
fn a_bound_port_by_the_host_and_then_directly() {
    let (host, web) = neighbours("");
    serve_lines(&host, "web");
    let mut ports = (5000..).step_by(10);
    for _ in 0..2 {
        // What is lost is sent again after a second.
        assert_quick("directly", Duration::from_secs(1), || {
            let port = ports.next().expect("there are more");
            let mut by_host = host.within("neighbour", || connect_from(port, &url(AT, 8080)));
            assert!(said(&mut by_host).is_ok());
            drop(by_host);
            thread::sleep(Duration::from_millis(200));
            let began = Instant::now();
            let direct = host.within("neighbour", || Ok(connect_from(port, &url(&web[0], 80))));
            assert!(direct.is_ok(), "port {port}: {direct:?}");
            began.elapsed()
        });
    }
}

/// Long after, too, where a firewall drops what connection tracking does not know.
#[test]
fn a_flow_that_ended_beside_a_firewall_that_drops_what_is_invalid() {
    let (host, web) = neighbours("");
    serve_lines(&host, "web");
    host.call("nft")
        .arg("table inet admin { chain f { type filter hook forward priority 0; ct state invalid drop; }; }")
        .ok();
    for state in ["time_wait", "close", "close_wait", "last_ack", "fin_wait"] {
        host.call(&format!(
            "sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_{state}=1"
        ))
        .ok();
    }
    let mut by_host = host.within("neighbour", || connect_from(5000, &url(AT, 8080)));
    assert!(said(&mut by_host).is_ok());
    drop(by_host);
    thread::sleep(Duration::from_secs(4));
    let direct = host.within("neighbour", || Ok(connect_from(5000, &url(&web[0], 80))));
    assert!(direct.is_ok(), "{direct:?}");
}
