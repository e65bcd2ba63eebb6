//! What is sent between the two ends. One thread owns both, so that the figures are those of the
//! way between them and not of the scheduler's luck.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use socket2::{Domain, Socket, Type};

use super::topology::NetNs;

/// How long traffic may hang before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes that a bulk transfer writes at once.
const CHUNK: usize = 1 << 17;

/// Ratios to the wire that the topologies of ours have to reach: at most, or for a rate at least.
pub(super) struct Goals {
    /// For MAC addresses that bridge-user assigned.
    pub(super) assigned_mac: Option<f64>,
    /// For MAC addresses that the user chose.
    pub(super) chosen_mac: Option<f64>,
}

/// A workload.
pub(super) struct Workload {
    /// As tables name it.
    pub(super) name: &'static str,
    kind: Kind,
    pub(super) ipv6: bool,
    pub(super) goals: Goals,
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Datagrams there and back, the flows taking turns. `payload` in bytes.
    Datagrams { payload: usize, flows: u16 },
    /// A byte there and back on one connection.
    RoundTrips,
    /// As much as goes through, in one direction.
    Bulk,
    /// Connect, accept, a byte there and back, close.
    Connections,
}

pub(super) const fn workload(name: &'static str, kind: Kind, ipv6: bool) -> Workload {
    Workload {
        name,
        kind,
        ipv6,
        goals: Goals {
            assigned_mac: None,
            chosen_mac: None,
        },
    }
}

const fn with_goals(
    name: &'static str,
    kind: Kind,
    assigned_mac: f64,
    chosen_mac: Option<f64>,
) -> Workload {
    Workload {
        goals: Goals {
            assigned_mac: Some(assigned_mac),
            chosen_mac,
        },
        ..workload(name, kind, false)
    }
}

/// Datagrams that make a frame of `frame` bytes, without its check sequence, behind headers of
/// Ethernet (14), IP and UDP (8).
pub(super) const fn datagrams(frame: usize, ip_header: usize, flows: u16) -> Kind {
    Kind::Datagrams {
        payload: frame - 14 - ip_header - 8,
        flows,
    }
}

/// All, in the order of the tables.
pub(super) const WORKLOADS: &[Workload] = &[
    with_goals("udp-rr 64 B", datagrams(64, 20, 1), 1.06, Some(1.09)),
    workload("udp-rr 1500 B", datagrams(1500, 20, 1), false),
    workload("udp-rr 64 pairs", datagrams(64, 20, 64), false),
    with_goals("tcp-rr", Kind::RoundTrips, 1.06, Some(1.09)),
    with_goals("tcp-stream", Kind::Bulk, 0.95, Some(0.94)),
    with_goals("tcp-crr", Kind::Connections, 1.05, None),
    workload("IPv6 udp-rr 64 B", datagrams(64, 40, 1), true),
    workload("IPv6 tcp-rr", Kind::RoundTrips, true),
    workload("IPv6 tcp-stream", Kind::Bulk, true),
];

impl Workload {
    /// More is better: the samples are rates, not times.
    pub(super) fn is_rate(&self) -> bool {
        matches!(self.kind, Kind::Bulk)
    }

    /// What the samples are in.
    pub(super) fn unit(&self) -> &'static str {
        match self.kind {
            Kind::Datagrams { .. } | Kind::RoundTrips => "us one way",
            Kind::Bulk => "Gbit/s",
            Kind::Connections => "us",
        }
    }

    /// Makes the sockets, those of each end in its namespace. Leaves the thread in the client's.
    pub(super) fn open(&self, place: &Place<'_>) -> Result<Ends> {
        match self.kind {
            Kind::Datagrams { payload, flows } => {
                let pairs: Result<Vec<_>> = (0..flows).map(|_| datagram_pair(place)).collect();
                Ok(Ends::Datagrams {
                    pairs: pairs?,
                    payload,
                })
            }
            Kind::Connections => {
                let listener = listen(place)?;
                let to = place.to.map_or_else(|| listener.local_addr(), Ok)?;
                Ok(Ends::Connections { listener, to })
            }
            Kind::RoundTrips => Ok(Ends::RoundTrips(connect(place)?)),
            Kind::Bulk => {
                let (sender, receiver) = connect(place)?;
                sender.set_nonblocking(true)?;
                receiver.set_nonblocking(true)?;
                Ok(Ends::Bulk {
                    sender,
                    receiver,
                    buffer: vec![0; CHUNK],
                })
            }
        }
    }
}

/// Where the two ends of a workload are.
pub(super) struct Place<'a> {
    pub(super) client: &'a NetNs,
    pub(super) server: &'a NetNs,
    /// What the server listens at; port 0 is any, and the only one that several flows can have.
    pub(super) at: SocketAddr,
    /// Where the client finds it, if that is elsewhere.
    pub(super) to: Option<SocketAddr>,
}

/// The two ends of a workload in a topology.
pub(super) enum Ends {
    Datagrams {
        pairs: Vec<(UdpSocket, UdpSocket)>,
        payload: usize,
    },
    RoundTrips((TcpStream, TcpStream)),
    Bulk {
        sender: TcpStream,
        receiver: TcpStream,
        buffer: Vec<u8>,
    },
    Connections {
        listener: TcpListener,
        to: SocketAddr,
    },
}

impl Ends {
    /// Runs for a while, from within the client's namespace; gives a sample in the workload's
    /// unit.
    pub(super) fn turn(&mut self, length: Duration) -> Result<f64> {
        match self {
            Self::Datagrams { pairs, payload } => {
                let mut buffer = vec![0; *payload];
                let mut flow = 0;
                let trip = microseconds_each(length, || {
                    let (client, server) = &pairs[flow];
                    flow = (flow + 1) % pairs.len();
                    client.send(&buffer)?;
                    server.recv(&mut buffer)?;
                    server.send(&buffer)?;
                    client.recv(&mut buffer)?;
                    Ok(())
                })?;
                Ok(trip / 2.0)
            }
            Self::RoundTrips(ends) => Ok(microseconds_each(length, || round_trip(ends))? / 2.0),
            Self::Bulk {
                sender,
                receiver,
                buffer,
            } => bulk(length, sender, receiver, buffer),
            Self::Connections { listener, to } => {
                Ok(microseconds_each(length, || one_connection(*to, listener))?)
            }
        }
    }
}

fn datagram_pair(place: &Place<'_>) -> Result<(UdpSocket, UdpSocket)> {
    place.server.enter()?;
    let server = UdpSocket::bind(place.at).context("failed to bind at the server")?;
    place.client.enter()?;
    let any: IpAddr = match place.at {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let client = UdpSocket::bind((any, 0)).context("failed to bind at the client")?;
    client.connect(place.to.map_or_else(|| server.local_addr(), Ok)?)?;
    for socket in [&client, &server] {
        socket.set_read_timeout(Some(PATIENCE))?;
    }
    client.send(&[0])?;
    // It answers whom it sees, which need not be the client's own address.
    let (_, seen) = server
        .recv_from(&mut [0])
        .context("no datagram reached the server")?;
    server.connect(seen)?;
    Ok((client, server))
}

fn listen(place: &Place<'_>) -> Result<TcpListener> {
    place.server.enter()?;
    let listener = stream_socket(place.at)?;
    listener
        .set_reuse_address(true)
        .and_then(|()| listener.bind(&place.at.into()))
        .and_then(|()| listener.listen(16))
        .context("failed to listen at the server")?;
    place.client.enter()?;
    Ok(listener.into())
}

/// A connection that sends at once.
fn connect(place: &Place<'_>) -> Result<(TcpStream, TcpStream)> {
    let listener = listen(place)?;
    let address = place.to.map_or_else(|| listener.local_addr(), Ok)?;
    let client = stream_socket(address)?;
    client
        .connect_timeout(&address.into(), PATIENCE)
        .context("failed to connect")?;
    let client = TcpStream::from(client);
    let (server, _) = listener.accept()?;
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
    }
    Ok((client, server))
}

/// A socket with cubic, also where the machine prefers bbr: that one paces, and the figures would be
/// its own. An accepted socket has its listener's.
fn stream_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_tcp_congestion(b"cubic")?;
    Ok(socket)
}

fn microseconds_each(
    length: Duration,
    mut once: impl FnMut() -> io::Result<()>,
) -> io::Result<f64> {
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < length {
        once()?;
        count += 1;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(count))
}

fn round_trip((client, server): &mut (TcpStream, TcpStream)) -> io::Result<()> {
    let mut byte = [0];
    client.write_all(&byte)?;
    server.read_exact(&mut byte)?;
    server.write_all(&byte)?;
    client.read_exact(&mut byte)
}

/// The client closes by a reset, so that no port waits for its time.
fn one_connection(address: SocketAddr, listener: &TcpListener) -> io::Result<()> {
    let client = stream_socket(address)?;
    client.set_linger(Some(Duration::ZERO))?;
    client.connect(&address.into())?;
    let (server, _) = listener.accept()?;
    round_trip(&mut (client.into(), server))
}

/// Writes and reads in turns; gives Gbit/s of what was read.
fn bulk(
    length: Duration,
    sender: &mut TcpStream,
    receiver: &mut TcpStream,
    buffer: &mut [u8],
) -> Result<f64> {
    let (start, mut bytes) = (Instant::now(), 0_u32);
    while start.elapsed() < length {
        moved(sender.write(buffer))?;
        bytes += read_all(receiver, buffer)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    // What a turn leaves in the socket is not the next turn's.
    read_all(receiver, buffer)?;
    if bytes == 0 {
        bail!("no byte got through");
    }
    Ok(f64::from(bytes) * 8.0 / 1e9 / seconds)
}

fn read_all(receiver: &mut TcpStream, buffer: &mut [u8]) -> Result<u32> {
    let mut bytes = 0;
    loop {
        match moved(receiver.read(buffer))? {
            0 => return Ok(bytes),
            read => bytes += u32::try_from(read)?,
        }
    }
}

/// Bytes that a call on a socket that does not block moved.
fn moved(result: io::Result<usize>) -> Result<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        result => Ok(result?),
    }
}
