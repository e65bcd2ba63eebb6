//! What endpoints send outside comes from no published port: its answers would be taken for what others
//! send to the port, and these for its answers.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use super::{UdpServer, connect_from, elements, publish, say, url};
use crate::host::{Host, OUTSIDE, UPLINK};

/// The port of who is asked outside.
const THERE: u16 = 9999;

/// A socket that waits for an answer, but not for long.
fn socket(host: &Host, netns: &str, address: &str, port: u16) -> UdpSocket {
    let socket = host.within(netns, || UdpSocket::bind((address, port)));
    let set = socket.set_read_timeout(Some(Duration::from_millis(500)));
    set.expect("it is no zero");
    socket
}

/// From where a datagram is seen outside. One for which the kernel chose a published port is lost, and
/// another one sent.
fn seen(there: &UdpSocket, here: &UdpSocket) -> SocketAddr {
    let to = there.local_addr().expect("it is bound");
    let tried = (0..10).find_map(|_| {
        here.send_to(b"out", to).ok()?;
        Some(there.recv_from(&mut [0; 10]).ok()?.1)
    });
    tried.expect("it arrives")
}

/// What `there` is answered, and by whom.
fn ask(there: &UdpSocket, to: &str) -> Option<(String, String)> {
    there.send_to(b"who", to).expect("there is a way");
    let mut answer = [0; 100];
    let (length, from) = there.recv_from(&mut answer).ok()?;
    Some((
        String::from_utf8_lossy(&answer[..length]).into(),
        from.to_string(),
    ))
}

#[test]
fn what_leaves_comes_from_no_published_port() {
    let fixed = format!(
        "-o com.docker.network.host_ipv4={} -o com.docker.network.host_ipv6={}",
        UPLINK[0], UPLINK[1]
    );
    for options in ["", &fixed] {
        let host = Host::new();
        host.outside();
        host.create(&format!("--ipv6 {options} n"));
        publish(&host, "-p 8053:53/udp -p 8080:80 n web");
        let _server = UdpServer::start(&host, "web", 53);
        host.join("n", "client");
        for (outside, uplink) in OUTSIDE.into_iter().zip(UPLINK) {
            let any = if outside.contains(':') {
                "::"
            } else {
                "0.0.0.0"
            };
            let there = socket(&host, "outside", outside, THERE);
            let here = socket(&host, "client", any, 8053);
            let from = seen(&there, &here);
            assert_eq!(from.ip().to_string(), uplink, "{options:?}");
            assert!(from.port() != 8053 && from.port() >= 1024, "{from}");
            there.send_to(b"in", from).expect("there is a way");
            here.recv(&mut [0; 10]).expect("the answer arrives");
            // Who was asked reaches who published the port.
            let to = url(uplink, 8053);
            assert_eq!(ask(&there, &to), Some((outside.into(), to)), "{options:?}");
            // Other ports stay as they are.
            let other = socket(&host, "client", any, 8054);
            assert_eq!(seen(&there, &other).port(), 8054);
            let listener = host.within("outside", || TcpListener::bind((outside, 9998)));
            let to = url(outside, 9998);
            let _stream = host.within("client", || connect_from(8080, &to));
            let (_accepted, peer) = listener.accept().expect("it is connected");
            assert!(peer.port() != 8080 && peer.port() >= 1024, "{peer}");
        }
    }
}

#[test]
fn a_flow_of_before_makes_room_for_a_published_port() {
    let host = Host::new();
    host.outside();
    host.create("--ipv6 n");
    let client = host.join("n", "client").addresses();
    let sockets = [0, 1].map(|family| {
        let there = socket(&host, "outside", OUTSIDE[family], THERE);
        let here = socket(&host, "client", &client[family], 7000);
        assert_eq!(seen(&there, &here).port(), 7000);
        (there, here)
    });
    let listener = host.within("outside", || TcpListener::bind((OUTSIDE[0], 9998)));
    let to = url(OUTSIDE[0], 9998);
    let mut stream = host.within("client", || connect_from(7000, &to));
    let (mut accepted, peer) = listener.accept().expect("it is connected");
    assert_eq!(peer.port(), 7000);
    let set = accepted.set_read_timeout(Some(Duration::from_secs(2)));
    set.expect("it is no zero");
    publish(&host, "-p 7000:53/udp -p 7000:80 n web");
    let _server = UdpServer::start(&host, "web", 53);
    for ((there, here), (outside, uplink)) in sockets.iter().zip(OUTSIDE.iter().zip(UPLINK)) {
        let to = url(uplink, 7000);
        assert_eq!(ask(there, &to), Some(((*outside).into(), to)));
        assert_ne!(seen(there, here).port(), 7000);
        assert_eq!(say(&host, Some("outside"), uplink, 7000), *outside);
    }
    // Connections go on.
    accepted.write_all(b"on").expect("it is connected");
    stream.read_exact(&mut [0; 2]).expect("it is connected");
    stream.write_all(b"on").expect("it is connected");
    accepted.read_exact(&mut [0; 2]).expect("it is connected");
}

#[test]
fn a_published_port_that_the_kernel_chooses_is_not_used() {
    let host = Host::new();
    host.outside();
    host.create("n");
    // Of 64,512 ports: one in six or seven.
    let published = 10_000..20_000;
    publish(&host, "-p 10000-19999:10000-19999/udp n web");
    host.join("n", "client");
    let here = socket(&host, "client", "0.0.0.0", published.start);
    for port in 20_000..20_060 {
        let there = socket(&host, "outside", OUTSIDE[0], port);
        let set = there.set_read_timeout(Some(Duration::from_millis(50)));
        set.expect("it is no zero");
        let from = seen(&there, &here);
        assert!(!published.contains(&from.port()), "{from}");
    }
}

#[test]
fn another_network_is_not_asked_from_a_published_port() {
    let host = Host::new();
    host.outside();
    host.create("n");
    host.create("other");
    publish(&host, "-p 8053:53/udp n web");
    publish(&host, "-p 9999:9999/udp other service");
    host.join("n", "client");
    let there = socket(&host, "service", "0.0.0.0", THERE);
    let here = socket(&host, "client", "0.0.0.0", 8053);
    here.send_to(b"who", (UPLINK[0], THERE))
        .expect("there is a way");
    let (_, from) = there.recv_from(&mut [0; 10]).expect("it arrives");
    assert_ne!(from.port(), 8053);
    there.send_to(b"me", from).expect("there is a way");
    here.recv(&mut [0; 10]).expect("it is answered");
}

#[test]
fn a_port_of_several_addresses_is_one_until_the_last_goes() {
    let host = Host::new();
    host.outside();
    host.call("ip address add 192.0.2.10/24 dev up0").ok();
    host.create("n");
    publish(&host, "-p 192.0.2.1:8080:80 n web");
    publish(&host, "-p 192.0.2.10:8080:80 n other");
    for (leaving, left) in [("web", 1), ("other", 0)] {
        host.bridge_user(&format!("net disconnect n {leaving}"))
            .ok();
        assert_eq!(
            elements(&host, "set", "host_ports").len(),
            left,
            "{leaving}"
        );
        assert_eq!(
            elements(&host, "map", "published4").len(),
            left,
            "{leaving}"
        );
        assert_eq!(elements(&host, "set", "own4").len(), left, "{leaving}");
    }
}
