//! Internal networks, and flows to published ports that began before, or are others'.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use bridge_ebpf::testing::udp4;

use super::hairpin::{answer_lines, said};
use super::{UdpServer, publish, say};
use crate::host::{Host, UPLINK, mac, text, wait_until};

/// Gateways of `x`, and the addresses of its endpoint `a`.
const GATEWAYS: [&str; 2] = ["10.77.0.1", "fd77::1"];

fn join_x(host: &Host, options: &str) {
    host.create(&format!(
        "--ipv6 --subnet 10.77.0.0/24 --subnet fd77::/64 {options} x"
    ));
    host.connect("--ip 10.77.0.2 --ip6 fd77::2 x a");
}

/// A flow from one port to another, which stays one flow.
fn ask(socket: &UdpSocket) -> io::Result<usize> {
    socket.send(b"who")?;
    socket.recv(&mut [0; 100])
}

/// Who has the address of an endpoint that was on an ordinary network has not its connections.
#[test]
fn a_network_that_is_internal_now_leads_nowhere_by_flows_of_before() {
    let host = Host::new();
    host.outside();
    host.create("--ipv6 n");
    publish(&host, "-p 8080:80 -p 5353:53/udp n web");
    let _udp = UdpServer::start(&host, "web", 53);
    let listener = host.within("web", || TcpListener::bind(("::", 80)));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer_lines(stream));
        }
    });
    host.netns("a");
    join_x(&host, "");
    let mut flows: Vec<(UdpSocket, TcpStream)> = Vec::new();
    for gateway in GATEWAYS {
        let flow = host.within("a", || {
            let address: std::net::IpAddr = gateway.parse().expect("it is one");
            let any = if address.is_ipv4() { "0.0.0.0" } else { "::" };
            let udp = UdpSocket::bind((any, 0))?;
            udp.connect(SocketAddr::new(address, 5353))?;
            udp.set_read_timeout(Some(Duration::from_secs(1)))?;
            let tcp = TcpStream::connect(SocketAddr::new(address, 8080))?;
            tcp.set_read_timeout(Some(Duration::from_secs(1)))?;
            Ok((udp, tcp))
        });
        flows.push(flow);
    }
    for (udp, tcp) in &mut flows {
        assert!(ask(udp).is_ok() && said(tcp).is_ok());
    }
    host.bridge_user("net disconnect x a").ok();
    host.bridge_user("net rm x").ok();
    join_x(&host, "--internal");
    for ((udp, tcp), gateway) in flows.iter_mut().zip(GATEWAYS) {
        assert!(ask(udp).is_err(), "UDP by {gateway}");
        assert!(said(tcp).is_err(), "TCP by {gateway}");
    }
}

/// As `isolation::bridge_and_firewall_alone_keep_apart`.
#[test]
fn the_firewall_alone_keeps_internal_networks_out_of_others_flows() {
    let host = Host::new();
    host.outside();
    host.create("n");
    let web = publish(&host, "-p 5353:53/udp n web");
    let web = text(&web["IPv4Address"]);
    let web: std::net::Ipv4Addr = web
        .split('/')
        .next()
        .and_then(|a| a.parse().ok())
        .expect("it has one");
    host.create("--internal x");
    let a = host.join("x", "a");
    let echo = host.within("web", || UdpSocket::bind(("::", 53)));
    echo.set_read_timeout(Some(Duration::from_secs(1)))
        .expect("no zero");
    let client = host.within("outside", || {
        let client = UdpSocket::bind("0.0.0.0:4000")?;
        client.connect((UPLINK[0], 5353))?;
        client.set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(client)
    });
    client.send(b"?").expect("there is a way");
    let (_, from) = echo.recv_from(&mut [0; 10]).expect("it is published");
    echo.send_to(b"!", from).expect("there is a way");
    client.recv(&mut [0; 10]).expect("it is answered");
    let bridge = host.bridge_of("x");
    host.call("umount /sys/fs/bpf").ok();
    wait_until("the program is gone", || {
        host.tcx_programs(&a.host_leg).is_empty()
    });
    for link in ["all", &bridge] {
        host.call(&format!("sysctl -qw net.ipv4.conf.{link}.rp_filter=0"))
            .ok();
    }
    let bridge = host.link(None, &bridge).expect("it is there");
    let wire = host.wire(&a);
    let send = |source, target| {
        let ends = (mac(&text(&bridge["address"])), mac(&a.mac));
        wire.send(&super::outside::checked(udp4(
            ends.0,
            ends.1,
            source,
            target,
            &[],
        )));
    };
    let [outside, host_address] = [[192, 0, 2, 2], [192, 0, 2, 1]];
    send((outside, 4000), (host_address, 5353));
    assert!(
        echo.recv(&mut [0; 100]).is_err(),
        "web was sent something by an internal network"
    );
    send((web.octets(), 53), (outside, 4000));
    assert!(
        client.recv(&mut [0; 100]).is_err(),
        "an internal network sent something outside"
    );
}

/// As ARCHITECTURE.md says of connections that began while the table was flushed.
#[test]
fn what_anothers_rule_led_into_an_internal_network_ends_when_the_table_is_back() {
    let host = Host::new();
    host.outside();
    host.create("--internal x");
    let a = host.join("x", "a");
    let gateway = host.gateway_of("x");
    host.call(&format!("ip -n a route add default via {gateway}"))
        .ok();
    let rule = format!(
        "table ip admin {{ chain p {{ type nat hook prerouting priority -101; \
         udp dport 9999 fib daddr type local dnat to {}:53; }}; \
         chain q {{ type nat hook postrouting priority 99; oifname {} masquerade; }}; }}",
        a.ipv4,
        host.bridge_of("x")
    );
    host.call("nft").arg(&rule).ok();
    let _udp = UdpServer::start(&host, "a", 53);
    let client = host.within("outside", || {
        let client = UdpSocket::bind("0.0.0.0:0")?;
        client.connect((UPLINK[0], 9999))?;
        client.set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(client)
    });
    host.bridge_user("net ls").ok();
    assert!(ask(&client).is_err(), "with the table");
    host.call("nft delete table inet bridge_user").ok();
    assert!(ask(&client).is_ok(), "without");
    host.bridge_user("net ls").ok();
    assert!(ask(&client).is_err(), "with the table again");
    assert_eq!(say(&host, Some("outside"), UPLINK[0], 9999), "");
}
