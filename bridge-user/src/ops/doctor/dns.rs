//! Whether sandboxes are told names: by a question from one on each network, on the road that
//! theirs take. It counts as one of theirs, and changes nothing.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};

use super::{Finding, Paths, SeenDaemon, Status, chain};
use crate::kernel::netns::NetNs;
use crate::model::{DAEMON_SOCKET, DaemonStatus, Endpoint, Network, Sandbox, State};
use crate::store::{Reader, StoreError};

const CHECK: &str = "DNS";

/// How long the daemon may take; it takes less than a millisecond.
const PATIENCE: Duration = Duration::from_secs(1);

/// What came of a question, or of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    Answered,
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
            let advice = "run as root";
            return vec![Finding::bad(CHECK, Status::Warning, chain(&error), advice)];
        }
    };
    let telling: Vec<&Network> = networks.iter().filter(|n| n.tells_names()).collect();
    if telling.is_empty() {
        return Vec::new();
    }
    let mut findings = daemon_findings(daemon, &networks);
    let places = telling.iter().filter_map(|network| {
        let mut there = endpoints.iter().filter(|e| e.network == network.id);
        there.find_map(|endpoint| Place::of(network, endpoint, &sandboxes))
    });
    let places: Vec<Place<'_>> = places.collect();
    findings.extend(thread::scope(|scope| {
        let asking: Vec<_> = places
            .iter()
            .map(|place| scope.spawn(|| place.findings(daemon.is_some())))
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
            "ss -lntup 'sport = 53' shows who has it",
        ))
    })
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

    fn findings(&self, daemon_runs: bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        for gateway in self.network.bridge_addresses().map(|cidr| cidr.addr()) {
            let at = SocketAddr::new(gateway, 53);
            let by_udp = self.namespace.within(|| ask(at, self.endpoint.id.short()));
            let connected = || Ok(reached(TcpStream::connect_timeout(&at, PATIENCE)));
            let by_tcp = self.namespace.within(connected);
            for (transport, reached) in [("udp", by_udp), ("tcp", by_tcp)] {
                let reached = reached.unwrap_or(Reached::Silence);
                findings.extend(self.finding(gateway, transport, reached, daemon_runs));
            }
        }
        findings
    }

    fn finding(
        &self,
        gateway: IpAddr,
        transport: &str,
        reached: Reached,
        daemon_runs: bool,
    ) -> Option<Finding> {
        let (network, bridge) = (&self.network.name, &self.network.bridge);
        let iptables = if gateway.is_ipv6() {
            "ip6tables"
        } else {
            "iptables"
        };
        match reached {
            Reached::Silence => Some(Finding::bad(
                CHECK,
                if daemon_runs {
                    Status::Failure
                } else {
                    Status::Warning
                },
                format!(
                    "questions of endpoints on network {network} do not come to {gateway} port \
                     53/{transport}: a firewall of this host drops them (INPUT)"
                ),
                format!(
                    "{iptables} -I INPUT -i {bridge} -p {transport} --dport 53 -j ACCEPT, or: nft \
                     insert rule FAMILY TABLE CHAIN iifname {bridge} {transport} dport 53 accept"
                ),
            )),
            Reached::Refused if daemon_runs => Some(Finding::bad(
                CHECK,
                Status::Failure,
                format!(
                    "nobody answers network {network} at {gateway} port 53/{transport}: another \
                     server has the port, or a firewall of this host rejects (INPUT)"
                ),
                "ss -lntup 'sport = 53' shows who has it; the daemon's log says what it met",
            )),
            Reached::Answered | Reached::Refused => None,
        }
    }
}

/// Asks for a name that is known there.
fn ask(at: SocketAddr, name: &str) -> io::Result<Reached> {
    let mut question = Message::query();
    let name = Name::from_ascii(format!("{name}.")).map_err(io::Error::other)?;
    question.queries.push(Query::query(name, RecordType::A));
    let bytes = question.to_vec().map_err(io::Error::other)?;
    let any = if at.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(at)?;
    let mut answer = [0; 512];
    let answered = socket.send(&bytes).and_then(|_| socket.recv(&mut answer));
    Ok(reached(answered))
}

fn reached<T>(result: io::Result<T>) -> Reached {
    match result {
        Ok(_) => Reached::Answered,
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => Reached::Refused,
        Err(_) => Reached::Silence,
    }
}
