//! Links that were detached and pins that were removed, of programs and maps that go on.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, socket};

use super::publish;
use crate::host::{Host, PINS, number, text};

const AT: &str = "127.0.0.1:8080";

fn connect(host: &Host) -> io::Result<TcpStream> {
    let at: SocketAddr = AT.parse().expect("an address and a port");
    let stream = host.inside(|| TcpStream::connect_timeout(&at, Duration::from_secs(5)))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    Ok(stream)
}

/// Asks for a page over a connection; whether one comes.
fn is_answered(mut stream: TcpStream) -> bool {
    let asked = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
    let mut page = String::new();
    asked
        .and_then(|()| stream.read_to_string(&mut page))
        .is_ok()
        && page.contains("hello")
}

/// A socket that does not listen: what another test starts meanwhile may hold it a moment longer than we.
fn bind(host: &Host) -> io::Result<OwnedFd> {
    let at: SocketAddrV4 = AT.parse().expect("an address and a port");
    host.inside(|| {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
        socket::bind(socket.as_raw_fd(), &SockaddrIn::from(at))?;
        Ok(socket)
    })
}

#[test]
fn a_link_that_was_detached_is_noticed() {
    let host = Host::new();
    host.create("n");
    publish(&host, "-p 8080:80 n web");
    let _server = super::serve(&host, "web", 80);
    let stream = connect(&host).expect("it is published");
    let pins = host.cgroup_pins();
    assert_eq!(pins.len(), 10);
    for pin in &pins {
        host.call(&format!("bpftool link detach pinned {pin}")).ok();
    }
    drop(bind(&host).expect("nobody keeps it"));
    connect(&host).expect_err("nobody is there");
    host.bridge_user("net ls").ok();
    let taken = bind(&host).expect_err("it is published").kind();
    assert_eq!(taken, io::ErrorKind::AddrInUse);
    assert!(is_answered(connect(&host).expect("it is published")));
    assert!(is_answered(stream), "a connection of before goes on");
    // One that is left alone is not made anew.
    let ids = || {
        let link = |pin| {
            host.call(&format!("bpftool -j link show pinned {pin}"))
                .json()
        };
        let ids = pins.iter().map(|pin| number(&link(pin)["id"]));
        ids.collect::<Vec<_>>()
    };
    let before = ids();
    host.call(&format!("bpftool link detach pinned {}", pins[0]))
        .ok();
    host.bridge_user("net ls").ok();
    let changed = before.iter().zip(ids()).filter(|(a, b)| *a != b).count();
    assert_eq!(changed, 1);
}

#[test]
fn a_map_whose_pin_was_removed_is_pinned_again() {
    let host = Host::new();
    host.create("n");
    publish(&host, "-p 8080:80 n web");
    host.join("n", "other");
    let _server = super::serve(&host, "web", 80);
    let gateway = host.gateway_of("n");
    let maps = host.files(&format!("{PINS}/maps"));
    assert!(maps.len() > 15, "{maps:?}");
    let show = |map: &str| {
        let shown = host
            .call(&format!("bpftool -j map show pinned {map}"))
            .json();
        (text(&shown["name"]), number(&shown["id"]))
    };
    for map in &maps {
        let before = show(map);
        let stream = connect(&host).expect("it is published");
        host.call("rm").arg(map).ok();
        host.bridge_user("net ls").ok();
        let after = show(map);
        if map.ends_with("/META") {
            // Without it, the rest is what a crash left: all begins anew.
            assert_eq!(after.0, before.0);
        } else {
            assert_eq!(after, before, "{map}");
        }
        assert!(is_answered(stream), "{map}: a connection of before");
        assert!(is_answered(connect(&host).expect(map)), "{map}: a new one");
        bind(&host).expect_err(map);
        assert!(host.pings("other", &gateway), "{map}");
    }
    assert_eq!(host.dump("PUBLISHED").len(), 1);
    host.bridge_user("net disconnect n web").ok();
    drop(bind(&host).expect("it is published no more"));
    host.bridge_user("purge --yes").ok();
    host.assert_clean();
}
