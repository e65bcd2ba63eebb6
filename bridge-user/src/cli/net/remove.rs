//! `net rm` and `net prune`.

use std::io::{self, BufRead as _, Write};
use std::time::{Duration, SystemTime};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::super::{CliError, Failures, open};
use crate::model::Network;
use crate::ops::{Error, Paths};

#[derive(Debug, Args)]
pub(in crate::cli) struct RemoveArguments {
    /// No error if a network does not exist.
    #[arg(long, short)]
    force: bool,
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "NETWORK", value_parser = NonEmptyStringValueParser::new())]
    networks: Vec<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PruneArguments {
    /// Do not ask.
    #[arg(long, short)]
    force: bool,
    /// Remove only networks that match: until=DURATION or TIME, label=KEY[=VALUE], label!=...
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

/// Removes each, and goes on after an error.
pub(in crate::cli) fn remove(
    arguments: &RemoveArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let mut context = open(paths)?;
    let mut failed = Failures::default();
    for name in &arguments.networks {
        match context.remove_network(name, arguments.force) {
            Ok(true) => writeln!(out, "{name}")?,
            Ok(false) => {}
            Err(error) => failed.report(&error.into()),
        }
    }
    failed.into_result()
}

pub(in crate::cli) fn prune(
    arguments: &PruneArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let filters = arguments
        .filter
        .iter()
        .map(|f| Filter::parse(f))
        .collect::<Result<Vec<_>, _>>()?;
    if !arguments.force && !confirmed()? {
        return Err(CliError::NotConfirmed);
    }
    let mut context = open(paths)?;
    let (removed, result) =
        context.prune_networks(|network| filters.iter().all(|filter| filter.matches(network)));
    if !removed.is_empty() {
        writeln!(out, "Deleted Networks:")?;
        for name in removed {
            writeln!(out, "{name}")?;
        }
    }
    Ok(result?)
}

fn confirmed() -> io::Result<bool> {
    let mut stderr = io::stderr().lock();
    writeln!(
        stderr,
        "WARNING! This will remove all custom networks not used by at least one sandbox."
    )?;
    write!(stderr, "Are you sure you want to continue? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// One `--filter` of prune.
#[derive(Debug)]
enum Filter {
    Until(SystemTime),
    Label {
        key: String,
        value: Option<String>,
        wanted: bool,
    },
}

impl Filter {
    fn parse(text: &str) -> Result<Self, CliError> {
        let refuse = || CliError::Operation(Error::Filter(text.to_owned()));
        let (key, value) = text.split_once('=').ok_or_else(refuse)?;
        match key {
            "until" => Self::until(value).ok_or_else(refuse),
            "label" | "label!" if !value.is_empty() => {
                let (label, value) = match value.split_once('=') {
                    Some((label, value)) => (label.to_owned(), Some(value.to_owned())),
                    None => (value.to_owned(), None),
                };
                Ok(Self::Label {
                    key: label,
                    value,
                    wanted: key == "label",
                })
            }
            _ => Err(refuse()),
        }
    }

    /// A duration back from now (`24h`), or a time (RFC 3339).
    fn until(value: &str) -> Option<Self> {
        let back: Option<Duration> = humantime::parse_duration(value).ok();
        let time = match back {
            Some(back) => SystemTime::now().checked_sub(back)?,
            None => humantime::parse_rfc3339_weak(value).ok()?,
        };
        Some(Self::Until(time))
    }

    fn matches(&self, network: &Network) -> bool {
        match self {
            Self::Until(time) => network.created < *time,
            Self::Label { key, value, wanted } => {
                let found = network.labels.get(key);
                let has = found.is_some_and(|f| value.as_ref().is_none_or(|value| value == f));
                has == *wanted
            }
        }
    }
}
