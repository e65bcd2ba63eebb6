//! Addresses of the host other than loopback's: the kernel says at the call which are.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{IpBindAddressNoPort, IpFreebind};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Endpoint, connect, peers, published};
use crate::host::{Host, OUTSIDE, UPLINK, wait_until};
use crate::publish::{serve, url, who};

/// Multipath TCP.
const MPTCP: i32 = 262;

/// Port 8080 of a host with an uplink is an endpoint's; machines outside have a server there, too.
fn published_beside_others(host: &Host) -> Endpoint {
    host.outside();
    published(host, "-p 8080:80")
}

/// A stream socket of the host, changed by `prepare`, that connects.
fn connect_as(
    host: &Host,
    to: &str,
    protocol: Option<Protocol>,
    prepare: impl FnOnce(&Socket) -> io::Result<()> + Send,
) -> io::Result<TcpStream> {
    let to: SocketAddr = to.parse().expect("an address and a port");
    host.inside(|| {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, protocol)?;
        prepare(&socket)?;
        socket.connect_timeout(&to.into(), Duration::from_secs(5))?;
        Ok(socket.into())
    })
}

/// Who the kernel says that a connection is with, and whom the socket takes it for.
#[track_caller]
fn assert_connected(host: &Host, stream: &TcpStream, at: &str, kernel: &str) {
    let peers = peers(host, "t");
    assert_eq!(peers, [kernel], "{at}");
    assert_eq!(stream.peer_addr().expect(at), at.parse().expect(at));
}

/// Until the host has forgotten the connections of before.
#[track_caller]
fn wait_for_none(host: &Host) {
    wait_until("no connection is left", || peers(host, "t").is_empty());
}

#[test]
fn connections_to_other_addresses_go_past_the_firewall() {
    let host = Host::new();
    let a = published_beside_others(&host);
    let _echo = host.echo("a", 80);
    let mapped = |address: &str| format!("::ffff:{address}");
    for (address, endpoint) in [
        (UPLINK[0].to_owned(), a.ipv4.clone()),
        (UPLINK[1].to_owned(), a.ipv6.clone()),
        (mapped(UPLINK[0]), mapped(&a.ipv4)),
        (host.gateway_of("n"), a.ipv4.clone()),
    ] {
        let at = url(&address, 8080);
        let stream = connect(&host, &at).expect(&at);
        assert_connected(&host, &stream, &at, &url(&endpoint, 80));
        // As a connection to one's own address has it.
        let own: IpAddr = address.parse().expect(&at);
        assert_eq!(stream.local_addr().expect(&at).ip(), own, "{at}");
        assert_eq!(super::curl(&host, &at), own.to_canonical().to_string());
        drop(stream);
        wait_for_none(&host);
    }
}

/// What is bound has no other source; the firewall translates.
#[test]
fn sockets_that_are_bound_go_by_the_firewall() {
    let host = Host::new();
    published_beside_others(&host);
    let _echo = host.echo("a", 80);
    for (bound, to) in [
        ("0.0.0.0:5000", UPLINK[0]),
        ("[::]:5000", UPLINK[1]),
        ("10.0.0.1:0", UPLINK[0]),
        ("10.0.0.1:5001", UPLINK[0]),
    ] {
        host.call("ip address replace 10.0.0.1/32 dev lo").ok();
        let at = url(to, 8080);
        let bound: SocketAddr = bound.parse().expect("it is one");
        let stream = connect_as(&host, &at, None, |socket| {
            socket.set_reuse_address(true)?;
            if bound.port() == 0 {
                setsockopt(socket, IpBindAddressNoPort, &true)?;
            }
            socket.bind(&bound.into())
        });
        let stream = stream.unwrap_or_else(|e| panic!("{bound} to {at}: {e}"));
        assert_connected(&host, &stream, &at, &at);
        let own = stream.local_addr().expect("it is connected");
        if !bound.ip().is_unspecified() {
            assert_eq!(own.ip(), bound.ip());
        }
        drop(stream);
        wait_for_none(&host);
    }
}

/// The same port of another machine is that machine's, whatever sockets may be bound to.
#[test]
fn other_machines_ports_are_theirs() {
    let host = Host::new();
    published_beside_others(&host);
    let _web = serve(&host, "outside", 8080);
    let _echo = host.echo("a", 80);
    let sysctls = |value| {
        for family in ["ipv4", "ipv6"] {
            let setting = format!("sysctl -q -w net.{family}.ip_nonlocal_bind={value}");
            host.call(&setting).ok();
        }
    };
    for nonlocal in ["0", "1"] {
        sysctls(nonlocal);
        for (outside, own) in OUTSIDE.iter().zip(UPLINK) {
            let at = url(outside, 8080);
            assert_eq!(who(&host, None, &at).as_deref(), Some(own), "{at}");
            // Its own addresses are the host's all the same.
            let at = url(own, 8080);
            assert_eq!(super::curl(&host, &at), own, "{at}");
        }
    }
    sysctls("0");
    for (number, outside) in OUTSIDE.iter().enumerate() {
        let at = url(outside, 8080);
        let stream = connect_as(&host, &at, None, |socket| {
            Ok(setsockopt(socket, IpFreebind, &true)?)
        });
        let stream = stream.expect(&at);
        assert_connected(&host, &stream, &at, &at);
        let own = stream.local_addr().expect(&at).ip();
        assert_eq!(own.to_string(), UPLINK[number]);
        drop(stream);
        wait_for_none(&host);
    }
}

#[test]
fn multipath_sockets_reach_published_ports_too() {
    let host = Host::new();
    let a = published_beside_others(&host);
    let _echo = host.echo("a", 80);
    for (address, endpoint) in [
        ("127.0.0.1", &a.ipv4),
        (UPLINK[0], &a.ipv4),
        (UPLINK[1], &a.ipv6),
    ] {
        let at = url(address, 8080);
        let stream = connect_as(&host, &at, Some(Protocol::from(MPTCP)), |_| Ok(()));
        let stream = stream.unwrap_or_else(|e| panic!("{at}: {e}"));
        assert_eq!(peers(&host, "t"), [url(endpoint, 80)], "{at}");
        drop(stream);
        wait_for_none(&host);
    }
}
