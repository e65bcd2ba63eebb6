//! What the daemon answers by DNS: questions at a fixed rate from one thread in one sandbox, on a
//! network of 100 endpoints with 1,000 names, or of as many as wanted; and what memory it takes
//! meanwhile.

use std::{
    fs::{self, File},
    io::ErrorKind,
    net::UdpSocket,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, setns};

use super::report::Machine;
use crate::process;

/// What the daemon may take with [`FEW`] endpoints or less.
const RESIDENT_KIB_MAX: u64 = 20 << 10;
const FEW: usize = 100;

/// Aliases of each endpoint, beside its name.
const ALIASES: usize = 9;

/// Questions a second.
const RATES: [u64; 2] = [5_000, 20_000];

const DURATION: Duration = Duration::from_secs(10);

/// How long after the last question an answer counts as late, not as lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// The first network's gateway.
const GATEWAY: &str = "10.77.0.1:53";

/// Room for more than a thousand.
const SUBNET: &str = "10.77.0.0/16";

/// What came of a run.
#[derive(Default)]
struct Outcome {
    sent: u64,
    errors: u64,
    /// Of those answered right.
    latencies: Vec<Duration>,
}

/// Measures and prints a table.
#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
pub(super) fn measure(binary: &Path, endpoints: usize) -> Result<()> {
    let ours = |words: &[&str]| {
        let mut command = Command::new(binary);
        command.args(["--state-dir", "/run/state-dns"]).args(words);
        command
    };
    process::output(&mut ours(&["net", "create", "--subnet", SUBNET, "dns"]))?;
    let mut daemon = Daemon(ours(&["daemon"]).stderr(Stdio::null()).spawn()?);
    let start = Instant::now();
    for n in 0..endpoints {
        let (name, mut words) = (format!("d{n}"), vec!["net".into(), "connect".into()]);
        for alias in 0..ALIASES {
            words.extend(["--alias".into(), format!("d{n}x{alias}")]);
        }
        words.extend(["--create".into(), "dns".into(), name]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        process::output(&mut ours(&words))?;
    }
    let connected = start.elapsed();
    // It has read the last of them.
    thread::sleep(PATIENCE);
    let rest = daemon.resident_kib()?;
    println!(
        "DNS by UDP, {endpoints} endpoints with {} names, connected in {:.1} s; {}",
        endpoints * (ALIASES + 1),
        connected.as_secs_f64(),
        Machine::this()?
    );
    println!("memory of the daemon at rest: {} MiB", mib(rest));
    println!(
        "{:>10}{:>10}{:>8}{:>8}{:>12}{:>12}{:>12}{:>14}{:>12}",
        "RATE 1/s",
        "ANSWERED",
        "ERRORS",
        "LOST",
        "MEDIAN us",
        "P99 us",
        "MAX us",
        "CPU us EACH",
        "RSS MiB"
    );
    for rate in RATES {
        println!("{}", row(rate, endpoints, &daemon)?);
    }
    let most = daemon.resident_kib()?.max(rest);
    ensure!(
        endpoints > FEW || most <= RESIDENT_KIB_MAX,
        "the daemon takes {} MiB, more than {}",
        mib(most),
        mib(RESIDENT_KIB_MAX)
    );
    daemon.end()?;
    process::output(&mut ours(&["purge", "--yes"]))?;
    Ok(())
}

/// A line of the table: asks at a rate and looks what that cost.
fn row(rate: u64, endpoints: usize, daemon: &Daemon) -> Result<String> {
    let before = daemon.cpu_time()?;
    let mut outcome = load(rate, endpoints)?;
    let cpu = daemon.cpu_time()?.saturating_sub(before);
    outcome.latencies.sort();
    let answered = outcome.latencies.len() as u64;
    let lost = outcome.sent - answered - outcome.errors;
    let us = |share: usize| {
        let at = (outcome.latencies.len() * share / 1000).min(outcome.latencies.len() - 1);
        outcome.latencies[at].as_secs_f64() * 1e6
    };
    ensure!(answered > 0, "nothing was answered");
    let each = cpu / u32::try_from(outcome.sent)?;
    Ok(format!(
        "{rate:>10}{answered:>10}{:>8}{lost:>8}{:>12.0}{:>12.0}{:>12.0}{:>14.1}{:>12}",
        outcome.errors,
        us(500),
        us(990),
        us(1000),
        each.as_secs_f64() * 1e6,
        mib(daemon.resident_kib()?)
    ))
}

fn mib(kib: u64) -> String {
    format!("{}.{}", kib / 1024, kib % 1024 * 10 / 1024)
}

/// Asks from the first sandbox.
fn load(rate: u64, endpoints: usize) -> Result<Outcome> {
    let asking = thread::spawn(move || -> Result<Outcome> {
        setns(File::open("/run/netns/d0")?, CloneFlags::CLONE_NEWNET)?;
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(GATEWAY)?;
        socket.set_nonblocking(true)?;
        ask(&socket, rate, endpoints)
    });
    asking
        .join()
        .map_err(|_| anyhow::anyhow!("the load panicked"))?
}

fn ask(socket: &UdpSocket, rate: u64, endpoints: usize) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    // By id: at most 65,536 are on their way.
    let mut asked: Vec<Option<Instant>> = vec![None; 1 << 16];
    let total = rate * DURATION.as_secs();
    let start = Instant::now();
    let mut last = start;
    while outcome.sent < total || last.elapsed() < PATIENCE {
        let due = u64::try_from(start.elapsed().as_micros())? * rate / 1_000_000;
        while outcome.sent < due.min(total) {
            let id = u16::try_from(outcome.sent & 0xffff)?;
            let name = usize::try_from(outcome.sent)? % (endpoints * ALIASES);
            let question = question(id, &format!("d{}x{}", name / ALIASES, name % ALIASES));
            last = Instant::now();
            asked[usize::from(id)] = Some(last);
            socket.send(&question).context("failed to ask")?;
            outcome.sent += 1;
        }
        receive(socket, &mut asked, &mut outcome)?;
        if outcome.sent == total && asked.iter().all(Option::is_none) {
            break;
        }
        thread::sleep(Duration::from_micros(200));
    }
    Ok(outcome)
}

/// Takes all answers that are there.
fn receive(socket: &UdpSocket, asked: &mut [Option<Instant>], outcome: &mut Outcome) -> Result<()> {
    let mut answer = [0; 512];
    loop {
        let length = match socket.recv(&mut answer) {
            Ok(length) => length,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e).context("failed to receive an answer"),
        };
        ensure!(length >= 12, "an answer of {length} bytes");
        let id = u16::from_be_bytes([answer[0], answer[1]]);
        let Some(at) = asked[usize::from(id)].take() else {
            bail!("an answer to nothing");
        };
        // The code, and the count of answers (RFC 1035, 4.1.1).
        let (code, answers) = (answer[3] & 0xf, answer[7]);
        if (code, answers) == (0, 1) {
            outcome.latencies.push(at.elapsed());
        } else {
            outcome.errors += 1;
        }
    }
}

/// A question for an IPv4 address.
fn question(id: u16, name: &str) -> Vec<u8> {
    let mut bytes = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes[..2].copy_from_slice(&id.to_be_bytes());
    bytes.push(u8::try_from(name.len()).expect("names here are short"));
    bytes.extend(name.as_bytes());
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

/// The daemon, which ends with the bench however that ends.
struct Daemon(Child);

impl Daemon {
    fn resident_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.context("no VmRSS in the daemon's status")?.parse()?)
    }

    /// Time on CPUs so far: fields 14 and 15 of proc_pid_stat(5), in ticks.
    fn cpu_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let (_, after_name) = stat
            .rsplit_once(") ")
            .context("no name in the daemon's stat")?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        // `USER_HZ` is 100 on every architecture of ours.
        Ok(Duration::from_millis(ticks * 10))
    }

    fn end(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
