//! Tables on stdout and CSV files. Both name the machine: a figure without it says little.

use std::{fmt, fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};

use super::{topology::TOPOLOGIES, workload::WORKLOADS};

/// What was measured of a workload over a topology.
pub(super) struct Cell {
    /// Of all samples, in the workload's unit.
    pub(super) median: f64,
    pub(super) p25: f64,
    pub(super) p75: f64,
    /// To the wire in the same round: the median of the runs' medians.
    pub(super) ratio: f64,
    pub(super) ratio_p25: f64,
    pub(super) ratio_p75: f64,
    /// The ratio that is to be reached.
    pub(super) goal: Option<f64>,
}

/// Kernel and CPU.
pub(super) struct Machine {
    kernel: String,
    cpu: String,
    cpus: usize,
}

impl Machine {
    /// This one.
    pub(super) fn this() -> Result<Self> {
        let kernel =
            fs::read_to_string("/proc/sys/kernel/osrelease").context("no kernel release")?;
        let info = fs::read_to_string("/proc/cpuinfo").context("no list of CPUs")?;
        let values = |key| {
            info.lines()
                .filter_map(|line| line.split_once(':'))
                .filter(move |(name, _)| name.trim() == key)
                .map(|(_, value)| value.trim())
        };
        Ok(Self {
            kernel: kernel.trim().to_owned(),
            // Not every architecture's list has a model's name.
            cpu: values("model name")
                .next()
                .unwrap_or(std::env::consts::ARCH)
                .to_owned(),
            cpus: values("processor").count(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "kernel {}, CPU {}, {} CPUs",
            self.kernel, self.cpu, self.cpus
        )
    }
}

/// Writes a file into a directory that is made if need be, and names it.
pub(super) fn write(directory: &Path, name: &str, text: &str) -> Result<()> {
    let path = directory.join(name);
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(&path, text))
        .with_context(|| format!("failed to write {}", path.display()))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// The ratios as a table, then each goal and whether it is reached.
#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
pub(super) fn print_traffic(cells: &[Vec<Cell>], how: &str) {
    println!(
        "{how}\nratios to the direct veth wire in the same round; first line: the wire itself"
    );
    let mut head = format!("{:<26}", "");
    for workload in WORKLOADS {
        let _ = write!(head, "{:>18}", workload.name);
    }
    println!("{head}");
    for (at, topology) in TOPOLOGIES.iter().enumerate() {
        let mut line = format!("{:<26}", topology.name);
        for (workload, row) in WORKLOADS.iter().zip(cells) {
            let text = match at {
                0 => format!("{:.2} {}", row[0].median, workload.unit()),
                _ => format!("{:.3}", row[at].ratio),
            };
            let _ = write!(line, "{text:>18}");
        }
        println!("{line}");
    }
    for (workload, row) in WORKLOADS.iter().zip(cells) {
        for (topology, cell) in TOPOLOGIES.iter().zip(row) {
            let Some(goal) = cell.goal else { continue };
            let (sign, reached) = if workload.is_rate() {
                (">=", cell.ratio >= goal)
            } else {
                ("<=", cell.ratio <= goal)
            };
            let verdict = if reached { "reached" } else { "MISSED" };
            println!(
                "goal {}, {}: {:.3} {sign} {goal:.2} {verdict}",
                workload.name, topology.name, cell.ratio
            );
        }
    }
}

/// A row a workload and topology, behind a line that says how it was measured.
pub(super) fn traffic_csv(cells: &[Vec<Cell>], how: &str) -> String {
    let mut csv =
        format!("# {how}\nworkload,topology,unit,median,p25,p75,ratio,ratio_p25,ratio_p75,goal\n");
    for (workload, row) in WORKLOADS.iter().zip(cells) {
        for (topology, cell) in TOPOLOGIES.iter().zip(row) {
            let goal = cell.goal.map(|goal| goal.to_string()).unwrap_or_default();
            let _ = writeln!(
                csv,
                "{},\"{}\",{},{:.3},{:.3},{:.3},{:.4},{:.4},{:.4},{goal}",
                workload.name,
                topology.name,
                workload.unit(),
                cell.median,
                cell.p25,
                cell.p75,
                cell.ratio,
                cell.ratio_p25,
                cell.ratio_p75,
            );
        }
    }
    csv
}
