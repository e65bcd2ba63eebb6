//! What connection tracking, and so users' rules, see of flows that pass the firewall by.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use socket2::{Domain, Socket, Type};

use super::flows::{BPF, FELT};
use super::publish;
use crate::host::Host;

/// What connection tracking says of the flows to port 8080: state and seconds until it forgets them.
fn tracked(host: &Host) -> Vec<(String, u32)> {
    let all = host.call("cat /proc/net/nf_conntrack").ok();
    let flows = all.lines().filter(|line| line.contains("dport=8080 "));
    flows
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[5].into(), words[4].parse().expect("it is a number"))
        })
        .collect()
}

/// One is tracked, as established ones are.
#[track_caller]
fn assert_tracked(host: &Host, when: &str) {
    let tracked = tracked(host);
    let [(state, seconds)] = &tracked[..] else {
        panic!("{when}: {tracked:?}");
    };
    assert!(
        state == "ESTABLISHED" && *seconds > 400_000,
        "{when}: {state} for {seconds} s"
    );
}

/// A server on port 80 of `web` that sends back what it gets, and ends a connection when the client does,
/// or first, after one answer.
fn echo(host: &Host, first: bool) {
    let listener = host.within("web", || TcpListener::bind(("0.0.0.0", 80)));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let mut bytes = [0; 2000];
                while let Ok(length @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..length]).is_err() || first {
                        return;
                    }
                }
            });
        }
    });
}

/// Connects from outside, from a port of choice, and exchanges as much once.
fn exchange(host: &Host, from: u16, length: usize) -> io::Result<TcpStream> {
    let mut stream = host.inside(|| {
        let netns = File::open("/run/netns/outside")?;
        setns(netns, CloneFlags::CLONE_NEWNET)?;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from(([0, 0, 0, 0], from)).into())?;
        let at = SocketAddr::from(([192, 0, 2, 1], 8080));
        socket.connect_timeout(&at.into(), Duration::from_millis(800))?;
        io::Result::Ok(TcpStream::from(socket))
    })?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    again(&mut stream, length)?;
    Ok(stream)
}

fn again(stream: &mut TcpStream, length: usize) -> io::Result<()> {
    stream.write_all(&vec![0x55; length])?;
    stream.read_exact(&mut vec![0; length])
}

fn published_web() -> Host {
    let host = Host::new();
    host.outside();
    host.create(&format!("{BPF} n"));
    publish(&host, "-p 8080:80 n web");
    host
}

/// Then the endpoint may speak first after any silence: translated, as one of the connection.
#[test]
fn a_silent_connection_is_tracked_as_long_as_any() {
    let host = published_web();
    echo(&host, false);
    let mut stream = exchange(&host, 0, 10).expect("it is answered");
    thread::sleep(FELT);
    assert_tracked(&host, "after the first exchange");
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        again(&mut stream, 1000).expect("it goes on");
    }
    thread::sleep(FELT);
    assert_tracked(&host, "after more of them");
}

/// Exchanges that are further apart than what passes the firewall counts for, so that conntrack sees of each
/// but the last acknowledgement.
#[test]
fn a_slow_connection_is_tracked_as_long_as_any() {
    let host = published_web();
    echo(&host, false);
    let mut stream = exchange(&host, 0, 10).expect("it is answered");
    for length in [10, 1000, 10, 200, 20] {
        thread::sleep(FELT);
        again(&mut stream, length).expect("it goes on");
        again(&mut stream, length).expect("it goes on");
    }
    thread::sleep(FELT);
    assert_tracked(&host, "after slow ones");
}

/// Its segments have other sequence numbers behind the firewall than before it.
#[test]
fn a_user_s_synproxy_works() {
    let host = Host::new();
    host.outside();
    host.create("n");
    publish(&host, "-p 8080:80 n web");
    echo(&host, false);
    host.call("sysctl -q -w net.netfilter.nf_conntrack_tcp_loose=0")
        .ok();
    host.call("nft")
        .arg(
            "table inet user {
                 chain p { type filter hook prerouting priority raw;
                     iifname up0 tcp dport 8080 tcp flags syn / fin,syn,rst,ack notrack; };
                 chain i { type filter hook input priority filter; iifname up0 tcp dport 8080
                     ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm; };
             }",
        )
        .ok();
    host.bridge_user("net ls").ok();
    let mut stream = exchange(&host, 0, 10).expect("it is answered");
    let until = Instant::now() + Duration::from_secs(3);
    for turn in 0..200 {
        let answered = again(&mut stream, 1000);
        answered.unwrap_or_else(|e| panic!("turn {turn}: {e}"));
        assert!(Instant::now() < until, "turn {turn}: nothing is sent twice");
    }
}

#[test]
fn limits_of_open_connections_count_open_ones() {
    let host = published_web();
    echo(&host, false);
    host.call("nft")
        .arg(
            "table inet user { set s { type ipv4_addr; flags dynamic; }; chain c {
                 type filter hook forward priority 0;
                 tcp dport 80 ct state new add @s { ip saddr ct count over 3 } drop; }; }",
        )
        .ok();
    for turn in 0..8 {
        let ended = exchange(&host, 0, 10).map(drop);
        ended.unwrap_or_else(|e| panic!("connection {turn}: {e}; {:?}", tracked(&host)));
        thread::sleep(FELT);
    }
}

#[test]
fn limits_of_new_connections_hold_from_one_port() {
    let host = published_web();
    // Who ends first waits; the client may begin another one from the same port at once.
    echo(&host, true);
    host.call("nft")
        .arg(
            "table inet user { chain c { type filter hook forward priority 0;
                 tcp dport 80 ct state new limit rate over 3/hour burst 2 packets drop; }; }",
        )
        .ok();
    let answered = (0..5).filter(|_| {
        let ended = exchange(&host, 4444, 10).and_then(|mut stream| stream.read(&mut [0]));
        thread::sleep(FELT);
        ended.is_ok()
    });
    assert_eq!(answered.count(), 2);
}

#[test]
fn a_connection_outlives_a_change_of_the_way_outside() {
    let host = published_web();
    echo(&host, false);
    let mut stream = exchange(&host, 0, 10).expect("it is answered");
    let mut go_on = |when: &str| {
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            let answered = again(&mut stream, 1000);
            answered.unwrap_or_else(|e| panic!("{when}: {e}"));
        }
    };
    go_on("before");
    // The one outside is on the wire: it needs none.
    for words in ["ip route del default", "ip -6 route del default"] {
        host.call(words).ok();
    }
    host.bridge_user("net ls").ok();
    go_on("without a default route");
    host.call("ip route add default via 192.0.2.2").ok();
    host.bridge_user("net ls").ok();
    go_on("with one again");
}

#[test]
fn what_others_set_back_is_set_again() {
    let host = published_web();
    host.call("sysctl -q -w net.netfilter.nf_conntrack_tcp_be_liberal=0")
        .ok();
    host.bridge_user("net ls").ok();
    let is = host.call("sysctl -n net.netfilter.nf_conntrack_tcp_be_liberal");
    assert_eq!(is.ok().trim(), "1");
    let key = "net.netfilter.nf_conntrack_tcp_timeout_unacknowledged";
    host.call(&format!("sysctl -q -w {key}=300")).ok();
    host.bridge_user("net ls").ok();
    let is = host.call(&format!("sysctl -n {key}"));
    assert_eq!(is.ok().trim(), "432000");
}
