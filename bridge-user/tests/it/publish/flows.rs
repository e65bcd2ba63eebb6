//! What the firewall has let through passes it by, and only that.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use super::{UdpServer, connect, publish, serve, url, who};
use crate::host::{Host, OUTSIDE, UPLINK, number, text, wait_until};

/// A network whose published ports have this road.
pub(super) const BPF: &str = "-o bridge-user.publish=bpf";

/// How long an answer takes at most that comes at all.
const SOON: Duration = Duration::from_millis(200);
/// As long as a packet's passing the firewall counts for others, and some.
pub(super) const FELT: Duration = Duration::from_millis(300);

/// A datagram's way there and back: from whom the answer came, if one did.
pub(super) fn ask(socket: &UdpSocket, bytes: &[u8], at: &str) -> Option<String> {
    // A refusal (ICMP) of an earlier one is no answer to this.
    let _ = socket.send_to(bytes, at);
    let mut answer = [0; 100];
    let (_, from) = socket.recv_from(&mut answer).ok()?;
    Some(from.to_string())
}

/// A socket of the machine outside.
pub(super) fn outside_socket(host: &Host, address: &str) -> UdpSocket {
    let socket = host.within("outside", || UdpSocket::bind((address, 0)));
    let set = socket.set_read_timeout(Some(SOON));
    set.expect("it is no zero");
    socket
}

/// Counts what the host forwards, in a table of somebody else's.
pub(super) struct Forwarded<'h>(&'h Host);

impl<'h> Forwarded<'h> {
    pub(super) fn of(host: &'h Host) -> Self {
        host.call("nft")
            .arg(
                "table inet probe { chain forward { type filter hook forward priority -200; counter; }; }",
            )
            .ok();
        Self(host)
    }

    pub(super) fn packets(&self) -> u64 {
        let listed = self.0.call("nft -j list table inet probe").json();
        let rules = listed["nftables"].as_array().expect("it is a list");
        let rule = rules.iter().find_map(|entry| entry.get("rule"));
        number(&rule.expect("it has one")["expr"][0]["counter"]["packets"])
    }
}

/// Sends TCP from outside to a published port, and back with `reverse`; how many segments both ends
/// sent, and how many packets the host's stack forwarded.
fn transfer(host: &Host, address: &str, reverse: bool) -> (u64, u64) {
    let server = host.exec("web", "iperf3 -s -1").spawn();
    wait_until("iperf3 listens", || {
        let listening = host.exec("web", "ss -Hltn").arg("sport = :5201").run();
        !listening.stdout.is_empty()
    });
    let forwarded = Forwarded(host);
    let segments = || ["web", "outside"].map(|netns| host.segments_out(netns));
    let before = (segments(), forwarded.packets());
    let reverse = if reverse { "-R" } else { "" };
    let client = format!("iperf3 -c {address} -p 8080 -C cubic -t 1 {reverse}");
    host.exec("outside", &client).ok();
    server.wait();
    let sent: u64 = segments().iter().sum::<u64>() - before.0.iter().sum::<u64>();
    (sent, forwarded.packets() - before.1)
}

#[test]
fn what_the_firewall_let_through_passes_it_by() {
    for (options, past) in [
        (BPF, true),
        (&format!("{BPF} --datapath xdp"), true),
        (
            &format!("{BPF} -o com.docker.network.driver.mtu=9000"),
            true,
        ),
        ("--datapath off", false),
        ("-o bridge-user.publish=nft", false),
        ("", true),
    ] {
        let host = Host::new();
        host.outside();
        host.create(&format!("--ipv6 {options} n"));
        let leg = text(&publish(&host, "-p 8080:5201 n web")["HostLeg"]);
        let _ = Forwarded::of(&host);
        for address in UPLINK {
            for reverse in [false, true] {
                let before = host.stats(&leg).fast_packets;
                let (sent, forwarded) = transfer(&host, address, reverse);
                let fast = host.stats(&leg).fast_packets - before;
                let case = format!("{options}, {address}, reverse {reverse}: {sent} {forwarded}");
                assert!(sent > 1000, "{case}");
                // Offloads join segments to packets.
                if past {
                    assert!(
                        (2..1000).contains(&forwarded) && fast > 1000,
                        "{case} {fast}"
                    );
                } else {
                    assert!(forwarded > 2000 && fast == 0, "{case} {fast}");
                }
            }
        }
    }
}

/// Rules of others that hold back a flow, in a direction each: hook, priority, and the rule.
const RULES: [[&str; 3]; 5] = [
    ["forward", "filter", "ip saddr 192.0.2.2 drop"],
    ["forward", "filter", "ip daddr 192.0.2.2 drop"],
    ["prerouting", "raw", "ip saddr 192.0.2.2 drop"],
    ["prerouting", "raw", "udp dport 5353 drop"],
    ["postrouting", "mangle", "ip daddr 192.0.2.2 drop"],
];

#[test]
fn what_the_firewall_holds_back_is_held_back() {
    let host = Host::new();
    host.outside();
    host.create(&format!("{BPF} n"));
    publish(&host, "-p 5353:53/udp n web");
    let _udp = UdpServer::start(&host, "web", 53);
    let forwarded = Forwarded::of(&host);
    let flow = outside_socket(&host, "0.0.0.0");
    let at = "192.0.2.1:5353";
    for [hook, priority, rule] in RULES {
        let before = forwarded.packets();
        for _ in 0..200 {
            assert_eq!(ask(&flow, b"x", at).as_deref(), Some(at), "before {rule}");
        }
        assert!(
            forwarded.packets() - before < 100,
            "it passes the firewall by"
        );
        let chain = format!("type filter hook {hook} priority {priority}; {rule};");
        host.call("nft")
            .arg(&format!("table inet user {{ chain c {{ {chain} }}; }}"))
            .ok();
        let until = Instant::now() + FELT;
        while Instant::now() < until {
            let _ = ask(&flow, b"x", at);
        }
        for _ in 0..3 {
            assert_eq!(ask(&flow, b"x", at), None, "{rule} is felt");
        }
        // Another flow has not passed at all.
        assert_eq!(
            ask(&outside_socket(&host, "0.0.0.0"), b"x", at),
            None,
            "{rule}"
        );
        host.call("nft delete table inet user").ok();
        wait_until("the flow goes on", || ask(&flow, b"x", at).is_some());
    }
}

#[test]
fn limits_of_new_connections_hold() {
    let host = Host::new();
    host.outside();
    host.create(&format!("{BPF} n"));
    publish(&host, "-p 8080:80 n web");
    let _server = serve(&host, "web", 80);
    host.call("nft")
        .arg(
            "table inet user { chain c { type filter hook forward priority 0;
                 tcp dport 80 ct state new limit rate over 3/hour burst 2 packets drop; }; }",
        )
        .ok();
    let at = "192.0.2.1:8080";
    let answered = (0..5).filter(|_| who(&host, Some("outside"), at).is_some());
    assert_eq!(answered.count(), 2);
}

#[test]
fn an_answer_comes_from_where_it_was_asked() {
    let host = Host::new();
    host.outside();
    host.call("ip address add 192.0.2.9/24 dev up0").ok();
    host.create(&format!("{BPF} n"));
    publish(&host, "-p 5353:53/udp -p 5454:53/udp n web");
    let _udp = UdpServer::start(&host, "web", 53);
    // One socket, so all are the same flow to the endpoint, unless their ports differ for it.
    let socket = outside_socket(&host, "0.0.0.0");
    for _ in 0..100 {
        for at in ["192.0.2.1:5353", "192.0.2.1:5454", "192.0.2.9:5353"] {
            assert_eq!(ask(&socket, b"x", at).as_deref(), Some(at));
        }
    }
}

#[test]
fn a_packet_is_a_hop_older_on_either_road() {
    let host = Host::new();
    host.outside();
    host.create(&format!("{BPF} --ipv6 n"));
    publish(&host, "-p 5353:53/udp n web");
    let _udp = UdpServer::start(&host, "web", 53);
    for (address, any) in UPLINK.iter().zip(["0.0.0.0", "::"]) {
        let dump = host.exec("web", "tcpdump -n -v -l -c 40 -i eth0 udp port 53");
        let mut dump = dump.spawn();
        dump.wait_for_error_line("listening on");
        let socket = outside_socket(&host, any);
        let at = url(address, 5353);
        for _ in 0..20 {
            assert_eq!(ask(&socket, b"x", &at), Some(at.clone()));
        }
        let seen = dump.wait();
        let inward = seen.matches("ttl 63,").count() + seen.matches("hlim 63,").count();
        let outward = seen.matches("ttl 64,").count() + seen.matches("hlim 64,").count();
        assert_eq!((inward, outward), (20, 20), "{seen}");
        if any == "0.0.0.0" {
            socket.set_ttl(1).expect("it can be");
            assert_eq!(ask(&socket, b"x", &at), None, "it has no hop left");
            socket.set_ttl(2).expect("it can be");
            assert_eq!(ask(&socket, b"x", &at), Some(at.clone()));
        }
    }
}

#[test]
fn what_does_not_fit_on_the_road_goes_by_the_stack() {
    let host = Host::new();
    host.outside();
    host.create(&format!("{BPF} --ipv6 n"));
    publish(&host, "-p 5353:53/udp n web");
    let _udp = UdpServer::start(&host, "web", 53);
    for (address, any) in UPLINK.iter().zip(["0.0.0.0", "::"]) {
        let socket = outside_socket(&host, any);
        let at = url(address, 5353);
        for _ in 0..20 {
            // The second is sent in fragments.
            for length in [10, 4000] {
                let bytes = vec![0x55; length];
                assert_eq!(
                    ask(&socket, &bytes, &at),
                    Some(at.clone()),
                    "{length} bytes"
                );
            }
        }
    }
}

#[test]
fn the_way_may_have_a_smaller_mtu() {
    let host = Host::new();
    host.outside();
    // A machine behind the one outside, by a link that takes less.
    host.netns("far");
    for words in [
        "ip -n outside link add far0 type veth peer name eth0 netns far",
        "ip -n outside link set far0 mtu 1300 up",
        "ip -n outside address add 198.51.100.1/24 dev far0",
        "ip -n far link set eth0 mtu 1300 up",
        "ip -n far address add 198.51.100.2/24 dev eth0",
        "ip -n far route add default via 198.51.100.1",
        "ip netns exec outside sysctl -q -w net.ipv4.ip_forward=1",
    ] {
        host.call(words).ok();
    }
    host.create(&format!("{BPF} n"));
    publish(&host, "-p 8080:80 n web");
    // The client says that it takes 1,460 bytes, as one would whose own link is larger.
    host.call("ip -n far link set eth0 mtu 1500").ok();
    let listener = host.within("web", || TcpListener::bind(("0.0.0.0", 80)));
    let server = thread::spawn(move || -> io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        for _ in 0..50 {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            stream.write_all(&vec![0x55; 20_000])?;
        }
        Ok(())
    });
    let mut client = host.within("far", || TcpStream::connect(("192.0.2.1", 8080)));
    let timeout = client.set_read_timeout(Some(Duration::from_secs(5)));
    timeout.expect("it is no zero");
    let mut bytes = vec![0; 20_000];
    for turn in 0..50 {
        client.write_all(&[1]).expect("it is connected");
        let read = client.read_exact(&mut bytes);
        read.unwrap_or_else(|e| panic!("turn {turn}: {e}"));
    }
    server.join().expect("it ends").expect("it served");
}

#[test]
fn the_mtu_of_a_route_is_heeded() {
    answers_fit_a_route(1300, 2);
    // Of IPv4 it may be that small (RFC 791, 3.2).
    answers_fit_a_route(200, 1);
}

/// That long answers get outside, and none that is longer than the route's MTU, of the first families.
fn answers_fit_a_route(mtu: usize, families: usize) {
    let host = Host::new();
    host.outside();
    host.create(&format!("{BPF} --ipv6 n"));
    publish(&host, "-p 5353:53/udp n web");
    // Answers are as long as questions.
    let server = host.within("web", || UdpSocket::bind(("::", 53)));
    thread::spawn(move || {
        let mut bytes = [0; 2000];
        while let Ok((length, from)) = server.recv_from(&mut bytes) {
            // The first one that is too long is refused.
            let _ = server.send_to(&bytes[..length], from);
        }
    });
    // Of what comes there, before fragments are put together.
    let chain = format!("type filter hook prerouting priority -450; meta length > {mtu} counter");
    host.exec("outside", "nft")
        .arg(&format!("table inet probe {{ chain c {{ {chain}; }}; }}"))
        .ok();
    let ends = UPLINK.iter().zip(OUTSIDE).zip(["0.0.0.0", "::"]);
    for ((address, to), any) in ends.take(families) {
        host.call(&format!("ip route add {to} dev up0 mtu {mtu}"))
            .ok();
        let socket = outside_socket(&host, any);
        let at = url(address, 5353);
        let mut answered = 0;
        for turn in 0..100 {
            for length in [10, mtu + 100] {
                let answer = ask(&socket, &vec![0x55; length], &at);
                answered += usize::from(answer.is_some());
                assert!(
                    answer.is_some() || turn < 3,
                    "{at}, turn {turn}: {length} bytes"
                );
            }
        }
        assert!(answered >= 195, "{at}: {answered}");
    }
    let counted = host.exec("outside", "nft list table inet probe").ok();
    assert!(counted.contains("counter packets 0 bytes 0"), "{counted}");
}

#[test]
fn connections_that_ended_are_not_tracked_as_open() {
    let host = Host::new();
    host.outside();
    host.create(&format!("{BPF} n"));
    publish(&host, "-p 8080:80 n web");
    let _server = serve(&host, "web", 80);
    for _ in 0..5 {
        assert!(who(&host, Some("outside"), "192.0.2.1:8080").is_some());
    }
    let tracked = host.call("cat /proc/net/nf_conntrack").ok();
    let open = tracked.lines().filter(|line| line.contains("ESTABLISHED"));
    assert_eq!(open.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_port_that_is_another_endpoints_leads_there_at_once() {
    let host = Host::new();
    host.outside();
    host.create(&format!("{BPF} n"));
    publish(&host, "-p 5353:53/udp n web");
    let first = UdpServer::start(&host, "web", 53);
    let socket = outside_socket(&host, "0.0.0.0");
    let at = "192.0.2.1:5353";
    for _ in 0..20 {
        assert!(ask(&socket, b"x", at).is_some());
    }
    host.bridge_user("net disconnect n web").ok();
    assert_eq!(ask(&socket, b"x", at), None);
    // The same addresses, another endpoint.
    drop(first);
    publish(&host, "-p 5353:53/udp n other");
    let _second = UdpServer::start(&host, "other", 53);
    for _ in 0..20 {
        assert_eq!(ask(&socket, b"x", at).as_deref(), Some(at));
    }
}

#[test]
fn the_daemon_follows_uplinks() {
    let host = Host::new();
    host.outside();
    host.create(&format!("{BPF} n"));
    publish(&host, "-p 8080:80 n web");
    let _daemon = host.daemon();
    for words in [
        "ip link add up1 type veth peer name up1p",
        "ip link set up1 up",
        "ip address add 203.0.113.1/24 dev up1",
        "ip route add default via 203.0.113.2 dev up1 metric 1000",
    ] {
        host.call(words).ok();
    }
    let at = |index: u32| {
        let pins = host.uplink_pins();
        let of_link = format!("/uplink-{index}-");
        pins.iter().filter(|pin| pin.contains(&of_link)).count()
    };
    let index = host.ifindex("up1");
    wait_until("the new uplink has the programs", || at(index) == 2);
    host.call("ip route del default dev up1").ok();
    wait_until("it is none any more", || at(index) == 0);
    // One of several ways.
    host.call("ip route replace default nexthop via 192.0.2.2 nexthop via 203.0.113.2")
        .ok();
    wait_until("it has them again", || at(index) == 2);
}

#[test]
fn uplinks_have_the_programs_as_long_as_a_port_is_published() {
    let host = Host::new();
    host.outside();
    let before = host.sysctls();
    host.create(&format!("{BPF} n"));
    assert_eq!(host.uplink_pins().len(), 0);
    publish(&host, "-p 8080:80 n web");
    assert_eq!(host.uplink_pins().len(), 2);
    // Another uplink; the first one is none any more.
    for words in [
        "ip link add up1 type veth peer name up1p",
        "ip link set up1 up",
        "ip link set up1p up",
        "ip address add 203.0.113.1/24 dev up1",
        "ip route replace default via 203.0.113.2 dev up1",
        "ip -6 route del default",
    ] {
        host.call(words).ok();
    }
    host.bridge_user("net ls").ok();
    let index = host.ifindex("up1");
    let ends = ["egress", "ingress"].map(|end| format!("/uplink-{index}-{end}"));
    let pins = host.uplink_pins();
    let right = |(pin, end): (&String, &String)| pin.ends_with(end);
    assert!(
        pins.len() == 2 && pins.iter().zip(&ends).all(right),
        "{pins:?}"
    );
    // It goes; what held the programs there does, too.
    host.call("ip link del up1").ok();
    host.bridge_user("net ls").ok();
    assert_eq!(host.uplink_pins(), [""; 0]);
    host.call(&format!("ip route add default via {}", OUTSIDE[0]))
        .ok();
    host.bridge_user("net ls").ok();
    assert_eq!(host.uplink_pins().len(), 2);
    // A pin that somebody removed.
    let pin = host.uplink_pins().remove(0);
    host.call("rm").arg(&pin).ok();
    host.bridge_user("net ls").ok();
    assert_eq!(host.uplink_pins().len(), 2);
    host.bridge_user("net disconnect n web").ok();
    assert_eq!(host.uplink_pins(), [""; 0]);
    connect(&host, "-p 8080:80 n web");
    assert_eq!(host.uplink_pins().len(), 2);
    host.bridge_user("purge --yes").ok();
    assert_eq!(host.sysctls(), before);
    host.assert_clean();
}
