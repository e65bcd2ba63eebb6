//! Ports that the kernel chooses: a published one is not among them.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use socket2::{Domain, Socket, Type};

use super::publish;
use crate::host::Host;

/// The ports that the kernel chooses for one kind of call, until none is left.
fn chosen<S>(host: &Host, mut call: impl FnMut() -> io::Result<(S, SocketAddr)> + Send) -> Vec<u16>
where
    S: Send,
{
    let mut ports = host.inside(|| {
        let mut held = Vec::new();
        let mut ports = Vec::new();
        // More than the range has.
        for _ in 0..20 {
            let Ok((socket, local)) = call() else { break };
            held.push(socket);
            ports.push(local.port());
        }
        ports
    });
    ports.sort_unstable();
    ports
}

fn reserved(host: &Host) -> String {
    host.read("/proc/sys/net/ipv4/ip_local_reserved_ports")
        .trim()
        .to_owned()
}

fn set(host: &Host, key: &str, value: &str) {
    host.call("sysctl -q -w")
        .arg(&format!("net.ipv4.{key}={value}"))
        .ok();
}

#[test]
fn the_kernel_gives_no_published_port_to_others() {
    let host = Host::new();
    set(&host, "ip_local_port_range", "50000 50007");
    host.create("--ipv6 n");
    publish(
        &host,
        "-p 50001:80 -p 50002:80/udp -p 127.0.0.1:50003:81 -p 50004 n web",
    );
    let chosen_by_us = host.bridge_user("port web 50004").ok();
    let last = chosen_by_us
        .lines()
        .next()
        .and_then(|line| line.rsplit(':').next());
    let last: u16 = last.and_then(|port| port.parse().ok()).expect("a port");
    assert!((50000..=50007).contains(&last), "{chosen_by_us}");
    let mut left: Vec<u16> = vec![50000, 50004, 50005, 50006, 50007];
    left.retain(|port| *port != last);
    let listener = |at: &'static str| {
        move || {
            let listener = TcpListener::bind(at)?;
            let local = listener.local_addr()?;
            Ok((listener, local))
        }
    };
    for at in ["0.0.0.0:0", "127.0.0.1:0", "[::]:0"] {
        assert_eq!(chosen(&host, listener(at)), left, "TCP {at}");
        let udp = chosen(&host, || {
            let socket = UdpSocket::bind(at)?;
            let local = socket.local_addr()?;
            Ok((socket, local))
        });
        assert_eq!(udp, left, "UDP {at}");
    }
    let unbound = chosen(&host, || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.listen(1)?;
        let local = socket
            .local_addr()?
            .as_socket()
            .ok_or(io::ErrorKind::Other)?;
        Ok((socket, local))
    });
    assert_eq!(unbound, left, "listen without a bind");
    // The host's end of a connection too.
    let server = host
        .inside(|| TcpListener::bind("127.0.0.1:7000"))
        .expect("it is free");
    let at = server.local_addr().expect("it is bound");
    let connected = chosen(&host, || {
        let stream = TcpStream::connect(at)?;
        let local = stream.local_addr()?;
        Ok((stream, local))
    });
    assert_eq!(connected, left, "connect without a bind");
}

#[test]
fn what_others_reserved_stays_so() {
    let host = Host::new();
    set(&host, "ip_local_port_range", "50000 50003");
    set(&host, "ip_local_reserved_ports", "600,50001,50003");
    host.create("n");
    // None that is reserved is chosen, but a user may ask for one.
    publish(&host, "-p 80 -p 81 n a");
    let ports = host.bridge_user("port a").ok();
    assert!(
        ports.contains(":50000\n") && ports.contains(":50002\n"),
        "{ports}"
    );
    host.bridge_user("net connect -p 80 --create n none")
        .fails_with(1, &["no port from 50000 to 50003"]);
    publish(&host, "-p 50001:80 -p 9000:80 n b");
    publish(&host, "-p 50000:80/udp n c");
    assert_eq!(reserved(&host), "600,50000-50003");
    // Meanwhile somebody reserves another, and somebody frees one of ours.
    set(&host, "ip_local_reserved_ports", "600,700,50001,50003");
    host.bridge_user("reconcile").ok();
    assert_eq!(reserved(&host), "600,700,50000-50003");
    host.bridge_user("net disconnect n a").ok();
    assert_eq!(reserved(&host), "600,700,50000-50001,50003", "c has 50000");
    host.bridge_user("net disconnect n c").ok();
    host.bridge_user("net disconnect n b").ok();
    assert_eq!(reserved(&host), "600,700,50001,50003");
    publish(&host, "-p 80 n d");
    host.bridge_user("purge --yes").ok();
    assert_eq!(reserved(&host), "600,700,50001,50003");
    // What is remembered is no older than the network.
    set(&host, "ip_local_reserved_ports", "");
    host.create("n");
    host.connect("-p 50001:80 n d");
    assert_eq!(reserved(&host), "50001");
    host.bridge_user("net disconnect n d").ok();
    host.bridge_user("net rm n").ok();
    assert_eq!(reserved(&host), "");
}

#[test]
fn thousands_are_reserved_at_once() {
    let host = Host::new();
    set(&host, "ip_local_port_range", "20000 60000");
    host.create("n");
    // Every other one: the list is longer than what one write takes.
    let specs: Vec<String> = (0..1500)
        .map(|n| format!("-p {0}:{0}", 20000 + 2 * n))
        .collect();
    let specs = specs.join(" ");
    publish(&host, &format!("{specs} n web"));
    assert_eq!(reserved(&host).split(',').count(), 1500);
    publish(&host, "-p 59999:80 n other");
    host.bridge_user("net disconnect n other").ok();
    assert_eq!(reserved(&host).split(',').count(), 1500);
    host.bridge_user("net disconnect n web").ok();
    assert_eq!(reserved(&host), "");
}
