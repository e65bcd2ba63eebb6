//! A nameserver of a test's own, on an address of the host that nobody else has.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hickory_proto::op::{Message, Metadata, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record};

use super::Host;

/// All that is sent for a question that came, by TCP or not.
type Behaviour = dyn Fn(&[u8], bool) -> Vec<Vec<u8>> + Send + Sync;

/// A nameserver, until it is dropped.
pub(crate) struct Nameserver {
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Host {
    /// Starts one, UDP and TCP, that answers a question by changing an answer that is empty yet;
    /// `false` is silence. The flag says whether it came by TCP.
    pub(crate) fn nameserver(
        &self,
        address: &str,
        behaviour: impl Fn(&mut Message, bool) -> bool + Send + Sync + 'static,
    ) -> Nameserver {
        self.nameserver_of_bytes(address, answers(behaviour))
    }

    /// The same on an address of a named namespace.
    pub(crate) fn nameserver_in(
        &self,
        netns: &str,
        address: &str,
        behaviour: impl Fn(&mut Message, bool) -> bool + Send + Sync + 'static,
    ) -> Nameserver {
        serve(
            self.within(netns, || bind(address)),
            Arc::new(answers(behaviour)),
        )
    }

    /// Starts one that sends whatever it likes.
    pub(crate) fn nameserver_of_bytes(
        &self,
        address: &str,
        behaviour: impl Fn(&[u8], bool) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Nameserver {
        self.call(&format!("ip addr add {address}/32 dev lo")).run();
        let bound = self.inside(|| bind(address));
        serve(
            bound.unwrap_or_else(|e| panic!("{address}: {e}")),
            Arc::new(behaviour),
        )
    }
}

fn bind(address: &str) -> std::io::Result<(UdpSocket, TcpListener)> {
    Ok((
        UdpSocket::bind((address, 53))?,
        TcpListener::bind((address, 53))?,
    ))
}

fn serve((udp, tcp): (UdpSocket, TcpListener), behaviour: Arc<Behaviour>) -> Nameserver {
    let asked = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let for_udp = (
        Arc::clone(&asked),
        Arc::clone(&stop),
        Arc::clone(&behaviour),
    );
    let for_tcp = (Arc::clone(&asked), Arc::clone(&stop), behaviour);
    let threads = vec![
        thread::spawn(move || serve_udp(&udp, &for_udp.0, &for_udp.1, &*for_udp.2)),
        thread::spawn(move || serve_tcp(&tcp, &for_tcp.0, &for_tcp.1, &*for_tcp.2)),
    ];
    Nameserver {
        asked,
        stop,
        threads,
    }
}

impl Nameserver {
    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Nameserver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// How long a thread waits before it looks whether to stop.
const LOOK: Duration = Duration::from_millis(50);

fn serve_udp(socket: &UdpSocket, asked: &AtomicUsize, stop: &AtomicBool, behaviour: &Behaviour) {
    socket.set_read_timeout(Some(LOOK)).expect("it is no zero");
    let mut buffer = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        asked.fetch_add(1, Ordering::Relaxed);
        for bytes in behaviour(&buffer[..length], false) {
            let _ = socket.send_to(&bytes, from);
        }
    }
}

fn serve_tcp(
    listener: &TcpListener,
    asked: &AtomicUsize,
    stop: &AtomicBool,
    behaviour: &Behaviour,
) {
    listener.set_nonblocking(true).expect("a socket can be");
    while !stop.load(Ordering::Relaxed) {
        let Ok((mut stream, _)) = listener.accept() else {
            thread::sleep(LOOK);
            continue;
        };
        asked.fetch_add(1, Ordering::Relaxed);
        let mut exchange = || -> std::io::Result<()> {
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut bytes = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut bytes)?;
            for bytes in behaviour(&bytes, true) {
                let length = u16::try_from(bytes.len()).expect("a message has 16 bits of length");
                stream.write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat())?;
            }
            Ok(())
        };
        let _ = exchange();
    }
}

fn answers(
    change: impl Fn(&mut Message, bool) -> bool + Send + Sync,
) -> impl Fn(&[u8], bool) -> Vec<Vec<u8>> + Send + Sync {
    move |bytes, by_tcp| {
        let mut answers = Vec::new();
        if let Ok(question) = Message::from_vec(bytes) {
            let mut answer = answer_to(&question);
            if change(&mut answer, by_tcp) {
                answers.push(answer.to_vec().expect("a test's message can be written"));
            }
        }
        answers
    }
}

/// An answer that says nothing yet.
pub(crate) fn answer_to(question: &Message) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata = Metadata::response_from_request(&question.metadata);
    answer.metadata.recursion_available = true;
    answer.queries.clone_from(&question.queries);
    answer
}

/// Answers every question with this address.
pub(crate) fn says(address: &str, ttl: u32) -> impl Fn(&mut Message, bool) -> bool + Send + Sync {
    let data = RData::A(A(address.parse().expect("a test's address")));
    move |answer, _| {
        let name = answer.queries[0].name().clone();
        answer
            .answers
            .push(Record::from_rdata(name, ttl, data.clone()));
        true
    }
}

/// Answers with a code, and with a start of authority that lets nobody keep it longer than this.
pub(crate) fn fails(
    code: ResponseCode,
    ttl: u32,
) -> impl Fn(&mut Message, bool) -> bool + Send + Sync {
    move |answer, _| {
        let zone = Name::from_ascii("example.").expect("it is one");
        let soa = SOA::new(zone.clone(), zone.clone(), 1, 3600, 600, 86_400, ttl);
        answer.metadata.response_code = code;
        answer
            .authorities
            .push(Record::from_rdata(zone, 3600, RData::SOA(soa)));
        true
    }
}

/// Never answers.
pub(crate) fn is_silent(_: &mut Message, _: bool) -> bool {
    false
}
