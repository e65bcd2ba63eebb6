//! Sandboxes of `run`: Docker's container commands, a file a verb.

mod age;
mod list;
mod port;
mod run;
mod second_self;
mod view;

use std::ffi::OsString;
use std::io::Write;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

pub(super) use list::{ListArguments, list};
pub(super) use port::{PortArguments, port};
pub(super) use run::{RunArguments, run};
pub(super) use second_self::second_self;

use super::output::print_inspected;
use super::{CliError, Failures, open};
use crate::ops::{self, Paths};
use view::RunView;

/// What Docker exits with where it failed itself, not the command.
const EXIT_FAILED: u8 = 125;

#[derive(Debug, Args)]
pub(super) struct ExecArguments {
    /// Name or id of a sandbox of `run`.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    sandbox: String,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct RemoveArguments {
    /// End what runs first; no error if a sandbox does not exist.
    #[arg(long, short)]
    force: bool,
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "SANDBOX", value_parser = NonEmptyStringValueParser::new())]
    sandboxes: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct InspectArguments {
    /// Print a template filled in for each sandbox, or json.
    #[arg(long, short)]
    format: Option<String>,
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "SANDBOX", value_parser = NonEmptyStringValueParser::new())]
    sandboxes: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct LogsArguments {
    /// Go on until the command ends.
    #[arg(long, short)]
    follow: bool,
    /// Name or id of a sandbox of `run -d`.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    sandbox: String,
}

/// Becomes the command; comes back only with an error.
pub(super) fn exec(arguments: &ExecArguments, paths: &Paths) -> CliError {
    match open(paths) {
        Ok(context) => ops::execute_in_run(context, &arguments.sandbox, &arguments.command).into(),
        Err(error) => error,
    }
}

/// Removes each, and goes on after an error.
pub(super) fn remove(
    arguments: &RemoveArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let mut context = open(paths)?;
    let mut failed = Failures::default();
    for name in &arguments.sandboxes {
        match context.remove_run(name, arguments.force) {
            Ok(true) => writeln!(out, "{name}")?,
            Ok(false) => {}
            Err(error) => failed.report(&error.into()),
        }
    }
    failed.into_result()
}

/// Prints what is found, then reports what is not, as Docker does.
pub(super) fn inspect(
    arguments: &InspectArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let context = open(paths)?;
    let format = arguments.format.as_deref();
    print_inspected(out, format, &arguments.sandboxes, |name| {
        Ok(RunView::new(&context.inspect_run(name)?))
    })
}

/// Prints what the command wrote. Nobody waits for this command meanwhile.
pub(super) fn logs(
    arguments: &LogsArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let mut log = open(paths)?.open_log(&arguments.sandbox)?;
    Ok(log.copy_to(out, arguments.follow)?)
}
