//! What commands cost as whole processes, beside ip(8) doing a part of the same work in the same run.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::report::Machine;
use crate::process;

/// The bridge that ip(8) joins its veth pairs to.
const BY_HAND: &str = "
set -eu
ip link add by-hand type bridge
ip address add 192.168.77.1/24 dev by-hand
ip link set by-hand up
";

/// What is published at once.
const PORTS: &str = "20000-20999:20000-20999";

/// Measures with so many sandboxes and prints a table.
pub(super) fn measure(binary: &Path, sandboxes: u16) -> Result<()> {
    process::check(Command::new("sh").args(["-c", BY_HAND]))?;
    let ours = |words: &[&str]| {
        let mut command = Command::new(binary);
        command.args(["--state-dir", "/run/state"]).args(words);
        command
    };
    process::output(&mut ours(&["net", "create", "bench"]))?;
    for n in 1..=sandboxes {
        for name in [format!("a{n}"), format!("b{n}")] {
            process::check(Command::new("ip").args(["netns", "add", &name]))?;
        }
    }
    let mut rows = [
        ("ip(8): veth, bridge, address, route", Vec::new()),
        ("bridge-user net connect", Vec::new()),
        ("bridge-user net ls", Vec::new()),
        ("bridge-user net disconnect", Vec::new()),
        ("ip(8): link delete", Vec::new()),
        ("bridge-user net connect, 1,000 ports", Vec::new()),
        ("bridge-user net disconnect, 1,000 ports", Vec::new()),
    ];
    // Taking turns: what disturbs the machine disturbs all of them.
    for n in 1..=sandboxes {
        let (a, b) = (format!("a{n}"), format!("b{n}"));
        rows[0].1.push(timed(&mut by_hand(&b, n))?);
        rows[1]
            .1
            .push(timed(&mut ours(&["net", "connect", "bench", &a]))?);
        rows[2].1.push(timed(&mut ours(&["net", "ls"]))?);
    }
    for n in 1..=sandboxes {
        let leg = format!("leg{n}");
        rows[3].1.push(timed(&mut ours(&[
            "net",
            "disconnect",
            "bench",
            &format!("a{n}"),
        ]))?);
        rows[4]
            .1
            .push(timed(Command::new("ip").args(["link", "delete", &leg]))?);
    }
    // The same sandboxes once more, with ports that each gives back.
    for n in 1..=sandboxes {
        let a = format!("a{n}");
        let published = ["net", "connect", "-p", PORTS, "bench", &a];
        rows[5].1.push(timed(&mut ours(&published))?);
        let disconnect = ["net", "disconnect", "bench", &a];
        rows[6].1.push(timed(&mut ours(&disconnect))?);
    }
    print(&mut rows)
}

fn by_hand(netns: &str, n: u16) -> Command {
    let script = format!(
        "set -e
        ip link add leg{n} type veth peer name eth0 netns {netns}
        ip link set leg{n} master by-hand up
        ip -n {netns} address add 192.168.77.{}/24 dev eth0
        ip -n {netns} link set eth0 up
        ip -n {netns} route add default via 192.168.77.1",
        n + 1
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]);
    shell
}

fn timed(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    process::output(command)?;
    Ok(start.elapsed())
}

#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
fn print(rows: &mut [(&str, Vec<Duration>)]) -> Result<()> {
    println!("whole processes, milliseconds; {}", Machine::this()?);
    println!(
        "{:<40}{:>8}{:>8}{:>8}{:>6}",
        "COMMAND", "MEDIAN", "P95", "MAX", "N"
    );
    for (name, times) in rows {
        times.sort();
        let (Some(max), count) = (times.last(), times.len()) else {
            bail!("{name} was not measured");
        };
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (median, p95) = (times[count / 2], times[count * 95 / 100]);
        println!(
            "{name:<40}{:>8.1}{:>8.1}{:>8.1}{count:>6}",
            ms(median),
            ms(p95),
            ms(*max)
        );
    }
    Ok(())
}
