//! `port`.

use std::io::Write;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::super::output::{Format, print_rows};
use super::super::publish::PublicationRow;
use super::super::{CliError, open};
use crate::model::{ExposedPorts, Publication};
use crate::ops::Paths;

#[derive(Debug, Args)]
pub(in crate::cli) struct PortArguments {
    /// json, or a template a line.
    #[arg(long)]
    format: Option<String>,
    /// Name or id of a sandbox.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    sandbox: String,
    /// Only where this port of the sandbox is published.
    #[arg(value_name = "PORT[/PROTO]")]
    port: Option<ExposedPorts>,
}

/// Prints where ports of a sandbox are published, as Docker does.
pub(in crate::cli) fn port(
    arguments: &PortArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let format = Format::parse(arguments.format.as_deref())?;
    let mut publications = open(paths)?.publications(&arguments.sandbox)?;
    if let Some(port) = &arguments.port {
        publications.retain(|publication| {
            publication.protocol == port.protocol && port.ports.ports().contains(&publication.port)
        });
        if publications.is_empty() {
            return Err(CliError::NoPublicPort {
                port: port.to_string(),
                sandbox: arguments.sandbox.clone(),
            });
        }
    }
    if !matches!(format, Format::Table) {
        let rows: Vec<PublicationRow> = publications.iter().map(PublicationRow::new).collect();
        return print_rows(out, &format, &[], &rows);
    }
    for publication in &publications {
        let at = Publication::at(publication);
        match arguments.port {
            Some(_) => writeln!(out, "{at}")?,
            None => writeln!(out, "{} -> {at}", publication.exposed())?,
        }
    }
    Ok(())
}
