//! `doctor`.

use std::io::Write;

use clap::Args;
use serde::Serialize;

use super::CliError;
use super::output::{Format, print_rows};
use crate::ops::{self, Finding, Paths, SeenDaemon, Status};
use crate::service;

const COLUMNS: [(&str, &str); 3] = [
    ("CHECK", "Check"),
    ("STATUS", "Status"),
    ("DETAIL", "Detail"),
];

#[derive(Debug, Args)]
pub(super) struct DoctorArguments {
    /// table, json, or a template.
    #[arg(long)]
    format: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct FindingRow {
    check: &'static str,
    status: &'static str,
    detail: String,
    advice: String,
}

impl From<&Finding> for FindingRow {
    fn from(finding: &Finding) -> Self {
        Self {
            check: finding.check,
            status: finding.status.as_str(),
            detail: finding.detail.clone(),
            advice: finding.advice.clone().unwrap_or_default(),
        }
    }
}

/// Prints every finding, in the table's case what to do below it; a failure is exit code 1.
pub(super) fn run(
    arguments: &DoctorArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let format = Format::parse(arguments.format.as_deref())?;
    let daemon = service::running().map(|pid| SeenDaemon {
        pid,
        status: service::status(),
    });
    let findings = ops::doctor(paths, daemon.as_ref());
    let rows: Vec<FindingRow> = findings.iter().map(Into::into).collect();
    print_rows(out, &format, &COLUMNS, &rows)?;
    if matches!(format, Format::Table) {
        for row in rows.iter().filter(|row| !row.advice.is_empty()) {
            writeln!(
                out,
                "\n{} ({}): {}\n    {}",
                row.check, row.status, row.detail, row.advice
            )?;
        }
    }
    if findings
        .iter()
        .any(|finding| finding.status == Status::Failure)
    {
        return Err(CliError::NotReady);
    }
    Ok(())
}
