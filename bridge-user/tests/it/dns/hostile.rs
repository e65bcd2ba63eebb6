//! Who sends what is no question, too many of them, or no answer: others are served all the same.

use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};

use super::GATEWAY;
use crate::host::{Host, Running, says};
use crate::random::{Random, number, seed};

/// Packets that a test of malformed ones sends.
const PACKETS: usize = 120_000;

/// Of these, one is a question, whose answer says that those before it were read.
const BATCH: usize = 100;

/// Sandboxes that take all the room for questions to others, and questions that each may have there.
const GREEDY: usize = 16;
const FORWARDS: usize = 64;

/// A host where `x` will be hostile and `y` is not.
fn host() -> (Host, Running, String) {
    let host = Host::new();
    host.set_nameservers(&[]);
    let daemon = host.daemon();
    host.create("n");
    host.join("n", "x");
    let y = host.join("n", "y").ipv4;
    (host, daemon, y)
}

fn question(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    let name = Name::from_ascii(name).expect("a test's name");
    message.queries.push(Query::query(name, kind));
    message.to_vec().expect("it can be written")
}

/// Ends the loop of another thread when a test ends, however that does.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Something that is not a question, or hardly one.
fn malformed(random: &mut Random) -> Vec<u8> {
    if random.below(4) == 0 {
        let length = random.below(600);
        return (0..length).map(|_| random.byte()).collect();
    }
    let names = [
        "y.",
        "y.n.",
        "2.0.90.10.in-addr.arpa.",
        "a.b.c.d.e.example.",
        ".",
    ];
    let kinds = [
        RecordType::A,
        RecordType::PTR,
        RecordType::ANY,
        RecordType::TXT,
    ];
    let mut bytes = question(random.of::<&str>(&names), *random.of(&kinds));
    // An OPT record, which may go wrong as well.
    if random.below(2) == 0 {
        bytes[11] = 1;
        bytes.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    }
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(5) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.byte(),
            // A pointer (RFC 1035, 4.1.4): back, forth, or to itself.
            2 => bytes[at] = 0xc0 | u8::try_from(random.below(64)).unwrap_or(0),
            3 => bytes.truncate(at.max(1)),
            _ => {
                let more = random.below(40);
                bytes.extend((0..more).map(|_| random.byte()));
            }
        }
    }
    bytes
}

/// Datagrams that a socket on port 53 had no room for: the last column of /proc/net/udp.
fn lost(host: &Host) -> u64 {
    let sockets = host.read("/proc/net/udp");
    let of_dns = sockets.lines().filter(|line| line.contains(":0035 "));
    let drops = of_dns.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok());
    drops.sum()
}

/// Memory of the daemon that is in use, in KiB.
fn resident(host: &Host) -> u64 {
    let pid = host.read("/run/bridge-user/daemon.lock");
    let status = host.read(&format!("/proc/{}/status", pid.trim()));
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.expect("a process has memory")
}

#[track_caller]
fn assert_serves(host: &Host, y: &str) {
    let dug = host.dig("y", &format!("@{GATEWAY} y"));
    assert_eq!(dug.answers, [y], "{}", dug.text);
}

#[test]
fn malformed_datagrams_stop_nothing() {
    let (host, daemon, y) = host();
    let pid = host.read("/run/bridge-user/daemon.lock");
    let socket = host.socket_in("x");
    socket.connect((GATEWAY, 53)).expect("there is a route");
    let before = resident(&host);
    let seed = seed();
    let mut random = Random::new(seed);
    let packets = number("BRIDGE_USER_TEST_PACKETS")
        .map_or(PACKETS, |n| usize::try_from(n).unwrap_or(PACKETS));
    for batch in 0..packets / BATCH {
        let start = Instant::now();
        for _ in 1..BATCH {
            let _ = socket.send(&malformed(&mut random));
        }
        assert!(
            answers(&socket),
            "no answer after batch {batch}, seed {seed}"
        );
        if batch % 200 == 0 {
            assert_serves(&host, &y);
        }
        // Less than one client may ask: every one is looked at.
        thread::sleep(Duration::from_millis(5).saturating_sub(start.elapsed()));
    }
    assert_serves(&host, &y);
    assert_eq!(lost(&host), 0, "not all were read, seed {seed}");
    let grown = resident(&host).saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB more, seed {seed}");
    assert_eq!(host.read("/run/bridge-user/daemon.lock"), pid);
    let ended = daemon.end(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(!ended.stderr.contains("panic"), "seed {seed}: {ended}");
}

/// Asks a question and waits for its answer among those to others.
fn answers(socket: &UdpSocket) -> bool {
    let bytes = question("y.n.", RecordType::A);
    let mut buffer = [0; 4096];
    socket.send(&bytes).is_ok()
        && std::iter::from_fn(|| {
            socket
                .recv(&mut buffer)
                .ok()
                .map(|length| buffer[..length].to_vec())
        })
        .any(|answer| answer[..2] == bytes[..2])
}

#[test]
fn malformed_streams_stop_nothing() {
    let (host, daemon, y) = host();
    let seed = seed();
    let mut random = Random::new(seed);
    for round in 0..2_000 {
        let mut stream = host.connection_in("x", GATEWAY);
        let bytes = malformed(&mut random);
        let length = match random.below(4) {
            0 => u16::MAX,
            1 => 0,
            _ => u16::try_from(bytes.len()).unwrap_or(u16::MAX),
        };
        let _ = stream.write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat());
        if round % 200 == 0 {
            assert_serves(&host, &y);
        }
    }
    let dug = host.dig("y", &format!("@{GATEWAY} +tcp y"));
    assert_eq!(dug.answers, [y], "seed {seed}: {}", dug.text);
    let ended = daemon.end(nix::sys::signal::Signal::SIGTERM);
    assert!(
        ended.code == Some(0) && !ended.stderr.contains("panic"),
        "seed {seed}: {ended}"
    );
}

#[test]
fn malformed_answers_of_a_nameserver_stop_nothing() {
    let (host, daemon, y) = host();
    host.call("ip addr add 192.0.2.1/32 dev lo").ok();
    host.set_nameservers(&["192.0.2.1"]);
    let socket = host.inside(|| UdpSocket::bind("192.0.2.1:53").expect("the address is there"));
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("it is no zero");
    let stop = AtomicBool::new(false);
    let seed = seed();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(seed);
            let mut buffer = [0; 4096];
            while !stop.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                // Its own id and question, with a record that is cut or wrong somewhere.
                let mut bytes = buffer[..length].to_vec();
                bytes[2] |= 0x80;
                bytes[7] = 1;
                bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 51, 100, 7]);
                let at = 12 + random.below(bytes.len() - 12);
                if random.below(2) == 0 {
                    bytes[at] = random.byte();
                } else {
                    bytes.truncate(at);
                }
                for _ in 0..5 {
                    let _ = socket.send_to(&bytes, from);
                }
            }
        });
        let _stop = Stop(&stop);
        let client = host.socket_in("x");
        for n in 0..2_000 {
            let _ = client.send_to(
                &question(&format!("n{n}.example."), RecordType::A),
                (GATEWAY, 53),
            );
            if n % 50 == 0 {
                thread::sleep(Duration::from_millis(50));
            }
            if n % 500 == 0 {
                assert_serves(&host, &y);
            }
        }
    });
    assert_serves(&host, &y);
    let ended = daemon.end(nix::sys::signal::Signal::SIGTERM);
    assert!(
        ended.code == Some(0) && !ended.stderr.contains("panic"),
        "seed {seed}: {ended}"
    );
}

#[test]
fn one_that_asks_all_the_time_takes_no_answer_from_others() {
    let (host, _daemon, y) = host();
    let flooding = host.socket_in("x");
    flooding.connect((GATEWAY, 53)).expect("there is a route");
    let stop = AtomicBool::new(false);
    let mut sent = 0_u64;
    thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let bytes = question("y.", RecordType::A);
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                sent += u64::from(flooding.send(&bytes).is_ok());
            }
            sent
        });
        let stopping = Stop(&stop);
        let client = host.socket_in("y");
        client.connect((GATEWAY, 53)).expect("there is a route");
        thread::sleep(Duration::from_millis(200));
        for answered in 0..300 {
            assert!(answers(&client), "after {answered} answers");
        }
        drop(stopping);
        sent = flood.join().expect("it does not panic");
    });
    assert!(sent > 3_000, "{sent} are no flood");
    assert_serves(&host, &y);
}

#[test]
fn many_that_ask_what_nobody_answers_leave_a_share_for_others() {
    let (host, _daemon, _) = host();
    let silent = |answer: &mut Message, by_tcp| {
        let name = answer.queries[0].name().to_string();
        name.starts_with("good") && says("198.51.100.7", 0)(answer, by_tcp)
    };
    let _upstream = host.nameserver("192.0.2.1", silent);
    host.set_nameservers(&["192.0.2.1"]);
    let names: Vec<String> = (0..GREEDY).map(|n| format!("greedy{n}")).collect();
    for name in &names {
        host.join("n", name);
    }
    let sockets: Vec<UdpSocket> = names.iter().map(|name| host.socket_in(name)).collect();
    for (n, socket) in sockets.iter().enumerate() {
        for m in 0..FORWARDS {
            let bytes = question(&format!("n{n}.m{m}.example."), RecordType::A);
            let sent = socket.send_to(&bytes, (GATEWAY, 53));
            sent.expect("there is a route");
        }
    }
    for n in 0..5 {
        let dug = host.dig("y", &format!("@{GATEWAY} good{n}.example"));
        assert_eq!(dug.answers, ["198.51.100.7"], "{n}: {}", dug.text);
    }
    // None of theirs was answered meanwhile: all of them had their places.
    sockets[0].set_nonblocking(true).expect("a socket can be");
    let early = sockets[0].recv(&mut [0; 512]);
    assert!(early.is_err(), "{early:?}");
}

#[test]
fn a_connection_that_announces_a_long_question_is_closed() {
    let (host, _daemon, y) = host();
    for (length, stays) in [(4096_u16, true), (4097, false), (u16::MAX, false)] {
        let mut stream = host.connection_in("x", GATEWAY);
        let timeout = stream.set_read_timeout(Some(Duration::from_millis(500)));
        timeout.expect("it is no zero");
        let [a, b] = length.to_be_bytes();
        stream.write_all(&[a, b, 0]).expect("it is open");
        let ended = match stream.read(&mut [0]) {
            Ok(0) => true,
            Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
            Ok(_) => panic!("an answer to no question"),
        };
        assert_eq!(ended, !stays, "{length}");
    }
    assert_serves(&host, &y);
}
