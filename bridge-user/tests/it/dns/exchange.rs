//! What is believed of a nameserver's answers, and what is made of odd ones.

use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::Name;

use super::GATEWAY;
use crate::host::{Host, Running, answer_to, assert_quick, says};

const FIRST: &str = "192.0.2.1";
const SECOND: &str = "192.0.2.2";

fn host(nameservers: &[&str]) -> (Host, Running) {
    let host = Host::new();
    host.set_nameservers(nameservers);
    let daemon = host.daemon();
    host.create("n");
    host.join("n", "x");
    (host, daemon)
}

/// A message, changed and written.
fn changed(message: &Message, change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = message.clone();
    change(&mut message);
    message.to_vec().expect("a test's message can be written")
}

fn read(bytes: &[u8]) -> Message {
    Message::from_vec(bytes).expect("the daemon writes messages")
}

/// The message and no more than its header: no question.
fn bare(code: ResponseCode, question: &[u8]) -> Vec<u8> {
    let mut header = [0; 12];
    header[..2].copy_from_slice(&question[..2]);
    header[2..4].copy_from_slice(&[0x81, 0x80 | code.low()]);
    header.into()
}

#[test]
fn forged_answers_are_not_believed() {
    let (host, _daemon) = host(&[FIRST]);
    let upstream = host.nameserver_of_bytes(FIRST, |bytes, by_tcp| {
        let mut answer = answer_to(&read(bytes));
        says("198.51.100.7", 60)(&mut answer, by_tcp);
        let mut forged = answer_to(&read(bytes));
        says("203.0.113.66", 60)(&mut forged, by_tcp);
        let other = Name::from_ascii("other.example.").expect("it is one");
        vec![
            changed(&forged, |forged| forged.metadata.id ^= 1),
            changed(&forged, |forged| {
                forged.queries[0].set_name(other.clone());
            }),
            changed(&forged, |forged| forged.queries.clear()),
            // A question is no answer.
            changed(&forged, |forged| {
                forged.metadata.message_type = hickory_proto::op::MessageType::Query;
            }),
            changed(&answer, |_| {}),
        ]
    });
    let dug = host.dig("x", &format!("@{GATEWAY} site.example"));
    assert_eq!(dug.answers, ["198.51.100.7"], "{}", dug.text);
    let dug = host.dig("x", &format!("@{GATEWAY} site.example"));
    assert_eq!(dug.answers, ["198.51.100.7"], "{}", dug.text);
    assert_eq!(upstream.asked(), 1, "what is kept is the right one too");
}

#[test]
fn by_tcp_an_answer_to_another_question_is_none() {
    let (host, _daemon) = host(&[FIRST, SECOND]);
    let _upstream = host.nameserver(FIRST, |answer, by_tcp| {
        answer.metadata.truncation = !by_tcp;
        answer.metadata.id ^= u16::from(by_tcp);
        says("203.0.113.66", 60)(answer, by_tcp)
    });
    let _second = host.nameserver(SECOND, says("198.51.100.8", 60));
    let dug = host.dig("x", &format!("@{GATEWAY} site.example"));
    assert_eq!(dug.answers, ["198.51.100.8"], "{}", dug.text);
}

#[test]
fn who_does_not_know_edns_is_asked_without_it() {
    let (host, _daemon) = host(&[FIRST]);
    for (n, has_question) in [false, true].into_iter().enumerate() {
        let upstream = host.nameserver_of_bytes(FIRST, move |bytes, by_tcp| {
            let question = read(bytes);
            let mut answer = answer_to(&question);
            if question.edns.is_none() {
                says("198.51.100.7", 60)(&mut answer, by_tcp);
            } else if has_question {
                answer.metadata.response_code = ResponseCode::FormErr;
            } else {
                return vec![bare(ResponseCode::FormErr, bytes)];
            }
            vec![changed(&answer, |_| {})]
        });
        let dug = host.dig("x", &format!("@{GATEWAY} +edns=0 site{n}.example"));
        assert_eq!(
            (&*dug.status, &*dug.answers),
            ("NOERROR", &["198.51.100.7".to_owned()][..]),
            "{}",
            dug.text
        );
        assert_eq!(upstream.asked(), 2);
    }
}

#[test]
fn a_failure_without_the_question_is_an_answer() {
    let (host, _daemon) = host(&[FIRST, SECOND]);
    let _second = host.nameserver(SECOND, says("198.51.100.8", 0));
    for code in [
        ResponseCode::ServFail,
        ResponseCode::FormErr,
        ResponseCode::NotImp,
        ResponseCode::Refused,
    ] {
        let _first = host.nameserver_of_bytes(FIRST, move |bytes, _| vec![bare(code, bytes)]);
        // Who says nothing is waited for longer, before the next is asked.
        let mut names = (1..).map(|n| format!("{n}.{}.example", code.low()));
        assert_quick(&code.to_string(), Duration::from_millis(350), || {
            let name = names.next().unwrap_or_default();
            let start = Instant::now();
            let dug = host.dig("x", &format!("@{GATEWAY} {name}"));
            assert_eq!(dug.answers, ["198.51.100.8"], "{code}: {}", dug.text);
            start.elapsed()
        });
    }
}

#[test]
fn a_name_that_takes_long_is_found_as_long_as_we_wait() {
    // Its own is the only nameserver: the host's is on a loopback address.
    let (host, _daemon) = host(&["127.0.0.53"]);
    let _upstream = host.nameserver("127.0.0.53", |answer, by_tcp| {
        std::thread::sleep(Duration::from_millis(3500));
        says("198.51.100.7", 60)(answer, by_tcp)
    });
    let found = host.exec("x", "getent ahostsv4 slow.example").ok();
    assert!(found.starts_with("198.51.100.7"), "{found}");
}
