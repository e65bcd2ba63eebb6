//! Published ports and the host's own processes: they reach them past the firewall, and cannot take
//! them.

mod addresses;

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::host::{Endpoint, Host, PINS, array, number, text};

/// A dual-stack network `n`, and in `a` a server on port 80 that is published as `ports` say.
fn published(host: &Host, ports: &str) -> Endpoint {
    host.create("--ipv6 n");
    host.netns("a");
    host.connect(&format!("{ports} n a"))
}

/// The bridge's address of a family: the source of what the host sends to endpoints.
fn bridge_address(host: &Host, ipv6: bool) -> String {
    let addresses = host.addresses(None, &host.bridge_of("n"));
    let mut of_family = addresses
        .iter()
        .filter(|address| address.cidr.contains(':') == ipv6);
    let found = of_family
        .next()
        .map(|address| address.cidr.split('/').next());
    found.flatten().expect("the bridge has one").to_owned()
}

/// What the server says by HTTP at a URL of the host.
#[track_caller]
fn curl(host: &Host, at: &str) -> String {
    let words = format!("curl -sS --globoff --max-time 5 http://{at}/");
    host.call(&words).ok()
}

/// A connection of the host.
fn connect(host: &Host, to: &str) -> io::Result<TcpStream> {
    let to: SocketAddr = to.parse().expect("an address and a port");
    host.inside(|| TcpStream::connect_timeout(&to, Duration::from_secs(5)))
}

/// A datagram socket of the host, which waits no longer than a second.
#[track_caller]
fn datagrams(host: &Host, at: &str) -> UdpSocket {
    let bound = host.inside(|| UdpSocket::bind(at));
    let socket = bound.unwrap_or_else(|e| panic!("{at}: {e}"));
    let timeout = socket.set_read_timeout(Some(Duration::from_secs(1)));
    timeout.expect("it is no zero");
    socket
}

/// Sends to an address; gives the answer and where it came from.
#[track_caller]
fn exchange(socket: &UdpSocket, to: &str) -> (String, SocketAddr) {
    let to: SocketAddr = to.parse().expect("an address and a port");
    socket
        .send_to(b"?", to)
        .unwrap_or_else(|e| panic!("{to}: {e}"));
    let mut buffer = [0; 64];
    let received = socket.recv_from(&mut buffer);
    let (length, from) = received.unwrap_or_else(|e| panic!("{to}: {e}"));
    (String::from_utf8_lossy(&buffer[..length]).into(), from)
}

/// The peers of the host's connected sockets, as the kernel has them.
fn peers(host: &Host, kind: &str) -> Vec<String> {
    let sockets = host.call(&format!("ss -Hn{kind} state established")).ok();
    let peer = |line: &str| line.split_whitespace().nth(3).map(str::to_owned);
    sockets.lines().filter_map(peer).collect()
}

/// Names of our programs at the root of the cgroups, and their ids, as the kernel has them.
fn attached(host: &Host) -> Vec<(String, u64)> {
    let pins = host.cgroup_pins().into_iter();
    let program = |pin: String| {
        let link = host
            .call(&format!("bpftool -j link show pinned {pin}"))
            .json();
        assert_eq!(text(&link["type"]), "cgroup", "{link}");
        (text(&link["attach_type"]), number(&link["prog_id"]))
    };
    pins.map(program).collect()
}

/// Whether a socket of the host may be bound there.
fn bind(host: &Host, kind: Type, at: &str, ipv6_only: bool) -> io::Result<Socket> {
    let at: SocketAddr = at.parse().expect("an address and a port");
    host.inside(|| {
        let socket = Socket::new(Domain::for_address(at), kind, None)?;
        socket.set_reuse_address(true)?;
        if at.is_ipv6() {
            socket.set_only_v6(ipv6_only)?;
        }
        socket.bind(&at.into())?;
        Ok(socket)
    })
}

#[track_caller]
fn assert_taken(host: &Host, kind: Type, at: &str, ipv6_only: bool) {
    let error = bind(host, kind, at, ipv6_only).map(drop).expect_err(at);
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{at}");
}

#[test]
fn the_host_reaches_published_ports_by_its_loopback() {
    let host = Host::new();
    let a = published(&host, "-p 8080:80");
    let _echo = host.echo("a", 80);
    for (at, ipv6) in [
        ("127.0.0.1:8080", false),
        ("127.9.9.9:8080", false),
        ("0.0.0.0:8080", false),
        ("[::1]:8080", true),
        ("[::ffff:127.0.0.1]:8080", false),
    ] {
        assert_eq!(curl(&host, at), bridge_address(&host, ipv6), "{at}");
    }
    assert_eq!(attached(&host).len(), 10);
    // The socket is connected to the endpoint itself, and believes what it asked for.
    for (at, kernel) in [
        ("127.0.0.1:8080", format!("{}:80", a.ipv4)),
        ("[::1]:8080", format!("[{}]:80", a.ipv6)),
        ("[::ffff:127.0.0.1]:8080", format!("[::ffff:{}]:80", a.ipv4)),
    ] {
        let stream = connect(&host, at).expect(at);
        assert_eq!(stream.peer_addr().expect(at), at.parse().expect(at));
        let peers = peers(&host, "t");
        assert!(peers.contains(&kernel), "{kernel} is not in {peers:?}");
    }
    connect(&host, "127.0.0.1:8081").expect_err("nobody published it");
}

#[test]
fn connected_sockets_end_with_their_endpoint() {
    let host = Host::new();
    let a = published(&host, "-p 8080:80 -p 8080:80/udp");
    let b = host.join("n", "b");
    let _echoes = ["a", "b"].map(|name| host.echo(name, 80));
    let connected = |bound: &str, to: &str| {
        let socket = datagrams(&host, bound);
        host.inside(|| socket.connect(to)).expect("there is a way");
        socket.send(b"?").expect("there is a way");
        socket.recv(&mut [0; 64]).expect("it is answered");
        socket
    };
    let ending = [
        ("0.0.0.0:0", "127.0.0.1:8080"),
        ("[::]:0", "[::1]:8080"),
        ("[::]:0", "[::ffff:127.0.0.1]:8080"),
    ]
    .map(|(bound, to)| (to, connected(bound, to)));
    let staying = connected("0.0.0.0:0", &format!("{}:80", b.ipv4));
    let mut stream = connect(&host, "127.0.0.1:8080").expect("it is published");
    host.bridge_user("net disconnect n a").ok();
    for (to, socket) in &ending {
        let told = socket.recv(&mut [0; 64]).expect_err(to).kind();
        assert_eq!(told, io::ErrorKind::ConnectionAborted, "{to}");
        socket.send(b"?").expect_err(to);
    }
    let told = stream.read(&mut [0; 64]).expect_err("it ended").kind();
    assert_eq!(told, io::ErrorKind::ConnectionAborted);
    for kind in ["t", "u"] {
        let left = peers(&host, kind);
        assert!(!left.iter().any(|peer| peer.contains(&a.ipv4)), "{left:?}");
    }
    staying.send(b"?").expect("it is another's");
    staying.recv(&mut [0; 64]).expect("it is answered");
}

#[test]
fn single_addresses_are_published_alone() {
    let host = Host::new();
    host.call("ip addr add 192.0.2.1/32 dev lo").ok();
    host.call("ip addr add 2001:db8::1/128 dev lo nodad").ok();
    let ports = "-p 192.0.2.1:81:80 -p [2001:db8::1]:81:80 -p 127.0.0.1:82:80 -p [::1]:83:80";
    published(&host, ports);
    let _echo = host.echo("a", 80);
    for (at, from) in [
        ("192.0.2.1:81", "192.0.2.1".to_owned()),
        ("[2001:db8::1]:81", "2001:db8::1".to_owned()),
        ("127.0.0.1:82", bridge_address(&host, false)),
        ("[::1]:83", bridge_address(&host, true)),
    ] {
        assert_eq!(curl(&host, at), from, "{at}");
    }
    for at in ["127.0.0.1:81", "[::1]:81", "127.0.0.2:82", "[::1]:82"] {
        connect(&host, at).expect_err(at);
    }
    // Others may have the same ports of other addresses, but not of all.
    for at in ["127.0.0.1:81", "127.0.0.2:82", "[::1]:82", "127.0.0.1:83"] {
        bind(&host, Type::STREAM, at, false).expect(at);
    }
    for at in [
        "192.0.2.1:81",
        "0.0.0.0:81",
        "[::]:81",
        "0.0.0.0:82",
        "[::1]:83",
    ] {
        assert_taken(&host, Type::STREAM, at, true);
    }
    // [::]:82 would take 127.0.0.1:82 too, unless it is for IPv6 alone.
    assert_taken(&host, Type::STREAM, "[::]:82", false);
    bind(&host, Type::STREAM, "[::]:82", true).expect("it is another family's");
}

#[test]
fn datagrams_are_answered_from_where_they_were_sent_to() {
    let host = Host::new();
    let a = published(&host, "-p 8080-8099:80-99/udp");
    let _echoes: Vec<_> = (80..100).map(|port| host.echo("a", port)).collect();
    let bridge = |ipv6| bridge_address(&host, ipv6);
    // One socket that asks many, and each several times, takes turns.
    let socket = datagrams(&host, "0.0.0.0:0");
    for port in (8080..8100).chain(8080..8100) {
        let at = format!("127.0.0.1:{port}");
        let expected = (bridge(false), at.parse().expect("it is one"));
        assert_eq!(exchange(&socket, &at), expected);
    }
    let socket = datagrams(&host, "[::]:0");
    for (at, ipv6) in [
        ("[::1]:8080", true),
        ("[::ffff:127.0.0.1]:8080", false),
        ("[::1]:8081", true),
    ] {
        let expected = (bridge(ipv6), at.parse().expect(at));
        assert_eq!(exchange(&socket, at), expected);
    }
    // The endpoint's own address is answered from there.
    let direct = format!("{}:99", a.ipv4);
    let (_, from) = exchange(&datagrams(&host, "0.0.0.0:0"), &direct);
    assert_eq!(from.to_string(), direct);
    for (bound, at, kernel) in [
        ("0.0.0.0:0", "127.0.0.1:8080", format!("{}:80", a.ipv4)),
        ("[::]:0", "[::1]:8080", format!("[{}]:80", a.ipv6)),
    ] {
        let socket = datagrams(&host, bound);
        socket.connect(at).expect(at);
        assert_eq!(socket.peer_addr().expect(at), at.parse().expect(at));
        assert!(peers(&host, "u").contains(&kernel), "{kernel}");
        socket.send(b"?").expect(at);
        let (_, from) = socket.recv_from(&mut [0; 64]).expect(at);
        assert_eq!(from, at.parse().expect(at));
    }
}

#[test]
fn nobody_on_the_host_takes_a_published_port() {
    let host = Host::new();
    published(&host, "-p 8080:80 -p 9000:90/udp");
    for at in [
        "0.0.0.0:8080",
        "127.0.0.1:8080",
        "[::]:8080",
        "[::1]:8080",
        "[::ffff:127.0.0.1]:8080",
    ] {
        assert_taken(&host, Type::STREAM, at, false);
    }
    assert_taken(&host, Type::DGRAM, "0.0.0.0:9000", false);
    let listener = host.call("nc -l 127.0.0.1 8080").run();
    assert!(listener.stderr.contains("in use"), "{listener}");
    for (kind, at) in [
        (Type::DGRAM, "0.0.0.0:8080"),
        (Type::STREAM, "[::]:9000"),
        (Type::STREAM, "0.0.0.0:0"),
        (Type::STREAM, "[::]:0"),
    ] {
        bind(&host, kind, at, false).expect(at);
    }
    // Other namespaces have their own ports.
    host.netns("b");
    for netns in ["a", "b"] {
        host.within(netns, || TcpListener::bind("[::]:8080"));
    }
    host.bridge_user("net disconnect n a").ok();
    assert_eq!(host.dump("PUBLISHED"), Vec::<Value>::new());
    for at in ["0.0.0.0:8080", "[::]:8080"] {
        bind(&host, Type::STREAM, at, false).expect(at);
    }
}

#[test]
fn a_socket_that_is_bound_to_a_loopback_address_is_left_alone() {
    let host = Host::new();
    published(&host, "-p 8080:80 -p 8080:80/udp");
    let _echo = host.echo("a", 80);
    for (bound, at) in [("127.0.0.1:0", "127.0.0.1:8080"), ("[::1]:0", "[::1]:8080")] {
        let socket = datagrams(&host, bound);
        socket
            .connect(at)
            .expect("it is not translated to what it cannot reach");
        assert!(peers(&host, "u").contains(&at.to_owned()), "{at}");
    }
    let socket = datagrams(&host, "127.0.0.1:0");
    socket.send_to(b"?", "127.0.0.1:8080").expect("as above");
    // Bound to another address of the host it reaches the endpoint, from there.
    let bridge = bridge_address(&host, false);
    let socket = datagrams(&host, &format!("{bridge}:0"));
    let at = "127.0.0.1:8080";
    assert_eq!(exchange(&socket, at), (bridge, at.parse().expect(at)));
}

#[test]
fn hosts_and_sandboxes_do_not_meet() {
    let [one, two] = [Host::new(), Host::new()];
    for host in [&one, &two] {
        published(host, "-p 8080:80");
    }
    let _echo = two.echo("a", 80);
    assert_eq!(curl(&two, "127.0.0.1:8080"), bridge_address(&two, false));
    connect(&one, "127.0.0.1:8080").expect_err("its endpoint serves nothing");
    // A sandbox has a loopback of its own.
    two.netns("b");
    two.within("b", || {
        let listener = TcpListener::bind("127.0.0.1:8080")?;
        let stream = TcpStream::connect("127.0.0.1:8080")?;
        assert_eq!(listener.accept()?.1, stream.local_addr()?);
        Ok(())
    });
    two.within("b", || {
        let refused = TcpStream::connect("[::1]:8080").expect_err("nobody is there");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        Ok(())
    });
}

#[test]
fn everything_goes_with_the_last_network() {
    let host = Host::new();
    host.create("m");
    assert_eq!(host.cgroup_pins(), [""; 0], "nothing is published yet");
    published(&host, "-p 8080:80 -p 127.0.0.1:8081:80");
    let shown = host.dump("PUBLISHED");
    // Of 8081 there is one address, and that others of IPv4 are not all free.
    assert_eq!(shown.len(), 4, "{shown:?}");
    let leads = |entry: &Value| number(&entry["formatted"]["value"]["port"]) == 80;
    assert_eq!(shown.iter().filter(|entry| leads(entry)).count(), 3);
    host.bridge_user("net disconnect n a").ok();
    assert_eq!(host.dump("PUBLISHED"), Vec::<Value>::new());
    assert_eq!(host.cgroup_pins().len(), 10);
    host.bridge_user("net rm n m").ok();
    host.assert_clean();
    host.call("ip netns del a").ok();
    published(&host, "-p 8080:80");
    host.bridge_user("purge --yes").ok();
    host.assert_clean();
    bind(&host, Type::STREAM, "0.0.0.0:8080", false).expect("it is free again");
}

#[test]
fn another_build_puts_its_programs_in_place() {
    let host = Host::new();
    published(&host, "-p 8080:80");
    let _echo = host.echo("a", 80);
    let stream = connect(&host, "127.0.0.1:8080").expect("it is published");
    let before = attached(&host);
    host.change_meta(|meta| meta.object_hash += 1);
    host.create("m");
    let after = attached(&host);
    assert_eq!(after.len(), 10);
    for ((call, old), (same, new)) in before.iter().zip(&after) {
        assert_eq!(call, same);
        assert_ne!(old, new, "{call}");
    }
    let at: SocketAddr = "127.0.0.1:8080".parse().expect("it is one");
    assert_eq!(stream.peer_addr().expect("it is connected"), at);
    assert_eq!(curl(&host, "127.0.0.1:8080"), bridge_address(&host, false));
    assert_taken(&host, Type::STREAM, "0.0.0.0:8080", false);
}

#[test]
fn hooks_that_were_taken_away_come_back() {
    let host = Host::new();
    published(&host, "-p 8080:80");
    let _echo = host.echo("a", 80);
    for pin in host.cgroup_pins() {
        host.call("rm").arg(&pin).ok();
    }
    bind(&host, Type::STREAM, "127.0.0.1:8080", false).expect("nobody keeps it");
    host.bridge_user("net ls").ok();
    assert_eq!(attached(&host).len(), 10);
    assert_eq!(curl(&host, "127.0.0.1:8080"), bridge_address(&host, false));
}

#[test]
fn a_host_without_cgroup_v2_has_the_firewall_alone() {
    let host = Host::new();
    host.call("umount /sys/fs/cgroup").ok();
    published(&host, "-p 8080:80");
    assert_eq!(host.cgroup_pins(), [""; 0]);
    let said = host.bridge_user("doctor").run().stdout;
    assert!(said.contains("published ports are not kept"), "{said}");
    host.call("mount -t cgroup2 cgroup2 /sys/fs/cgroup").ok();
    host.bridge_user("reconcile").ok();
    assert_taken(&host, Type::STREAM, "0.0.0.0:8080", false);
    assert_eq!(host.cgroup_pins().len(), 10);
    let said = host.bridge_user("doctor").run().stdout;
    assert!(!said.contains("published ports are not kept"), "{said}");
}

#[test]
fn a_full_map_of_published_ports_is_named() {
    let host = Host::new();
    host.configure("[maps]\npublished = 3\n");
    host.create("n");
    host.netns("a");
    host.netns("b");
    host.bridge_user("net connect -p 8080-8081:80-81 n a").ok();
    let before = host.snapshot();
    let refused = host.bridge_user("net connect -p 127.0.0.1:8090:80 n b");
    refused.fails_with(
        1,
        &[
            "map PUBLISHED is full",
            "has 3 entries",
            "raise `published`",
        ],
    );
    host.assert_as_before(&before, "a refused command changed something");
    let map = format!("bpftool -j map show pinned {PINS}/maps/PUBLISHED");
    assert_eq!(number(&host.call(&map).json()["max_entries"]), 3);
    assert!(array(&host.call("bpftool -j cgroup show /sys/fs/cgroup").json()).len() >= 10);
}
