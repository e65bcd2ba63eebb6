//! Traffic by every topology: in a round each has its turn, in an order that rotates, so that what
//! disturbs the machine disturbs all of them.

use std::{
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use super::{
    Arguments, plot,
    report::{self, Cell, Machine, Table},
    stats::{median, quantile},
    topology::{Built, TOPOLOGIES},
    workload::{Ends, Place, WORKLOADS, Workload},
};

/// Turns before the first that counts, to fill caches and open windows.
pub(super) const WARM_UP: Duration = Duration::from_millis(20);

/// Builds every topology, measures, and writes the table, traffic.csv and traffic.svg.
pub(super) fn measure(binary: &Path, directory: &Path, arguments: &Arguments) -> Result<()> {
    eprintln!("building {} topologies", TOPOLOGIES.len());
    let built: Result<Vec<Built>> = TOPOLOGIES
        .iter()
        .enumerate()
        .map(|(number, topology)| topology.build(number, binary))
        .collect();
    let built = built?;
    let names: Vec<&str> = TOPOLOGIES.iter().map(|topology| topology.name).collect();
    let place = |workload: usize, topology: usize| Place {
        client: &built[topology].client,
        server: &built[topology].server,
        at: SocketAddr::new(built[topology].server_address(WORKLOADS[workload].ipv6), 0),
        to: None,
    };
    let samples = on_pinned_thread(|| {
        sample(
            || open(WORKLOADS, &names, place),
            |topology| built[topology].client.enter(),
            arguments,
        )
    })?;
    let cells = cells(&samples, |workload, topology| {
        TOPOLOGIES[topology].goal(&WORKLOADS[workload].goals)
    });
    let table = Table {
        how: how(arguments)?,
        workloads: WORKLOADS,
        kind: "topology",
        ways: names,
        cells,
    };
    table.print();
    report::write(directory, "traffic.csv", &table.csv())?;
    let title =
        "Traffic between two namespaces, as a ratio to a direct veth wire in the same round";
    report::write(directory, "traffic.svg", &plot::svg(title, &table))
}

/// The machine, and how much was measured.
pub(super) fn how(arguments: &Arguments) -> Result<String> {
    let machine = Machine::this()?;
    Ok(format!(
        "{machine}; {} runs of {} rounds, turns of {} ms; one pinned thread owns both ends",
        arguments.runs, arguments.rounds, arguments.turn
    ))
}

/// Runs on a thread of its own, which may enter namespaces and stays on one CPU.
pub(super) fn on_pinned_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let pinned = scope.spawn(|| {
            pin()?;
            work()
        });
        match pinned.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Keeps the thread on the last CPU that it may use: the first often serves the devices.
fn pin() -> Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).context("failed to ask for CPUs")?;
    let last = (0..CpuSet::count())
        .rev()
        .find(|cpu| allowed.is_set(*cpu) == Ok(true));
    let mut one = CpuSet::new();
    one.set(last.context("no CPU to run on")?)?;
    sched_setaffinity(this, &one).context("failed to stay on a CPU")
}

/// Samples by workload, topology and run, in the order of the rounds.
pub(super) type Samples = Vec<Vec<Vec<Vec<f64>>>>;

/// Measures by workload and way. `open` makes the sockets, and `enter` moves the thread to where the
/// client of a way is.
pub(super) fn sample(
    open: impl Fn() -> Result<Vec<Vec<Ends>>>,
    enter: impl Fn(usize) -> Result<()>,
    arguments: &Arguments,
) -> Result<Samples> {
    let mut ends = Vec::new();
    let mut samples = Samples::new();
    let turn = Duration::from_millis(arguments.turn.into());
    let (runs, rounds) = (u32::from(arguments.runs), u32::from(arguments.rounds));
    let start = Instant::now();
    for done in 0..runs * rounds {
        let (run, round) = (done / rounds, done % rounds);
        if round == 0 {
            // Where the kernel puts sockets and buffers makes a difference that lasts as long as they do.
            ends.clear();
            ends = open()?;
            let empty = |ways: &Vec<Ends>| vec![vec![Vec::new(); runs as usize]; ways.len()];
            samples.extend(ends.iter().map(empty).skip(samples.len()));
        }
        for (workload, ways) in ends.iter_mut().enumerate() {
            for place in 0..ways.len() {
                let way = (place + round as usize) % ways.len();
                enter(way)?;
                let sample = ways[way].turn(turn);
                let sample = sample.with_context(|| format!("workload {workload}, way {way}"))?;
                samples[workload][way][run as usize].push(sample);
            }
        }
        let left = start.elapsed() / (done + 1) * (runs * rounds - done - 1);
        eprintln!(
            "run {} of {runs}, round {} of {rounds}, {} s left",
            run + 1,
            round + 1,
            left.as_secs()
        );
    }
    Ok(samples)
}

/// Sockets by workload and way, each used once before it is measured.
pub(super) fn open<'a>(
    workloads: &[Workload],
    ways: &[&str],
    place: impl Fn(usize, usize) -> Place<'a>,
) -> Result<Vec<Vec<Ends>>> {
    let mut all = Vec::new();
    for (number, workload) in workloads.iter().enumerate() {
        let mut row = Vec::new();
        for (way, name) in ways.iter().enumerate() {
            let opened = workload.open(&place(number, way)).and_then(|mut ends| {
                ends.turn(WARM_UP)?;
                Ok(ends)
            });
            row.push(opened.with_context(|| format!("{} over {name}", workload.name))?);
        }
        all.push(row);
    }
    Ok(all)
}

/// What the samples come to, and what they have to.
pub(super) fn cells(
    samples: &Samples,
    goal: impl Fn(usize, usize) -> Option<f64>,
) -> Vec<Vec<Cell>> {
    let row = |(workload, row): (usize, &Vec<Vec<Vec<f64>>>)| {
        let cell = |(topology, runs): (usize, &Vec<Vec<f64>>)| {
            let ratios: Vec<f64> = runs
                .iter()
                .zip(&row[0])
                .map(|(run, wire)| median(&paired(run, wire)))
                .collect();
            let spread: Vec<f64> = runs
                .iter()
                .zip(&row[0])
                .flat_map(|(run, wire)| paired(run, wire))
                .collect();
            let values = runs.concat();
            Cell {
                median: median(&values),
                p25: quantile(&values, 25),
                p75: quantile(&values, 75),
                ratio: median(&ratios),
                ratio_p25: quantile(&spread, 25),
                ratio_p75: quantile(&spread, 75),
                goal: goal(workload, topology),
            }
        };
        row.iter().enumerate().map(cell).collect()
    };
    samples.iter().enumerate().map(row).collect()
}

/// Each sample by the wire's of the same round.
fn paired(run: &[f64], wire: &[f64]) -> Vec<f64> {
    run.iter()
        .zip(wire)
        .map(|(ours, wire)| ours / wire)
        .collect()
}
