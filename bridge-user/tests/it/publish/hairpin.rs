//! Endpoints that reach published ports by the host's addresses: their own, their neighbours', and
//! those of other networks.

use super::{UdpServer, publish, say, serve, url, who};
use crate::host::{Host, UPLINK, array, text};

/// The gateway of a network, of the family that an address is of.
fn gateway(host: &Host, network: &str, like: &str) -> String {
    let inspected = host.inspect(network);
    let pools = array(&inspected["IPAM"]["Config"]).iter();
    let mut gateways = pools.map(|pool| text(&pool["Gateway"]));
    let gateway = gateways.find(|gateway| gateway.contains(':') == like.contains(':'));
    gateway.expect("the network has both families")
}

/// Endpoints use what `web` on `n` publishes, and are seen by the gateway's address.
#[track_caller]
fn assert_hairpin(br_netfilter: bool, options: &str) {
    let host = Host::with_br_netfilter(br_netfilter);
    host.outside();
    host.create(&format!("--ipv6 {options} n"));
    host.create("--ipv6 other");
    publish(&host, "-p 8080:80 -p 5353:53/udp n web");
    host.join("n", "neighbour");
    host.join("other", "stranger");
    let _server = serve(&host, "web", 80);
    let _udp = UdpServer::start(&host, "web", 53);
    for address in UPLINK {
        let seen = gateway(&host, "n", address);
        for client in ["web", "neighbour", "stranger"] {
            // Again, for what the first one may have changed: neighbours, routes, redirects.
            for _ in 0..3 {
                let at = url(address, 8080);
                assert_eq!(
                    who(&host, Some(client), &at).as_deref(),
                    Some(seen.as_str()),
                    "{client} at {at}, br_netfilter {br_netfilter}, {options:?}"
                );
            }
            assert_eq!(
                say(&host, Some(client), address, 5353),
                seen,
                "{client} by UDP, br_netfilter {br_netfilter}, {options:?}"
            );
        }
    }
    // The way is the published port's alone.
    let web = host.addresses(Some("web"), "eth0");
    for address in web {
        let address = address
            .cidr
            .split('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        assert_eq!(who(&host, Some("stranger"), &url(&address, 80)), None);
    }
}

#[test]
fn endpoints_reach_published_ports() {
    assert_hairpin(false, "");
}

#[test]
fn endpoints_reach_published_ports_past_br_netfilter() {
    assert_hairpin(true, "");
}

#[test]
fn endpoints_reach_published_ports_where_icc_is_off() {
    assert_hairpin(false, "-o com.docker.network.bridge.enable_icc=false");
}

#[test]
fn endpoints_reach_published_ports_where_icc_is_off_past_br_netfilter() {
    assert_hairpin(true, "-o com.docker.network.bridge.enable_icc=false");
}

#[test]
fn endpoints_reach_published_ports_without_the_fast_path() {
    assert_hairpin(false, "--datapath off");
}

#[test]
fn endpoints_reach_published_ports_over_xdp() {
    assert_hairpin(false, "--datapath xdp");
}

#[test]
fn internal_networks_stay_inside() {
    for br_netfilter in [false, true] {
        let host = Host::with_br_netfilter(br_netfilter);
        host.outside();
        host.create("--ipv6 n");
        host.create("--ipv6 --internal inside");
        publish(&host, "-p 8080:80 n web");
        host.join("inside", "a");
        let _server = serve(&host, "web", 80);
        for address in UPLINK {
            for at in [address.to_owned(), gateway(&host, "inside", address)] {
                assert_eq!(who(&host, Some("a"), &url(&at, 8080)), None, "{at}");
            }
        }
    }
}
