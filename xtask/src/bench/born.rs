//! Frames that are born in XDP: an XDP program's in the first sandbox, for which the kernel makes them.
//! The second one receives them by a socket, then by an XDP program of its own. What sockets send is
//! measured by `traffic`.

use std::{
    fmt::Write as _,
    fs,
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use aya::{
    Ebpf, TestRunOptions,
    programs::{ProgramError, TestRun as _, TestRunAttrs, Xdp, XdpMode},
};
use serde_json::Value;

use super::{
    frame,
    report::{self, Machine},
    stats::{median, quantile},
    topology::{Built, NetNs, TOPOLOGIES},
    traffic::on_pinned_thread,
};
use crate::process;

/// Topologies that are compared, the wire first.
const COMPARED: [&str; 4] = ["direct veth wire", "ours tc", "ours xdp", "Linux bridge"];

/// Rounds; in each, every topology has its turn.
const ROUNDS: usize = 31;

/// Frames of a turn, and how many the kernel makes at once: a veth leg has room for 256.
const FRAMES: u32 = 50_000;
const BATCH: u32 = 64;

/// Bytes of a frame, and the port that it is for.
const BYTES: usize = 64;
const PORT: u16 = 40_001;

/// Offsets in `struct xdp_md`, and its length (`include/uapi/linux/bpf.h`, v6.18).
const DATA_END: usize = 4;
const INGRESS_IFINDEX: usize = 12;
const CONTEXT_BYTES: usize = 24;

/// Builds the topologies, measures, and writes the table and born.csv.
pub(super) fn measure(binary: &Path, object: &Path, directory: &Path) -> Result<()> {
    let how = format!(
        "{}; {ROUNDS} rounds of {FRAMES} UDP frames of {BYTES} B each, born in XDP; one pinned CPU",
        Machine::this()?
    );
    let rows = on_pinned_thread(|| {
        let mut object = Ebpf::load_file(object).context("failed to load source and sink")?;
        load(&mut object, "source")?;
        let mut ways = Vec::new();
        for (number, name) in COMPARED.into_iter().enumerate() {
            eprintln!("building {name}");
            // Beside those of the traffic and of the program.
            ways.push(Way::build(name, 2 * TOPOLOGIES.len() + number, binary)?);
        }
        let mut rows = sample(&ways, &object, Receiver::Socket)?;
        for way in &ways {
            way.built.server.enter()?;
            load(&mut object, "sink")?.attach("eth0", XdpMode::Driver)?;
        }
        rows.extend(sample(&ways, &object, Receiver::Program)?);
        Ok(rows)
    })?;
    print(&how, &rows);
    report::write(directory, "born.csv", &csv(&how, &rows))
}

/// A program of the object, loaded.
fn load<'o>(object: &'o mut Ebpf, name: &str) -> Result<&'o mut Xdp> {
    let program = object.program_mut(name);
    let program: &mut Xdp = program
        .with_context(|| format!("there is no program {name}"))?
        .try_into()?;
    match program.load() {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(program),
        Err(error) => Err(error.into()),
    }
}

/// What receives.
#[derive(Clone, Copy)]
enum Receiver {
    Socket,
    /// The sink at the server's link, in native XDP.
    Program,
}

impl Receiver {
    fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Program => "XDP program",
        }
    }
}

/// A topology, a frame for it, and the socket that receives.
struct Way {
    name: &'static str,
    built: Built,
    context: [u8; CONTEXT_BYTES],
    frame: Vec<u8>,
    socket: UdpSocket,
}

impl Way {
    fn build(name: &'static str, number: usize, binary: &Path) -> Result<Self> {
        let topology = TOPOLOGIES.iter().find(|topology| topology.name == name);
        let topology = topology.with_context(|| format!("there is no {name}"))?;
        let built = topology.build(number, binary)?;
        built.server.enter()?;
        let server = link("eth0")?;
        let socket = UdpSocket::bind(SocketAddr::new(built.server_address(false), PORT))?;
        socket.set_nonblocking(true)?;
        built.client.enter()?;
        let client = link("eth0")?;
        let other_end = client["link_index"].clone();
        // Without a program of its own it takes XDP frames only if it has GRO (`veth_xdp_xmit`,
        // drivers/net/veth.c, v6.18).
        match name {
            "ours xdp" => {}
            "direct veth wire" => take_frames(&built.server, &other_end)?,
            _ => take_frames(&built.host, &other_end)?,
        }
        let macs = [mac(&client)?, mac(&server)?];
        let mut context = [0; CONTEXT_BYTES];
        context[DATA_END..DATA_END + 4].copy_from_slice(&u32::try_from(BYTES)?.to_ne_bytes());
        let ifindex = client["ifindex"]
            .as_u64()
            .context("the link has no index")?;
        context[INGRESS_IFINDEX..INGRESS_IFINDEX + 4]
            .copy_from_slice(&u32::try_from(ifindex)?.to_ne_bytes());
        Ok(Self {
            name,
            frame: frame::udp(&built, macs, BYTES, false),
            built,
            context,
            socket,
        })
    }

    /// Sends a turn's frames; gives millions received a second, and the share that was.
    fn turn(&self, source: &Xdp, receiver: Receiver) -> Result<(f64, f64)> {
        let before = self.received(receiver)?;
        // The kernel looks for the link in the caller's namespace.
        self.built.client.enter()?;
        let options = TestRunOptions {
            data_in: Some(&self.frame),
            ctx_in: Some(&self.context),
            repeat: FRAMES,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::default()
        };
        let start = Instant::now();
        source.test_run(options)?;
        let seconds = start.elapsed().as_secs_f64();
        let frames = f64::from(u32::try_from(self.received(receiver)? - before)?);
        let mut buffer = [0; BYTES];
        if matches!(receiver, Receiver::Socket) && self.socket.recv(&mut buffer).is_err() {
            bail!("no frame came to the socket over {}", self.name);
        }
        while self.socket.recv(&mut buffer).is_ok() {}
        Ok((frames / seconds / 1e6, frames / f64::from(FRAMES)))
    }

    /// Packets that the server's link has received, or its program has taken.
    fn received(&self, receiver: Receiver) -> Result<u64> {
        self.built.server.enter()?;
        match receiver {
            Receiver::Socket => {
                let table = fs::read_to_string("/proc/thread-self/net/dev")?;
                number(&table, "eth0:", 1)
            }
            Receiver::Program => {
                let counters = process::output(Command::new("ethtool").args(["-S", "eth0"]))?;
                number(&counters, "rx_queue_0_xdp_drops:", 0)
            }
        }
    }
}

/// A number in the line that begins with a name, by its place behind that.
fn number(table: &str, name: &str, place: usize) -> Result<u64> {
    let line = table
        .lines()
        .find_map(|line| line.trim().strip_prefix(name));
    let number = line.and_then(|numbers| numbers.split_whitespace().nth(place));
    let number = number.and_then(|number| number.parse().ok());
    number.with_context(|| format!("no {name} in {table}"))
}

/// A link of the caller's namespace, as `ip` tells of it.
fn link(name: &str) -> Result<Value> {
    let links = process::output(Command::new("ip").args(["-j", "link", "show", "dev", name]))?;
    let links: Value = serde_json::from_str(&links)?;
    Ok(links[0].clone())
}

/// Turns GRO on for the link with this index in a namespace.
fn take_frames(namespace: &NetNs, index: &Value) -> Result<()> {
    namespace.enter()?;
    let links = process::output(Command::new("ip").args(["-j", "link"]))?;
    let links: Vec<Value> = serde_json::from_str(&links)?;
    let link = links.iter().find(|link| link["ifindex"] == *index);
    let name = link.and_then(|link| link["ifname"].as_str());
    let name = name.context("the other end of the client's link is not there")?;
    process::check(Command::new("ethtool").args(["-K", name, "gro", "on"]))
}

/// The MAC address of a link.
fn mac(link: &Value) -> Result<[u8; 6]> {
    let text = link["address"].as_str().context("a link without address")?;
    let mut mac = [0; 6];
    for (byte, digits) in mac.iter_mut().zip(text.split(':')) {
        *byte = u8::from_str_radix(digits, 16)?;
    }
    Ok(mac)
}

/// Figures of a topology and a receiver.
struct Row {
    name: &'static str,
    receiver: Receiver,
    /// Millions received a second, of each round.
    rates: Vec<f64>,
    /// To the wire in the same round.
    ratios: Vec<f64>,
    /// The share of the frames that was received, of each round.
    shares: Vec<f64>,
}

fn sample(ways: &[Way], object: &Ebpf, receiver: Receiver) -> Result<Vec<Row>> {
    let source = object.program("source").context("there is no source")?;
    let source: &Xdp = source.try_into()?;
    let mut rows: Vec<Row> = ways.iter().map(|way| Row::new(way, receiver)).collect();
    // Caches are full before anything counts.
    for way in ways {
        way.turn(source, receiver)?;
    }
    for round in 0..ROUNDS {
        for place in 0..ways.len() {
            let at = (place + round) % ways.len();
            let (rate, share) = ways[at].turn(source, receiver)?;
            rows[at].rates.push(rate);
            rows[at].shares.push(share);
        }
        let wire = rows[0].rates[round];
        for row in &mut rows {
            row.ratios.push(row.rates[round] / wire);
        }
    }
    Ok(rows)
}

impl Row {
    fn new(way: &Way, receiver: Receiver) -> Self {
        Self {
            name: way.name,
            receiver,
            rates: Vec::new(),
            ratios: Vec::new(),
            shares: Vec::new(),
        }
    }
}

#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
fn print(how: &str, rows: &[Row]) {
    println!("{how}");
    println!(
        "{:<20}{:<14}{:>10}{:>8}{:>10}",
        "TOPOLOGY", "RECEIVER", "MILLION/S", "RATIO", "RECEIVED"
    );
    for row in rows {
        println!(
            "{:<20}{:<14}{:>10.3}{:>8.3}{:>10.4}",
            row.name,
            row.receiver.name(),
            median(&row.rates),
            median(&row.ratios),
            median(&row.shares)
        );
    }
}

fn csv(how: &str, rows: &[Row]) -> String {
    let mut csv = format!(
        "# {how}\ntopology,receiver,unit,median,p25,p75,ratio,ratio_p25,ratio_p75,received\n"
    );
    for row in rows {
        let _ = writeln!(
            csv,
            "\"{}\",{},million/s,{:.3},{:.3},{:.3},{:.4},{:.4},{:.4},{:.4}",
            row.name,
            row.receiver.name(),
            median(&row.rates),
            quantile(&row.rates, 25),
            quantile(&row.rates, 75),
            median(&row.ratios),
            quantile(&row.ratios, 25),
            quantile(&row.ratios, 75),
            median(&row.shares),
        );
    }
    csv
}
