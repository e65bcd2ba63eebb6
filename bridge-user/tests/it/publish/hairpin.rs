//! Endpoints that reach published ports by the host's addresses: their own, their neighbours', and
//! those of other networks.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use super::{UdpServer, connect_from, publish, say, serve, url, who};
use crate::host::{Host, UPLINK, array, text};

/// The gateway of a network, of the family that an address is of.
fn gateway(host: &Host, network: &str, like: &str) -> String {
    let inspected = host.inspect(network);
    let pools = array(&inspected["IPAM"]["Config"]).iter();
    let mut gateways = pools.map(|pool| text(&pool["Gateway"]));
    let gateway = gateways.find(|gateway| gateway.contains(':') == like.contains(':'));
    gateway.expect("the network has both families")
}

/// Endpoints use what `web` on `n` publishes: it sees the neighbour's own address, if they may speak with
/// each other, and its gateway's of itself and of all others.
#[track_caller]
fn assert_hairpin(br_netfilter: bool, options: &str) {
    let host = Host::with_br_netfilter(br_netfilter);
    host.outside();
    host.create(&format!("--ipv6 {options} n"));
    host.create("--ipv6 other");
    publish(&host, "-p 8080:80 -p 5353:53/udp n web");
    let neighbour = host.join("n", "neighbour").addresses();
    host.join("other", "stranger");
    let _server = serve(&host, "web", 80);
    let _udp = UdpServer::start(&host, "web", 53);
    let own = !options.contains("enable_icc=false");
    for (address, neighbour) in UPLINK.iter().zip(neighbour) {
        let gateway = gateway(&host, "n", address);
        let of_neighbour = if own { &neighbour } else { &gateway };
        for (client, seen) in [
            ("web", &gateway),
            ("neighbour", of_neighbour),
            ("stranger", &gateway),
        ] {
            // Again, for what the first one may have changed: neighbours, routes, redirects.
            for _ in 0..3 {
                let at = url(address, 8080);
                assert_eq!(
                    who(&host, Some(client), &at).as_ref(),
                    Some(seen),
                    "{client} at {at}, br_netfilter {br_netfilter}, {options:?}"
                );
            }
            assert_eq!(
                &say(&host, Some(client), address, 5353),
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

/// A host whose endpoint `web` publishes UDP port 53 and TCP port 80 by all of its addresses, and its
/// addresses; and `neighbour`.
pub(super) fn neighbours(options: &str) -> (Host, Vec<String>) {
    let host = Host::new();
    host.outside();
    host.create(&format!("--ipv6 {options} n"));
    let web = publish(&host, "-p 8080:80 -p 5353:53/udp n web");
    host.join("n", "neighbour");
    let addresses = ["IPv4Address", "IPv6Address"].map(|key| text(&web[key]));
    let plain = addresses.map(|address| address.split('/').next().map(ToOwned::to_owned));
    (host, plain.into_iter().flatten().collect())
}

const DATAPATHS: [&str; 3] = ["", "--datapath xdp", "--datapath off"];

/// From whom a line says what was sent to it, with the port.
pub(super) fn said(stream: &mut TcpStream) -> io::Result<String> {
    stream.write_all(b"who\n")?;
    let mut line = [0; 100];
    let length = stream.read(&mut line)?;
    Ok(String::from_utf8_lossy(&line[..length]).into_owned())
}

#[test]
fn a_flow_by_the_host_is_another_than_a_direct_one() {
    for datapath in DATAPATHS {
        let (host, web) = neighbours(datapath);
        let listener = host.within("web", || TcpListener::bind(("::", 80)));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer_lines(stream));
            }
        });
        for (web, address) in web.iter().zip(UPLINK) {
            // The same port at once, one way after the other, and both orders.
            for (port, order) in [(40_000, [0, 1]), (40_002, [1, 0])] {
                let ways = [url(web, 80), url(address, 8080)];
                let mut streams = order.map(|way| {
                    let connected = host.within("neighbour", || connect_from(port, &ways[way]));
                    (way, connected)
                });
                for _ in 0..3 {
                    for (way, stream) in &mut streams {
                        let peer = said(stream).unwrap_or_else(|e| panic!("{}: {e}", ways[*way]));
                        let peer: u16 = peer.parse().expect("it is a port");
                        let right = if *way == 0 {
                            peer == port
                        } else {
                            peer < 32_768
                        };
                        assert!(right, "{}, {datapath:?}: from {peer}", ways[*way]);
                    }
                }
            }
            // A port that means who asks stays one of those.
            let mut stream = host.within("neighbour", || connect_from(700, &url(address, 8080)));
            let peer = said(&mut stream).expect("it is answered").parse();
            assert!(peer.is_ok_and(|port: u16| port < 1024));
        }
    }
}

/// Answers each line with the port that it came from.
pub(super) fn answer_lines(mut stream: TcpStream) {
    let port = stream.peer_addr().map(|peer| peer.port());
    let mut line = [0; 100];
    while let (Ok(port), Ok(1..)) = (&port, stream.read(&mut line)) {
        let _ = stream.write_all(port.to_string().as_bytes());
    }
}

#[test]
fn a_neighbour_that_asks_by_the_host_is_told_what_others_are() {
    for datapath in DATAPATHS {
        let (host, _) = neighbours(datapath);
        for address in UPLINK {
            let socket = host.within("neighbour", || {
                let any = if address.contains(':') {
                    "::"
                } else {
                    "0.0.0.0"
                };
                let socket = UdpSocket::bind((any, 0))?;
                socket.connect((address, 5353))?;
                socket.set_read_timeout(Some(Duration::from_secs(2)))?;
                Ok(socket)
            });
            // Nobody serves: the endpoint says so by ICMP.
            socket.send(b"?").expect("there is a way");
            let refused = socket.recv(&mut [0; 10]).expect_err("nobody serves");
            let kind = refused.kind();
            assert_eq!(
                kind,
                ErrorKind::ConnectionRefused,
                "{address}, {datapath:?}"
            );
            // Datagrams in fragments, both ways.
            let echo = host.within("web", || UdpSocket::bind(("::", 53)));
            let large: Vec<u8> = (0..5000_u16).map(|at| at.to_be_bytes()[1]).collect();
            socket.send(&large).expect("the network takes fragments");
            let mut bytes = vec![0; 6000];
            echo.set_read_timeout(Some(Duration::from_secs(2)))
                .expect("no zero");
            let (length, from) = echo.recv_from(&mut bytes).expect("it arrives");
            echo.send_to(&bytes[..length], from)
                .expect("there is a way");
            let length = socket
                .recv(&mut bytes)
                .unwrap_or_else(|e| panic!("{address}, {datapath:?}: {e}"));
            assert_eq!(bytes[..length], large, "{address}, {datapath:?}");
        }
    }
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
