//! The sockets of one gateway address: UDP and TCP, port 53 there and nowhere else.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{sleep, timeout};

use super::limits::What;
use super::message::{UDP_BYTES, write};
use super::{Resolver, Step};
use crate::model::Id;

/// RFC 1035, 4.2.
const PORT: u16 = 53;

/// Bytes of questions that wait for us, per socket: some thousands, so that those of others find
/// room while one client sends all that it can.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Questions that are taken off a socket before the first of them is answered.
const ROUND: usize = 4096;

/// Questions of one client in a round; what it sent besides is lost. So others wait for at most
/// this many of each, however fast one asks.
const SHARE: usize = 128;

/// How long a connection may be silent, and an answer may take to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// After an error that another try meets again at once, such as a lack of memory.
const PAUSE: Duration = Duration::from_millis(50);

/// What listens at one address; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Listener {
    udp: JoinHandle<()>,
    tcp: JoinHandle<()>,
}

impl Listener {
    /// Binds the address, which the kernel need not have yet, and answers there.
    pub(super) fn start(
        resolver: &Arc<Resolver>,
        network: &Id,
        address: IpAddr,
    ) -> io::Result<Self> {
        let udp = bind(address, Type::DGRAM)?;
        setsockopt(&udp, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES)?;
        let udp = UdpSocket::from_std(udp.into())?;
        let tcp = bind(address, Type::STREAM)?;
        tcp.listen(128)?;
        let tcp = TcpListener::from_std(tcp.into())?;
        let of = |resolver: &Arc<Resolver>| (Arc::clone(resolver), network.clone());
        let (for_udp, for_tcp) = (of(resolver), of(resolver));
        Ok(Self {
            udp: tokio::spawn(answer_datagrams(for_udp.0, for_udp.1, udp)),
            tcp: tokio::spawn(accept(for_tcp.0, for_tcp.1, tcp)),
        })
    }

    /// Whether it still answers: neither loop ends but by a panic.
    pub(super) fn is_alive(&self) -> bool {
        !self.udp.is_finished() && !self.tcp.is_finished()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.udp.abort();
        self.tcp.abort();
    }
}

fn bind(address: IpAddr, kind: Type) -> io::Result<Socket> {
    let address = SocketAddr::new(address, PORT);
    let socket = Socket::new(Domain::for_address(address), kind, None::<Protocol>)?;
    socket.set_nonblocking(true)?;
    // The bridge may come later, or go and come again.
    if address.is_ipv4() {
        socket.set_freebind_v4(true)?;
    } else {
        socket.set_freebind_v6(true)?;
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // Connections of a daemon that ended may linger (TIME_WAIT).
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

async fn answer_datagrams(resolver: Arc<Resolver>, network: Id, socket: UdpSocket) {
    let socket = Arc::new(socket);
    loop {
        let taken = match socket.readable().await {
            Ok(()) => take_round(&socket),
            Err(error) => Err(error),
        };
        match taken {
            Ok(round) => {
                for (client, bytes) in round {
                    answer_datagram(&resolver, &network, &socket, client, &bytes);
                }
                // Other sockets have their turn.
                yield_now().await;
            }
            Err(error) => {
                tracing::debug!("failed to receive questions: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Takes what waits off a socket, of no client more than its share.
fn take_round(socket: &UdpSocket) -> io::Result<Vec<(SocketAddr, Vec<u8>)>> {
    let mut buffer = [0; 4096];
    let mut round = Vec::new();
    let mut taken: HashMap<IpAddr, usize> = HashMap::new();
    for _ in 0..ROUND {
        let (length, client) = match socket.try_recv_from(&mut buffer) {
            Ok(received) => received,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        };
        let taken = taken.entry(client.ip()).or_default();
        *taken += 1;
        if *taken <= SHARE && client.port() != 0 {
            round.push((client, buffer[..length].to_vec()));
        }
    }
    Ok(round)
}

fn answer_datagram(
    resolver: &Arc<Resolver>,
    network: &Id,
    socket: &Arc<UdpSocket>,
    client: SocketAddr,
    bytes: &[u8],
) {
    if !resolver.limits.may_ask(client.ip(), Instant::now()) {
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

async fn accept(resolver: Arc<Resolver>, network: Id, listener: TcpListener) {
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
            if let Err(error) = answer_stream(&resolver, &network, client.ip(), stream).await {
                tracing::debug!("connection of {client} ended: {error}");
            }
            drop(held);
        });
    }
}

/// Answers one question after the other (RFC 7766): who asks more at once waits for itself.
async fn answer_stream(
    resolver: &Arc<Resolver>,
    network: &Id,
    client: IpAddr,
    mut stream: TcpStream,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let read = async {
            let length = stream.read_u16().await?;
            bytes.resize(length.into(), 0);
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
