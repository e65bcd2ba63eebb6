//! Whether sandboxes are told names: by a question from one on each network, on the road that
//! theirs take. It counts as one of theirs, and changes nothing.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use ipnet::IpNet;

use super::{Finding, Paths, SeenDaemon, Status, chain};
use crate::kernel::netns::NetNs;
use crate::kernel::probe;
use crate::kernel::sockets::{self, Holder, Transport};
use crate::model::{DAEMON_SOCKET, DaemonStatus, Endpoint, Network, Sandbox, State};
use crate::store::{Reader, StoreError};

const CHECK: &str = "DNS";

/// Where sandboxes ask (RFC 1035, 4.2).
const PORT: u16 = 53;

/// How long the daemon may take; it takes less than a millisecond.
const PATIENCE: Duration = Duration::from_secs(1);

/// The way out where another server has the port.
const LISTEN_ELSEWHERE: &str = "have the other server leave that address alone: dnsmasq by \
    bind-interfaces and except-interface=BRIDGE, named by listen-on, unbound by interface; \
    ss -lntup 'sport = 53' shows it";

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// An answer that is so.
    Answered,
    /// Another answer: it is not the daemon's.
    Wrong,
    /// Somebody took the connection, and said nothing: the daemon, where the endpoint has as many as
    /// it may.
    Connected,
    /// Nobody listens, or a firewall says so.
    Refused,
    /// Nothing came back.
    Silence,
}

/// One that can be asked from.
struct Place<'a> {
    network: &'a Network,
    endpoint: &'a Endpoint,
    namespace: NetNs,
}

/// What of `daemon` there is, and whether it is reached.
pub(super) fn findings(paths: &Paths, daemon: Option<&SeenDaemon>) -> Vec<Finding> {
    let (networks, endpoints, sandboxes) = match read(paths) {
        Ok(rows) => rows,
        Err(error) => {
            let advice = if probe::missing_capabilities().is_empty() {
                "see what is said of the state"
            } else {
                "run as root"
            };
            return vec![Finding::bad(CHECK, Status::Warning, chain(&error), advice)];
        }
    };
    let telling: Vec<&Network> = networks.iter().filter(|n| n.tells_names()).collect();
    if telling.is_empty() {
        return Vec::new();
    }
    let mut findings = daemon_findings(daemon, &networks);
    if daemon.is_some_and(|daemon| daemon.status.is_err()) {
        // It answers nobody, whatever a firewall does.
        return findings;
    }
    let places = telling.iter().filter_map(|network| {
        let mut there = endpoints.iter().filter(|e| e.network == network.id);
        there.find_map(|endpoint| Place::of(network, endpoint, &sandboxes))
    });
    let places: Vec<Place<'_>> = places.collect();
    findings.extend(thread::scope(|scope| {
        let asking: Vec<_> = places
            .iter()
            .map(|place| scope.spawn(|| place.findings(daemon)))
            .collect();
        let found = asking.into_iter().filter_map(|asked| asked.join().ok());
        found.flatten().collect::<Vec<_>>()
    }));
    if daemon.is_some() && findings.len() == 1 {
        let detail = format!("answers on the networks of {} endpoints", places.len());
        findings.push(Finding::ok(CHECK, detail));
    }
    findings
}

/// Whether it runs, and what it says.
fn daemon_findings(daemon: Option<&SeenDaemon>, networks: &[Network]) -> Vec<Finding> {
    const DAEMON: &str = "daemon";
    let Some(SeenDaemon { pid, status }) = daemon else {
        return vec![Finding::bad(
            DAEMON,
            Status::Warning,
            "it does not run, so DNS is down: hosts files tell sandboxes our names, and the host's \
             nameservers others'",
            "bridge-user daemon --foreground, or: systemctl start bridge-user",
        )];
    };
    match status {
        Ok(status) => {
            let mut findings = vec![Finding::ok(DAEMON, told(status))];
            findings.extend(not_listening(status, networks));
            findings
        }
        Err(error) => vec![Finding::bad(
            DAEMON,
            Status::Failure,
            format!("process {pid} does not say at {DAEMON_SOCKET} how it is: {error}"),
            "end it and start it again: no packet needs it",
        )],
    }
}

fn told(status: &DaemonStatus) -> String {
    let questions = &status.questions;
    format!(
        "process {}, at {} addresses; questions: {} answered, {} passed on, {} malformed, {} too many",
        status.pid,
        status.listeners.len(),
        questions.answered,
        questions.forwarded,
        questions.malformed,
        questions.limited,
    )
}

fn not_listening(status: &DaemonStatus, networks: &[Network]) -> impl Iterator<Item = Finding> {
    status.listeners.iter().filter_map(|listener| {
        let error = listener.error.as_ref()?;
        let whose = match &listener.network {
            None => "for the host ([dns] listen)".to_owned(),
            Some(id) => {
                let mut known = networks.iter();
                let network = known.find(|network| network.id.as_str() == id)?;
                format!("the gateway of network {}", network.name)
            }
        };
        let (ip, port) = (listener.address.ip(), listener.address.port());
        Some(Finding::bad(
            CHECK,
            Status::Failure,
            format!("the daemon cannot listen at {ip} port {port}, {whose}: {error}"),
            LISTEN_ELSEWHERE,
        ))
    })
}

/// Whether it has told already that nobody can be answered there, and why.
fn says_why_not(daemon: &SeenDaemon, at: SocketAddr) -> bool {
    let listeners = daemon.status.iter().flat_map(|status| &status.listeners);
    let mut there = listeners.filter(|listener| listener.address == at);
    there.any(|listener| listener.error.is_some())
}

type Rows = (Vec<Network>, Vec<Endpoint>, Vec<Sandbox>);

fn read(paths: &Paths) -> Result<Rows, StoreError> {
    let rows = Reader::new(&paths.state).if_changed(|rows| match rows {
        Some(rows) => Ok((rows.networks()?, rows.endpoints()?, rows.sandboxes()?)),
        None => Ok(Rows::default()),
    })?;
    Ok(rows.unwrap_or_default())
}

impl<'a> Place<'a> {
    /// An endpoint whose namespace is there.
    fn of(network: &'a Network, endpoint: &'a Endpoint, sandboxes: &[Sandbox]) -> Option<Self> {
        let sandbox = sandboxes.iter().find(|s| s.id == endpoint.sandbox)?;
        let namespace = NetNs::open(&sandbox.reference.path()).ok()?;
        let is_right = endpoint.state == State::Ready && namespace.id().cookie == sandbox.cookie;
        is_right.then_some(Self {
            network,
            endpoint,
            namespace,
        })
    }

    fn findings(&self, daemon: Option<&SeenDaemon>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for gateway in self.network.bridge_addresses().map(|cidr| cidr.addr()) {
            let at = SocketAddr::new(gateway, PORT);
            if daemon.is_some_and(|daemon| says_why_not(daemon, at)) {
                continue;
            }
            for transport in [Transport::Udp, Transport::Tcp] {
                let asked = self.namespace.within(|| ask(transport, at, self.endpoint));
                let reached = asked.unwrap_or(Reached::Silence);
                findings.extend(self.finding(gateway, transport, reached, daemon));
            }
        }
        findings
    }

    fn finding(
        &self,
        gateway: IpAddr,
        transport: Transport,
        reached: Reached,
        daemon: Option<&SeenDaemon>,
    ) -> Option<Finding> {
        if reached == Reached::Answered {
            return None;
        }
        let (network, bridge, port) =
            (&self.network.name, &self.network.bridge, transport.as_str());
        let status = match daemon {
            Some(_) => Status::Failure,
            None => Status::Warning,
        };
        if let Some(other) = other_server(transport, SocketAddr::new(gateway, PORT), daemon) {
            let detail = format!(
                "the daemon cannot answer network {network} at {gateway} port 53/{port}: {other}"
            );
            return Some(Finding::bad(CHECK, status, detail, LISTEN_ELSEWHERE));
        }
        let iptables = if gateway.is_ipv6() {
            "ip6tables"
        } else {
            "iptables"
        };
        let (detail, advice) = match reached {
            Reached::Silence => (
                format!(
                    "questions of endpoints on network {network} do not come to {gateway} port \
                     53/{port}: a firewall of this host drops them (INPUT)"
                ),
                format!(
                    "{iptables} -I INPUT -i {bridge} -p {port} --dport 53 -j ACCEPT, or: nft insert \
                     rule FAMILY TABLE CHAIN iifname {bridge} {port} dport 53 accept"
                ),
            ),
            Reached::Refused if daemon.is_some() => (
                format!(
                    "nobody answers network {network} at {gateway} port 53/{port}: a firewall of \
                     this host rejects (INPUT), or the daemon does not listen"
                ),
                "nft list ruleset shows the firewall; the daemon's log says what it met".into(),
            ),
            Reached::Wrong => (
                format!(
                    "another server answers network {network} at {gateway} port 53/{port}: a \
                     firewall of this host sends questions to it (DNAT)"
                ),
                format!("let port 53 of {bridge} be: nft list ruleset shows the rule"),
            ),
            _ => return None,
        };
        Some(Finding::bad(CHECK, status, detail, advice))
    }
}

/// Who else has what the daemon should listen at, by either transport: it takes both or none.
fn other_server(
    transport: Transport,
    at: SocketAddr,
    daemon: Option<&SeenDaemon>,
) -> Option<Holder> {
    let is_daemons = |holder: &Holder| {
        let pid = holder.process.as_ref().map(|(pid, _)| pid.to_string());
        pid.is_some_and(|pid| daemon.is_some_and(|daemon| daemon.pid == pid))
    };
    let mut holders = sockets::holders(transport, at);
    if holders.iter().any(is_daemons) {
        return None;
    }
    let besides = match transport {
        Transport::Udp => Transport::Tcp,
        Transport::Tcp => Transport::Udp,
    };
    holders.extend(sockets::holders(besides, at));
    holders.into_iter().find(|holder| !is_daemons(holder))
}

/// Asks for a name that is known there, and whose address is known here.
fn ask(transport: Transport, at: SocketAddr, endpoint: &Endpoint) -> io::Result<Reached> {
    let addresses: Vec<IpAddr> = endpoint.addresses.iter().map(IpNet::addr).collect();
    let kind = match addresses.first() {
        Some(IpAddr::V6(_)) => RecordType::AAAA,
        _ => RecordType::A,
    };
    let mut question = Message::query();
    let name = Name::from_ascii(format!("{}.", endpoint.id.short())).map_err(io::Error::other)?;
    question.queries.push(Query::query(name, kind));
    let bytes = question.to_vec().map_err(io::Error::other)?;
    let answer = match transport {
        Transport::Udp => by_udp(at, &bytes),
        Transport::Tcp => match TcpStream::connect_timeout(&at, PATIENCE) {
            Ok(stream) => match by_tcp(stream, &bytes) {
                Ok(answer) => Ok(answer),
                Err(_) => return Ok(Reached::Connected),
            },
            Err(error) => Err(error),
        },
    };
    Ok(match answer {
        Ok(answer) if is_right(&answer, &question, &addresses) => Reached::Answered,
        Ok(_) => Reached::Wrong,
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => Reached::Refused,
        Err(_) => Reached::Silence,
    })
}

fn by_udp(at: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any = if at.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(at)?;
    let mut answer = vec![0; 512];
    socket.send(question)?;
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

fn by_tcp(mut stream: TcpStream, question: &[u8]) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Whether an answer says what is so, of its own knowledge.
fn is_right(answer: &[u8], question: &Message, addresses: &[IpAddr]) -> bool {
    let Ok(answer) = Message::from_vec(answer) else {
        return false;
    };
    let mut said = answer
        .answers
        .iter()
        .filter_map(|record| record.data.ip_addr());
    answer.metadata.id == question.metadata.id
        && answer.metadata.authoritative
        && said.any(|address| addresses.contains(&address))
}
