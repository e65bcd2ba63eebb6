//! Names of others, which the daemon asks the host's nameservers for.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use nix::sys::signal::Signal;

use super::GATEWAY;
use crate::host::{Host, Running, assert_quick, fails, is_silent, says, wait_until};

const FIRST: &str = "192.0.2.1";
const SECOND: &str = "192.0.2.2";
const THIRD: &str = "192.0.2.3";

/// What tests ask for; a new name each time is one that nobody has asked for yet.
fn ask(host: &Host, name: &str) -> (String, Vec<String>) {
    let dug = host.dig("x", &format!("@{GATEWAY} {name}"));
    (dug.status, dug.answers)
}

fn host(nameservers: &[&str]) -> (Host, Running) {
    let host = Host::new();
    host.set_nameservers(nameservers);
    let daemon = host.daemon();
    host.create("n");
    host.join("n", "x");
    (host, daemon)
}

#[test]
fn others_names_are_asked_for_once_and_kept_as_long_as_they_may() {
    let (host, _daemon) = host(&[FIRST]);
    let upstream = host.nameserver(FIRST, says("198.51.100.7", 3));
    for _ in 0..5 {
        let (status, answers) = ask(&host, "site.example");
        assert_eq!(
            (&*status, &*answers),
            ("NOERROR", &["198.51.100.7".to_owned()][..])
        );
    }
    assert_eq!(upstream.asked(), 1);
    std::thread::sleep(Duration::from_millis(1100));
    let dug = host.dig("x", &format!("@{GATEWAY} SITE.example"));
    let line = dug
        .text
        .lines()
        .find(|line| line.contains("198.51.100.7"))
        .unwrap_or_default();
    let ttl: u32 = line
        .split_whitespace()
        .nth(1)
        .and_then(|ttl| ttl.parse().ok())
        .expect("a TTL");
    assert!((1..=2).contains(&ttl), "{}", dug.text);
    assert!(
        dug.flags.contains(&"ra".into()) && !dug.flags.contains(&"aa".into()),
        "{}",
        dug.text
    );
    assert_eq!(upstream.asked(), 1);
    std::thread::sleep(Duration::from_millis(2100));
    ask(&host, "site.example");
    assert_eq!(upstream.asked(), 2);
    // Another type is another question.
    host.dig("x", &format!("@{GATEWAY} site.example TXT"));
    assert_eq!(upstream.asked(), 3);
    let found = host.exec("x", "getent ahostsv4 other.example").ok();
    assert!(found.starts_with("198.51.100.7"), "{found}");
}

#[test]
fn that_there_is_no_such_name_is_kept_too_but_no_failure() {
    let (host, _daemon) = host(&[FIRST]);
    let upstream = host.nameserver(FIRST, fails(ResponseCode::NXDomain, 2));
    for _ in 0..3 {
        assert_eq!(ask(&host, "none.example").0, "NXDOMAIN");
    }
    assert_eq!(upstream.asked(), 1);
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(ask(&host, "none.example").0, "NXDOMAIN");
    assert_eq!(upstream.asked(), 2);
    drop(upstream);
    let upstream = host.nameserver(FIRST, fails(ResponseCode::ServFail, 60));
    assert_eq!(ask(&host, "bad.example").0, "SERVFAIL");
    let before = upstream.asked();
    assert_eq!(ask(&host, "bad.example").0, "SERVFAIL");
    assert!(upstream.asked() > before);
}

#[test]
fn the_next_is_asked_when_one_is_dead_silent_or_failing() {
    let (host, _daemon) = host(&[FIRST, SECOND, THIRD]);
    // The first refuses (nobody listens), the second is silent.
    host.call(&format!("ip addr add {FIRST}/32 dev lo")).ok();
    let silent = host.nameserver(SECOND, is_silent);
    let good = host.nameserver(THIRD, says("198.51.100.7", 0));
    let (status, answers) = ask(&host, "one.example");
    assert_eq!((&*status, answers.len()), ("NOERROR", 1));
    // Who did not answer is asked after the others for a while.
    let before = silent.asked();
    assert_eq!(ask(&host, "two.example").1.len(), 1);
    assert_eq!(silent.asked(), before);
    drop((silent, good));
    let failing = host.nameserver(FIRST, fails(ResponseCode::ServFail, 0));
    let good = host.nameserver(SECOND, says("198.51.100.8", 0));
    let (status, answers) = ask(&host, "three.example");
    assert_eq!(
        (&*status, &*answers),
        ("NOERROR", &["198.51.100.8".to_owned()][..])
    );
    assert!(failing.asked() <= 1 && good.asked() == 1);
    // Nobody at all: an answer all the same, before a client gives up.
    drop((failing, good));
    let silents = [FIRST, SECOND, THIRD].map(|address| host.nameserver(address, is_silent));
    let mut rounds = 0;
    assert_quick("nobody answers", Duration::from_secs(5), || {
        rounds += 1;
        let start = Instant::now();
        assert_eq!(ask(&host, &format!("four{rounds}.example")).0, "SERVFAIL");
        start.elapsed()
    });
    assert!(silents.iter().all(|silent| silent.asked() == 2 * rounds));
}

#[test]
fn the_first_is_believed_when_the_second_is_quicker() {
    let (host, _daemon) = host(&[FIRST, SECOND]);
    let _slow = host.nameserver(FIRST, |answer, by_tcp| {
        std::thread::sleep(Duration::from_millis(150));
        says("198.51.100.1", 0)(answer, by_tcp)
    });
    let _quick = host.nameserver(SECOND, fails(ResponseCode::NXDomain, 60));
    for n in 0..3 {
        let (_, answers) = ask(&host, &format!("private{n}.example"));
        assert_eq!(answers, ["198.51.100.1"]);
    }
}

#[test]
fn resolv_conf_is_followed_as_it_changes() {
    let (host, _daemon) = host(&[FIRST]);
    let _servers = [(FIRST, "198.51.100.1"), (SECOND, "198.51.100.2")]
        .map(|(server, says_what)| host.nameserver(server, says(says_what, 300)));
    assert_eq!(ask(&host, "site.example").1, ["198.51.100.1"]);
    host.set_nameservers(&[SECOND]);
    // At once, and what the old one said is forgotten.
    assert_eq!(ask(&host, "site.example").1, ["198.51.100.2"]);
    host.set_nameservers(&[]);
    assert_eq!(ask(&host, "site.example").0, "SERVFAIL");
    host.set_nameservers(&[FIRST]);
    assert_eq!(ask(&host, "site.example").1, ["198.51.100.1"]);
}

#[test]
fn an_answer_that_is_large_comes_by_tcp() {
    let (host, _daemon) = host(&[FIRST]);
    let _upstream = host.nameserver(FIRST, |answer, by_tcp| {
        if by_tcp {
            return (0..200).all(|n| says(&format!("198.51.100.{n}"), 60)(answer, true));
        }
        answer.metadata.truncation = true;
        true
    });
    let dug = host.dig("x", &format!("@{GATEWAY} large.example +ignore"));
    assert!(
        dug.flags.contains(&"tc".into()) && dug.answers.is_empty(),
        "{}",
        dug.text
    );
    assert!(dug.text.contains("EDNS"), "{}", dug.text);
    let dug = host.dig("x", &format!("@{GATEWAY} large.example"));
    assert_eq!(dug.answers.len(), 200, "{}", dug.text);
}

#[test]
fn nothing_of_an_internal_network_is_passed_on() {
    let (host, _daemon) = host(&[FIRST]);
    let upstream = host.nameserver(FIRST, says("198.51.100.7", 60));
    host.create("--internal inside");
    let gateway = host.gateway_of("inside");
    host.join("inside", "y");
    host.netns("z");
    host.connect("inside z");
    host.connect("n z");
    for name in ["site.example", "-x 198.51.100.7"] {
        let dug = host.dig("y", &format!("@{gateway} {name}"));
        assert_eq!(
            (&*dug.status, dug.answers),
            ("NXDOMAIN", vec![]),
            "{}",
            dug.text
        );
    }
    assert_eq!(host.dig("y", &format!("@{gateway} z")).answers.len(), 1);
    assert_eq!(upstream.asked(), 0);
    // Addresses of our networks are nobody else's business on any network.
    assert_eq!(
        host.dig("x", &format!("@{GATEWAY} -x 10.90.0.77")).status,
        "NXDOMAIN"
    );
    assert_eq!(upstream.asked(), 0);
    // Who is on another network too finds others' names by that one.
    let found = host.exec("z", "getent ahostsv4 site.example").ok();
    assert!(found.starts_with("198.51.100.7"), "{found}");
}

#[test]
fn loops_end_at_once() {
    let (host, _daemon) = host(&[GATEWAY]);
    let mut names = (1..).map(|n| format!("self{n}.example"));
    assert_quick("ourselves", Duration::from_secs(1), || {
        let start = Instant::now();
        let name = names.next().unwrap_or_default();
        assert_eq!(ask(&host, &name).0, "SERVFAIL");
        start.elapsed()
    });
    // A forwarder of the host that asks us what we ask it.
    let inside =
        host.inside(|| UdpSocket::bind(("10.90.0.1", 0)).expect("the gateway is the host's"));
    inside
        .set_read_timeout(Some(Duration::from_secs(6)))
        .expect("it is no zero");
    let forwarder = host.nameserver(FIRST, move |answer, _| {
        let mut question = Message::query();
        question.metadata.recursion_desired = true;
        question.queries.clone_from(&answer.queries);
        let bytes = question.to_vec().expect("it can be written");
        inside
            .send_to(&bytes, (GATEWAY, 53))
            .expect("the daemon is there");
        let mut buffer = [0; 4096];
        let Ok(length) = inside.recv(&mut buffer) else {
            return false;
        };
        let found = Message::from_vec(&buffer[..length]).expect("the daemon writes messages");
        answer.metadata.response_code = found.metadata.response_code;
        true
    });
    host.set_nameservers(&[FIRST]);
    let start = Instant::now();
    let (status, _) = ask(&host, "loop.example");
    assert!(["REFUSED", "SERVFAIL"].contains(&&*status), "{status}");
    // Who is waited for is given up after 4.5 seconds.
    let took = start.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(forwarder.asked() <= 2, "{}", forwarder.asked());
    // The host's own questions are passed on when they are no loop.
    let upstream = host.nameserver(SECOND, says("198.51.100.7", 0));
    host.set_nameservers(&[SECOND]);
    assert_eq!(
        host.dig_here(&format!("@{GATEWAY} site.example")).answers,
        ["198.51.100.7"]
    );
    assert_eq!(upstream.asked(), 1);
}

#[test]
fn who_asks_the_same_at_the_same_time_is_one_question() {
    let (host, _daemon) = host(&[FIRST]);
    let upstream = host.nameserver(FIRST, |answer, by_tcp| {
        std::thread::sleep(Duration::from_millis(300));
        says("198.51.100.7", 60)(answer, by_tcp)
    });
    let asking: Vec<Running> = (0..20)
        .map(|_| {
            host.exec("x", &format!("dig +short @{GATEWAY} busy.example"))
                .spawn()
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.wait(), "198.51.100.7\n");
    }
    assert!(upstream.asked() <= 2, "{}", upstream.asked());
}

#[test]
fn one_client_cannot_use_up_what_others_need() {
    let (host, _daemon) = host(&[FIRST]);
    host.join("n", "y");
    let _upstream = host.nameserver(FIRST, |answer, by_tcp| {
        let name = answer.queries[0].name().to_string();
        name.starts_with("good") && says("198.51.100.7", 60)(answer, by_tcp)
    });
    // More questions that nobody answers than one may have on their way.
    let socket = host.socket_in("x");
    for n in 0..200 {
        let bytes = question(&format!("silent{n}.example."));
        socket
            .send_to(&bytes, (GATEWAY, 53))
            .expect("there is a route");
    }
    let refused = {
        let mut buffer = [0; 512];
        let refused = std::iter::from_fn(|| socket.recv(&mut buffer).ok());
        refused.take(136).count()
    };
    assert_eq!(refused, 200 - 64, "the others wait");
    // So one that is answered is not even asked for x, but for y.
    let dug = host.dig("y", &format!("@{GATEWAY} good.example"));
    assert_eq!(dug.answers, ["198.51.100.7"], "{}", dug.text);
    // Connections: 16 for each.
    let mut open: Vec<_> = (0..40).map(|_| host.connection_in("x", GATEWAY)).collect();
    std::thread::sleep(Duration::from_millis(200));
    open.retain_mut(is_open);
    assert_eq!(open.len(), 16);
    let dug = host.dig("y", &format!("@{GATEWAY} +tcp y"));
    assert_eq!(dug.answers.len(), 1, "{}", dug.text);
    assert_eq!(host.dig("x", &format!("@{GATEWAY} +tcp y")).status, "");
    drop(open);
    wait_until("x may connect again", || {
        host.dig("x", &format!("@{GATEWAY} +tcp y")).answers.len() == 1
    });
}

/// Whether the other side has not closed it.
fn is_open(stream: &mut std::net::TcpStream) -> bool {
    use std::io::Read as _;

    stream.set_nonblocking(true).expect("a socket can be");
    let read = stream.read(&mut [0]);
    read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

fn question(name: &str) -> Vec<u8> {
    use hickory_proto::op::Query;
    use hickory_proto::rr::{Name, RecordType};

    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    let name = Name::from_ascii(name).expect("a test's name");
    message.queries.push(Query::query(name, RecordType::A));
    message.to_vec().expect("it can be written")
}

#[test]
fn upstreams_are_configured_and_read_again() {
    let host = Host::new();
    host.set_nameservers(&[FIRST]);
    host.call("mkdir -p /etc/bridge-user").ok();
    let configure = |upstream: &str| {
        let text = format!("[dns]\\nupstreams = [\"{upstream}\"]\\n");
        let script = format!("printf '{text}' >/etc/bridge-user/config.toml");
        host.call("sh -c").arg(&script).ok();
    };
    let _servers = [
        (FIRST, "198.51.100.1"),
        (SECOND, "198.51.100.2"),
        (THIRD, "198.51.100.3"),
    ]
    .map(|(server, says_what)| host.nameserver(server, says(says_what, 300)));
    configure(SECOND);
    let daemon = host.daemon();
    host.create("n");
    host.join("n", "x");
    assert_eq!(ask(&host, "site.example").1, ["198.51.100.2"]);
    configure("not an address");
    daemon.signal(Signal::SIGHUP);
    assert_eq!(ask(&host, "site.example").1, ["198.51.100.2"]);
    configure(THIRD);
    daemon.signal(Signal::SIGHUP);
    wait_until("the third is asked", || {
        ask(&host, "site.example").1 == ["198.51.100.3"]
    });
    drop(daemon);
    let words = format!("daemon --upstream {FIRST}:53 --foreground");
    let mut daemon = host.bridge_user(&words).spawn();
    daemon.wait_for_error_line("ready");
    wait_until("the first is asked", || {
        ask(&host, "site.example").1 == ["198.51.100.1"]
    });
}
