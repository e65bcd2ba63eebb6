//! `net ls`.

use std::io::Write;

use clap::Args;

use super::super::output::{Format, print_rows};
use super::super::view::NetworkRow;
use super::super::{CliError, open};
use super::key_value;
use crate::ops::{Error, NetworkSummary, Paths};

const COLUMNS: [(&str, &str); 4] = [
    ("NETWORK ID", "ID"),
    ("NAME", "Name"),
    ("DRIVER", "Driver"),
    ("SCOPE", "Scope"),
];

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArguments {
    /// Show only networks that match: driver, id, label, name, scope, type (custom or builtin).
    #[arg(long, short, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Ids only.
    #[arg(long, short)]
    quiet: bool,
    /// Do not shorten ids.
    #[arg(long)]
    no_trunc: bool,
    /// table, json, or a template.
    #[arg(long)]
    format: Option<String>,
}

pub(in crate::cli) fn run(
    arguments: &ListArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let format = Format::parse(arguments.format.as_deref())?;
    let filters = arguments
        .filter
        .iter()
        .map(|f| Filter::parse(f))
        .collect::<Result<Vec<_>, _>>()?;
    let mut networks = open(paths)?.list_networks()?;
    networks.retain(|network| matches_all(&filters, network));
    networks.sort_by_key(|network| natural(&network.name));
    let rows: Vec<NetworkRow> = networks
        .iter()
        .map(|network| NetworkRow::new(network, arguments.no_trunc))
        .collect();
    if arguments.quiet {
        for row in &rows {
            writeln!(out, "{}", row.id)?;
        }
        return Ok(());
    }
    print_rows(out, &format, &COLUMNS, &rows)
}

/// One `--filter`.
#[derive(Debug, PartialEq, Eq)]
enum Filter {
    Driver(String),
    Id(String),
    Label(String, Option<String>),
    Name(String),
    Scope(String),
    Builtin(bool),
}

impl Filter {
    fn parse(text: &str) -> Result<Self, CliError> {
        let refuse = || CliError::Operation(Error::Filter(text.to_owned()));
        let (key, value) = text.split_once('=').ok_or_else(refuse)?;
        let value = value.to_owned();
        Ok(match key {
            "driver" => Self::Driver(value),
            "id" => Self::Id(value),
            "label" => {
                let (key, wanted) = key_value(&value).map_err(|_| refuse())?;
                Self::Label(key, value.contains('=').then_some(wanted))
            }
            "name" => Self::Name(value),
            "scope" => Self::Scope(value),
            "type" if value == "custom" => Self::Builtin(false),
            "type" if value == "builtin" => Self::Builtin(true),
            _ => return Err(refuse()),
        })
    }

    fn matches(&self, network: &NetworkSummary) -> bool {
        match self {
            Self::Driver(driver) => network.driver.as_str() == driver,
            Self::Id(part) => network.id.as_str().contains(part.as_str()),
            Self::Label(key, value) => {
                let labels = network.network.as_ref().map(|network| &network.labels);
                let found = labels.and_then(|labels| labels.get(key));
                found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
            }
            Self::Name(part) => network.name.contains(part.as_str()),
            Self::Scope(scope) => scope == "local",
            Self::Builtin(builtin) => network.is_builtin() == *builtin,
        }
    }
}

/// Docker's rule: one of the values of every key that is given, but every label.
fn matches_all(filters: &[Filter], network: &NetworkSummary) -> bool {
    filters.iter().all(|filter| match filter {
        Filter::Label(..) => filter.matches(network),
        filter => filters
            .iter()
            .filter(|other| std::mem::discriminant(*other) == std::mem::discriminant(filter))
            .any(|other| other.matches(network)),
    })
}

/// A key that sorts `net2` before `net10`.
fn natural(name: &str) -> Vec<(bool, u64, String)> {
    let mut key: Vec<(bool, u64, String)> = Vec::new();
    for c in name.chars() {
        let digit = c.to_digit(10);
        match (key.last_mut(), digit) {
            (Some((false, number, text)), Some(digit)) => {
                *number = number.saturating_mul(10).saturating_add(digit.into());
                text.push(c);
            }
            (_, Some(digit)) => key.push((false, digit.into(), c.into())),
            (Some((true, _, text)), None) => text.push(c),
            (_, None) => key.push((true, 0, c.into())),
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_naturally() {
        let mut names = ["net10", "net2", "a", "10", "9"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["9", "10", "a", "net2", "net10"]);
    }

    #[test]
    fn filters_are_read() {
        assert_eq!(Filter::parse("name=x").unwrap(), Filter::Name("x".into()));
        assert_eq!(
            Filter::parse("label=a").unwrap(),
            Filter::Label("a".into(), None)
        );
        let label = Filter::Label("a".into(), Some("b".into()));
        assert_eq!(Filter::parse("label=a=b").unwrap(), label);
        for bad in ["name", "colour=red", "type=odd", "label="] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
    }
}
