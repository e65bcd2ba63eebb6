//! How rows are printed: table, JSON lines, template, or ids only.

use std::io::{self, Write};

use serde::Serialize;
use tabwriter::TabWriter;

use super::template::Template;
use super::{CliError, Failures};
use crate::ops;

/// What `--format` asks for.
#[derive(Debug)]
pub(super) enum Format {
    /// The command's own table.
    Table,
    /// JSON, one object a line.
    Json,
    /// A template a row, in aligned columns under heads where it began with `table `.
    Template { template: Template, table: bool },
}

impl Format {
    pub(super) fn parse(text: Option<&str>) -> Result<Self, CliError> {
        Ok(match text {
            None | Some("table" | "") => Self::Table,
            Some("json") => Self::Json,
            Some(text) => {
                let (table, text) = match text.strip_prefix("table ") {
                    Some(rest) => (true, rest),
                    None => (false, text),
                };
                Self::Template {
                    template: Template::parse(text)?,
                    table,
                }
            }
        })
    }
}

/// Prints rows as the format says; `columns` are the table's heads and the fields under them.
pub(super) fn print_rows<R: Serialize>(
    out: &mut impl Write,
    format: &Format,
    columns: &[(&str, &str)],
    rows: &[R],
) -> Result<(), CliError> {
    match format {
        Format::Json => {
            for row in rows {
                serde_json::to_writer(&mut *out, row).map_err(io::Error::from)?;
                writeln!(out)?;
            }
        }
        Format::Table => {
            let heads: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
            let fields = columns.iter().map(|(_, field)| format!("{{{{.{field}}}}}"));
            let template = Template::parse(&fields.collect::<Vec<_>>().join("\t"))?;
            print_table(out, &heads.join("\t"), &template, rows)?;
        }
        Format::Template {
            template,
            table: true,
        } => {
            print_table(out, &template.heads(columns), template, rows)?;
        }
        Format::Template {
            template,
            table: false,
        } => {
            for row in rows {
                writeln!(out, "{}", template.render(&to_value(row)?)?)?;
            }
        }
    }
    Ok(())
}

/// Docker's look: columns three spaces apart, the last one as long as it is.
fn print_table<R: Serialize>(
    out: &mut impl Write,
    heads: &str,
    template: &Template,
    rows: &[R],
) -> Result<(), CliError> {
    let mut table = TabWriter::new(Vec::new()).padding(3);
    writeln!(table, "{heads}")?;
    for row in rows {
        writeln!(table, "{}", template.render(&to_value(row)?)?)?;
    }
    let text = table
        .into_inner()
        .map_err(|e| io::Error::other(e.to_string()))?;
    // Aligned cells end in spaces, which nobody wants at the end of a line.
    for line in String::from_utf8_lossy(&text).lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Prints what is found of each name, then reports what is not, as Docker does: an array, or by a
/// template a line each.
pub(super) fn print_inspected<V: Serialize>(
    out: &mut impl Write,
    format: Option<&str>,
    names: &[String],
    inspect: impl Fn(&str) -> Result<V, ops::Error>,
) -> Result<(), CliError> {
    let format = format.filter(|format| !["", "json"].contains(format));
    let template = format.map(Template::parse).transpose()?;
    let mut views = Vec::new();
    let mut failed = Failures::default();
    for name in names {
        match inspect(name) {
            Ok(view) => views.push(view),
            Err(error) => failed.report(&error.into()),
        }
    }
    if let Some(template) = template {
        for view in &views {
            writeln!(out, "{}", template.render(&to_value(view)?)?)?;
        }
    } else {
        let text = serde_json::to_string_pretty(&views).map_err(io::Error::from)?;
        writeln!(out, "{text}")?;
    }
    failed.into_result()
}

/// Prints what came of a change. Where that fails the change is undone: who asked for it does not
/// know of it. A reader that went away wanted it all the same.
pub(super) fn print_or_undo(
    out: &mut impl Write,
    text: Result<String, CliError>,
    undo: impl FnOnce() -> Result<(), ops::Error>,
) -> Result<(), CliError> {
    let print = |text| Ok(writeln!(out, "{text}").and_then(|()| out.flush())?);
    let printed = text.and_then(print);
    match &printed {
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(_) => {
            if let Err(error) = undo() {
                tracing::warn!("warning: it was not undone: {}", ops::chain(&error));
            }
        }
        Ok(()) => {}
    }
    printed
}

pub(super) fn to_value(row: &impl Serialize) -> Result<serde_json::Value, CliError> {
    Ok(serde_json::to_value(row).map_err(io::Error::from)?)
}
