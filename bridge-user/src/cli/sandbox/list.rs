//! `ps`.

use std::io::Write;

use clap::Args;

use super::super::output::{Format, print_rows};
use super::super::{CliError, open};
use super::view::RunRow;
use crate::ops::Paths;

const COLUMNS: [(&str, &str); 7] = [
    ("CONTAINER ID", "ID"),
    ("COMMAND", "Command"),
    ("CREATED", "RunningFor"),
    ("STATUS", "Status"),
    ("PORTS", "Ports"),
    ("NETWORKS", "Networks"),
    ("NAMES", "Names"),
];

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArguments {
    /// Those too whose command has ended.
    #[arg(long, short)]
    all: bool,
    /// Ids only.
    #[arg(long, short)]
    quiet: bool,
    /// Do not shorten ids and commands.
    #[arg(long)]
    no_trunc: bool,
    /// table, json, or a template.
    #[arg(long)]
    format: Option<String>,
}

pub(in crate::cli) fn list(
    arguments: &ListArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let format = Format::parse(arguments.format.as_deref())?;
    let runs = open(paths)?.list_runs()?;
    let shown = runs.iter().filter(|d| arguments.all || d.run.is_live());
    let rows: Vec<RunRow> = shown
        .map(|details| RunRow::new(details, arguments.no_trunc))
        .collect();
    if arguments.quiet {
        for row in &rows {
            writeln!(out, "{}", row.id)?;
        }
        return Ok(());
    }
    print_rows(out, &format, &COLUMNS, &rows)
}
