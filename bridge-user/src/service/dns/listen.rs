//! The sockets of one gateway address: UDP and TCP, port 53 there and nowhere else.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::limits::What;
use super::message::{UDP_BYTES, write};
use super::{Resolver, Step};
use crate::model::Id;

/// RFC 1035, 4.2.
const PORT: u16 = 53;

/// Bytes of questions that wait for us, per socket.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

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
        // What is more than the administrator allows is cut (socket(7)).
        udp.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
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
    let mut buffer = [0; 4096];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!("failed to receive a question: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        if client.port() == 0 || !resolver.limits.may_ask(client.ip(), Instant::now()) {
            continue;
        }
        match resolver.begin(&network, client.ip(), &buffer[..length]) {
            Step::Silence => {}
            Step::Refuse(answer) => send(&socket, client, write(&answer, UDP_BYTES)),
            Step::Answer(question, answer) => {
                send(&socket, client, write(&answer, question.udp_limit()));
            }
            Step::Forward(forward) => {
                let (resolver, socket) = (Arc::clone(&resolver), Arc::clone(&socket));
                tokio::spawn(async move {
                    let limit = forward.question.udp_limit();
                    let answer = resolver.forward(forward).await;
                    send(&socket, client, write(&answer, limit));
                });
            }
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
