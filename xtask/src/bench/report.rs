//! Tables on stdout and CSV files. Both name the machine: a figure without it says little.

use std::{fmt, fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};

use super::workload::Workload;

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

/// What was measured of workloads by several ways, the first of which is what the others are compared
/// with.
pub(super) struct Table<'a> {
    /// Machine, runs and rounds.
    pub(super) how: String,
    pub(super) workloads: &'a [Workload],
    /// What the ways are to each other, as the file heads their column.
    pub(super) kind: &'a str,
    /// Names of the ways.
    pub(super) ways: Vec<&'a str>,
    /// By workload, then way.
    pub(super) cells: Vec<Vec<Cell>>,
}

impl Table<'_> {
    /// The ratios as a table, then each goal and whether it is reached.
    #[expect(clippy::print_stdout, reason = "the table is what the command is for")]
    pub(super) fn print(&self) {
        let (how, first) = (&self.how, self.ways[0]);
        println!("{how}\nratios to the {first} in the same round; first line: that itself");
        let mut head = format!("{:<26}", "");
        for workload in self.workloads {
            let _ = write!(head, "{:>18}", workload.name);
        }
        println!("{head}");
        for (at, way) in self.ways.iter().enumerate() {
            let mut line = format!("{way:<26}");
            for (workload, row) in self.workloads.iter().zip(&self.cells) {
                let text = match at {
                    0 => format!("{:.2} {}", row[0].median, workload.unit()),
                    _ => format!("{:.3}", row[at].ratio),
                };
                let _ = write!(line, "{text:>18}");
            }
            println!("{line}");
        }
        for (workload, row) in self.workloads.iter().zip(&self.cells) {
            let name = workload.name;
            for (way, cell) in self.ways.iter().zip(row) {
                let Some(goal) = cell.goal else { continue };
                let (sign, reached) = if workload.is_rate() {
                    (">=", cell.ratio >= goal)
                } else {
                    ("<=", cell.ratio <= goal)
                };
                let verdict = if reached { "reached" } else { "MISSED" };
                println!(
                    "goal {name}, {way}: {:.3} {sign} {goal:.2} {verdict}",
                    cell.ratio
                );
            }
        }
    }

    /// A row a workload and way, behind a line that says how it was measured.
    pub(super) fn csv(&self) -> String {
        let (how, kind) = (&self.how, self.kind);
        let mut csv = format!(
            "# {how}\nworkload,{kind},unit,median,p25,p75,ratio,ratio_p25,ratio_p75,goal\n"
        );
        for (workload, row) in self.workloads.iter().zip(&self.cells) {
            let (name, unit) = (workload.name, workload.unit());
            for (way, cell) in self.ways.iter().zip(row) {
                let goal = cell.goal.map(|goal| goal.to_string()).unwrap_or_default();
                let _ = writeln!(
                    csv,
                    "{name},\"{way}\",{unit},{:.3},{:.3},{:.3},{:.4},{:.4},{:.4},{goal}",
                    cell.median, cell.p25, cell.p75, cell.ratio, cell.ratio_p25, cell.ratio_p75,
                );
            }
        }
        csv
    }
}
