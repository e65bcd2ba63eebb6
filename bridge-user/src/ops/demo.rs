//! The main job on real input, in one command: two networks, one with the fast path and one
//! without, two sandboxes on each, and traffic between them; then everything goes.

use std::io::{self, Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use socket2::{Domain, Protocol, Socket, Type};

use super::error::Errors;
use super::{ConnectSpec, Context, CreateSpec, Error, Paths, random_bytes};
use crate::kernel::netns::NetNs;
use crate::model::{Datapath, Endpoint, Network, SandboxRef};

/// How long each measurement runs; the two datapaths take turns.
const TURN: Duration = Duration::from_millis(300);
const ROUNDS: usize = 3;
/// How long traffic may hang before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A network of the demo and its two endpoints.
struct Pair {
    network: Network,
    client: Endpoint,
    server: Endpoint,
    /// TCP, bytes per second, of every round.
    rates: Vec<f64>,
    /// TCP, seconds per round trip, of every round.
    trips: Vec<f64>,
}

/// Shows the main job, and removes all that it made, also when it fails or is interrupted.
pub fn demo(paths: &Paths, out: &mut impl Write) -> Result<(), Error> {
    let interrupt = Interrupt::catch()?;
    let mut context = Context::open(paths)?;
    let suffix = u16::from_ne_bytes(random_bytes()?);
    let mut names = Vec::new();
    let shown = show(
        &mut context,
        &interrupt,
        &format!("demo-{suffix:04x}"),
        &mut names,
        out,
    );
    let mut errors = Errors::default();
    errors.note(shown);
    for name in &names {
        errors.note(remove(&mut context, name));
    }
    errors.into_result()?;
    writeln!(out, "Removed the networks, their sandboxes and endpoints.").map_err(Error::Output)
}

fn show(
    context: &mut Context,
    interrupt: &Interrupt,
    prefix: &str,
    names: &mut Vec<String>,
    out: &mut impl Write,
) -> Result<(), Error> {
    let mut say = |text: String| writeln!(out, "{text}").map_err(Error::Output);
    let mut pairs = Vec::new();
    for datapath in [Datapath::Tc, Datapath::Off] {
        let name = format!("{prefix}-{datapath}");
        names.push(name.clone());
        let pair = make(context, &name, datapath)?;
        say(format!(
            "Network {name}: bridge {}, datapath {datapath}",
            pair.network.bridge
        ))?;
        for endpoint in [&pair.client, &pair.server] {
            let addresses: Vec<String> =
                endpoint.addresses.iter().map(ToString::to_string).collect();
            say(format!(
                "  sandbox {}: {} {}",
                endpoint.name,
                endpoint.mac,
                addresses.join(" ")
            ))?;
        }
        interrupt.check()?;
        say(format!("  {}", ping(&pair)?))?;
        pairs.push(pair);
    }
    say(format!(
        "TCP, {ROUNDS} times {} ms of each, the two taking turns:",
        TURN.as_millis()
    ))?;
    for _ in 0..ROUNDS {
        for pair in &mut pairs {
            interrupt.check()?;
            let mut ends = connection(pair)?;
            pair.rates.push(transfer(&mut ends).map_err(Error::Demo)?);
            pair.trips.push(round_trip(&mut ends).map_err(Error::Demo)?);
        }
    }
    say("DATAPATH    TCP RATE        ROUND TRIP    PACKETS     FAST PATH".into())?;
    for pair in &mut pairs {
        let gigabits = median(&mut pair.rates) * 8.0 / 1e9;
        let micros = median(&mut pair.trips) * 1e6;
        let (fast, all) = packets(context, pair)?;
        let (datapath, share) = (pair.network.datapath.as_str(), percent(fast, all));
        say(format!(
            "{datapath:<12}{gigabits:<5.2} Gbit/s    {micros:<5.2} us      {all:<12}{share:.2} %"
        ))?;
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn make(context: &mut Context, name: &str, datapath: Datapath) -> Result<Pair, Error> {
    let mut spec = CreateSpec::new(name.parse()?);
    spec.datapath = datapath;
    spec.ipv6 = crate::kernel::sysctl::ipv6_available();
    let network = context.create_network(&spec)?;
    let mut endpoint = |role: &str| -> Result<Endpoint, Error> {
        let sandbox = SandboxRef::Named(format!("{name}-{role}").parse()?);
        context.connect(&ConnectSpec {
            create: true,
            ..ConnectSpec::new(name, sandbox)
        })
    };
    let (client, server) = (endpoint("client")?, endpoint("server")?);
    Ok(Pair {
        network,
        client,
        server,
        rates: Vec::new(),
        trips: Vec::new(),
    })
}

fn remove(context: &mut Context, name: &str) -> Result<(), Error> {
    for role in ["client", "server"] {
        let sandbox = SandboxRef::Named(format!("{name}-{role}").parse()?);
        match context.disconnect(name, &sandbox, true) {
            Err(Error::NetworkNotFound(_)) => return Ok(()),
            result => result?,
        }
    }
    context.remove_network(name, true).map(drop)
}

/// By name, as a user would: `ip netns exec` shows the sandbox its own hosts file.
fn ping(pair: &Pair) -> Result<String, Error> {
    let (from, to) = (pair.client.name.as_str(), pair.server.name.as_str());
    let command = [
        "netns", "exec", from, "ping", "-n", "-q", "-c", "3", "-i", "0.2", to,
    ];
    let output = Command::new("ip")
        .args(command)
        .output()
        .map_err(Error::Demo)?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = if said.trim().is_empty() { text } else { said };
        return Err(Error::Demo(io::Error::other(format!(
            "ping {to}: {}",
            said.trim()
        ))));
    }
    let line = |part: &str| {
        text.lines()
            .find(|l| l.contains(part))
            .unwrap_or_default()
            .to_owned()
    };
    Ok(format!(
        "ping {to}: {}, {}",
        line("packets transmitted"),
        line("rtt")
    ))
}

/// A connection's two ends, each in its namespace, both in this thread's hands: so the figures are
/// those of the way between them, and not of the scheduler's luck.
fn connection(pair: &Pair) -> Result<(TcpStream, TcpStream), Error> {
    let address = pair.server.addresses[0].addr();
    let (client, server) = (namespace(&pair.client)?, namespace(&pair.server)?);
    let connected = || {
        let listener = server.within(socket)?;
        listener.bind(&SocketAddr::new(address, 0).into())?;
        listener.listen(1)?;
        let sender = client.within(socket)?;
        sender.connect_timeout(&listener.local_addr()?, PATIENCE)?;
        let (receiver, _) = listener.accept()?;
        for socket in [&sender, &receiver] {
            socket.set_tcp_nodelay(true)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.set_write_timeout(Some(PATIENCE))?;
        }
        Ok((sender.into(), receiver.into()))
    };
    connected().map_err(Error::Demo)
}

/// A socket with cubic, also where the host prefers bbr: that one paces, and the figures would be
/// its own. A kernel without cubic keeps what it has.
fn socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    let _ = socket.set_tcp_congestion(b"cubic");
    Ok(socket)
}

fn namespace(endpoint: &Endpoint) -> Result<NetNs, Error> {
    Ok(NetNs::open(
        &SandboxRef::Named(endpoint.name.clone()).path(),
    )?)
}

/// Sends in one direction for [`TURN`]; gives bytes per second.
fn transfer((sender, receiver): &mut (TcpStream, TcpStream)) -> io::Result<f64> {
    let mut buffer = vec![0; 1 << 16];
    let (start, mut bytes) = (Instant::now(), 0_u32);
    while start.elapsed() < TURN {
        sender.write_all(&buffer)?;
        receiver.read_exact(&mut buffer)?;
        bytes += 1;
    }
    Ok(f64::from(bytes) * 65_536.0 / start.elapsed().as_secs_f64())
}

/// Sends a byte there and back for [`TURN`]; gives seconds per round trip.
fn round_trip((client, server): &mut (TcpStream, TcpStream)) -> io::Result<f64> {
    let mut byte = [0];
    let (start, mut trips) = (Instant::now(), 0_u32);
    while start.elapsed() < TURN {
        client.write_all(&byte)?;
        server.read_exact(&mut byte)?;
        server.write_all(&byte)?;
        client.read_exact(&mut byte)?;
        trips += 1;
    }
    Ok(start.elapsed().as_secs_f64() / f64::from(trips))
}

/// Packets that took the fast path and all packets, both ways.
fn packets(context: &mut Context, pair: &Pair) -> Result<(u64, u64), Error> {
    let (mut fast, mut all) = (0, 0);
    for endpoint in [&pair.client, &pair.server] {
        let counters = context.counters(endpoint)?;
        fast += counters.fast().0;
        all += counters.packets();
    }
    Ok((fast, all))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share needs no more than 52 bits"
)]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        100.0 * part as f64 / whole as f64
    }
}

/// SIGINT and SIGTERM, held back while we clean up.
struct Interrupt(SignalFd);

impl Interrupt {
    fn catch() -> Result<Self, Error> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        let caught = signals
            .thread_block()
            .and_then(|()| SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK));
        caught.map(Self).map_err(|errno| Error::Demo(errno.into()))
    }

    fn check(&self) -> Result<(), Error> {
        match self.0.read_signal() {
            Ok(Some(_)) => Err(Error::Demo(io::ErrorKind::Interrupted.into())),
            _ => Ok(()),
        }
    }
}
