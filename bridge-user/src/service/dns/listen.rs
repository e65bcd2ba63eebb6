//! The sockets of one address: UDP and TCP, there and nowhere else.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{sleep, timeout};

use super::limits::What;
use super::message::{UDP_BYTES, write};
use super::queue::Queue;
use super::{Place, Resolver, Step};
use crate::kernel::datagrams;
use crate::kernel::sockets::{self, Holder, Transport};
use crate::model::Id;

/// Sockets for datagrams, among which clients are spread.
const SOCKETS: u32 = 16;

/// Bytes of questions that wait in each, of the kernel's counting: some thousand datagrams.
const RECEIVE_BUFFER_BYTES: usize = 2 << 20;

/// Bytes of the longest question: what a datagram brings, and what a connection may announce.
const QUESTION_BYTES: usize = 4096;

/// Datagrams that are taken off a socket before the next are answered.
const AT_ONCE: usize = 512;

/// How long a connection may be silent, and an answer may take to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// After an error that another try meets again at once, such as a lack of memory.
const PAUSE: Duration = Duration::from_millis(50);

/// What listens at one address; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Listener {
    udp: Vec<JoinHandle<()>>,
    tcp: JoinHandle<()>,
}

impl Listener {
    /// Binds the address, which the kernel need not have yet, and answers there.
    pub(super) fn start(resolver: &Arc<Resolver>, place: &Place) -> io::Result<Self> {
        let (address, network) = (place.address, &place.network);
        let datagrams = datagrams::bind(address, SOCKETS, RECEIVE_BUFFER_BYTES)?;
        let tcp = TcpListener::from_std(bind_stream(address)?)?;
        let mut udp = Vec::new();
        for socket in datagrams {
            let (resolver, network) = (Arc::clone(resolver), network.clone());
            let socket = UdpSocket::from_std(socket)?;
            udp.push(tokio::spawn(answer_datagrams(resolver, network, socket)));
        }
        let tcp = tokio::spawn(accept(Arc::clone(resolver), network.clone(), tcp));
        Ok(Self { udp, tcp })
    }

    /// Whether it still answers: neither loop ends but by a panic.
    pub(super) fn is_alive(&self) -> bool {
        !self
            .udp
            .iter()
            .chain([&self.tcp])
            .any(JoinHandle::is_finished)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        for task in self.udp.iter().chain([&self.tcp]) {
            task.abort();
        }
    }
}

/// Who else has a port at an address.
pub(super) fn other_server(at: SocketAddr) -> Option<Holder> {
    let transports = [Transport::Udp, Transport::Tcp].into_iter();
    let mut holders = transports.flat_map(|transport| sockets::holders(transport, at));
    holders.find(|holder| {
        let is_ours = |(pid, _): &(u32, String)| *pid == std::process::id();
        !holder.process.as_ref().is_some_and(is_ours)
    })
}

fn bind_stream(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // The bridge may come later, or go and come again.
    if address.is_ipv4() {
        socket.set_freebind_v4(true)?;
    } else {
        socket.set_freebind_v6(true)?;
        socket.set_only_v6(true)?;
    }
    // Connections of a daemon that ended may linger (TIME_WAIT).
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(128)?;
    Ok(socket.into())
}

async fn answer_datagrams(resolver: Arc<Resolver>, network: Option<Id>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut queue = Queue::default();
    loop {
        let taken = if queue.is_empty() {
            let readable = socket.readable().await;
            readable.and_then(|()| take_all(&socket, &mut queue))
        } else {
            // A full socket would lose everybody's.
            take_all(&socket, &mut queue)
        };
        if let Err(error) = taken {
            tracing::debug!("failed to receive questions: {error}");
            sleep(PAUSE).await;
        }
        for (client, bytes) in queue.take_turn() {
            answer_datagram(&resolver, network.as_ref(), &socket, client, &bytes);
        }
        // Other sockets have their turn.
        yield_now().await;
    }
}

fn take_all(socket: &UdpSocket, queue: &mut Queue) -> io::Result<()> {
    let mut buffer = [0; QUESTION_BYTES];
    for _ in 0..AT_ONCE {
        match socket.try_recv_from(&mut buffer) {
            Ok((_, client)) if client.port() == 0 => {}
            Ok((length, client)) => queue.push(client, &buffer[..length]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn answer_datagram(
    resolver: &Arc<Resolver>,
    network: Option<&Id>,
    socket: &Arc<UdpSocket>,
    client: SocketAddr,
    bytes: &[u8],
) {
    if !resolver.limits.may_ask(client.ip(), Instant::now()) {
        resolver.counts.limited.fetch_add(1, Ordering::Relaxed);
        return;
    }
    match resolver.begin(network, client.ip(), bytes) {
        Step::Silence => {}
        Step::Refuse(answer) => send(socket, client, write(&answer, UDP_BYTES)),
        Step::Answer(question, answer) => {
            send(socket, client, write(&answer, question.udp_limit()));
        }
        Step::Forward(forward) => {
            let (resolver, socket) = (Arc::clone(resolver), Arc::clone(socket));
            tokio::spawn(async move {
                let limit = forward.question.udp_limit();
                let answer = resolver.forward(forward).await;
                send(&socket, client, write(&answer, limit));
            });
        }
    }
}

/// An answer that the kernel has no room for is lost, as datagrams are: waiting would make others
/// wait.
fn send(socket: &UdpSocket, client: SocketAddr, answer: Option<Vec<u8>>) {
    if let Some(Err(error)) = answer.map(|answer| socket.try_send_to(&answer, client)) {
        tracing::debug!("failed to answer {client}: {error}");
    }
}

async fn accept(resolver: Arc<Resolver>, network: Option<Id>, listener: TcpListener) {
    loop {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!("failed to accept a connection: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Some(held) = resolver.limits.hold(client.ip(), What::Connection) else {
            continue;
        };
        let (resolver, network) = (Arc::clone(&resolver), network.clone());
        tokio::spawn(async move {
            if let Err(error) =
                answer_stream(&resolver, network.as_ref(), client.ip(), stream).await
            {
                tracing::debug!("connection of {client} ended: {error}");
            }
            drop(held);
        });
    }
}

/// Answers one question after the other (RFC 7766): who asks more at once waits for itself.
async fn answer_stream(
    resolver: &Arc<Resolver>,
    network: Option<&Id>,
    client: IpAddr,
    mut stream: TcpStream,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let read = async {
            let length = usize::from(stream.read_u16().await?);
            // Room is made before anything has come: not for whatever somebody announces.
            if length > QUESTION_BYTES {
                return Err(io::Error::other("a question is too long"));
            }
            bytes.resize(length, 0);
            stream.read_exact(&mut bytes).await
        };
        timeout(PATIENCE, read).await??;
        while !resolver.limits.may_ask(client, Instant::now()) {
            sleep(PAUSE).await;
        }
        let answer = match resolver.begin(network, client, &bytes) {
            Step::Silence => return Ok(()),
            Step::Refuse(answer) => *answer,
            Step::Answer(_, answer) => answer,
            Step::Forward(forward) => resolver.forward(forward).await,
        };
        let Some(answer) = write(&answer, u16::MAX) else {
            return Ok(());
        };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let framed = [&length.to_be_bytes(), answer.as_slice()].concat();
        timeout(PATIENCE, stream.write_all(&framed)).await??;
    }
}
