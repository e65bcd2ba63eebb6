//! `net`: networks, a file a verb.

mod connect;
mod create;
mod list;
mod remove;

use std::io::Write;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::output::print_inspected;
use super::view::NetworkView;
use super::{CliError, open};
use crate::ops::Paths;

#[derive(Debug, Subcommand)]
pub(super) enum NetCommand {
    /// Create a network and print its id.
    Create(create::CreateArguments),
    /// List networks.
    #[command(visible_alias = "list")]
    Ls(list::ListArguments),
    /// Print networks in detail, as a JSON array.
    Inspect(InspectArguments),
    /// Connect a sandbox to a network and print its addresses.
    #[command(visible_alias = "attach")]
    Connect(connect::ConnectArguments),
    /// Disconnect a sandbox from a network.
    #[command(visible_alias = "detach")]
    Disconnect(connect::DisconnectArguments),
    /// Remove networks.
    #[command(visible_alias = "remove")]
    Rm(remove::RemoveArguments),
    /// Remove all networks without endpoints, the default one apart.
    Prune(remove::PruneArguments),
}

#[derive(Debug, Args)]
pub(super) struct InspectArguments {
    /// Print a template filled in for each network, or json.
    #[arg(long, short)]
    format: Option<String>,
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "NETWORK", value_parser = NonEmptyStringValueParser::new())]
    networks: Vec<String>,
}

pub(super) fn run(
    command: &NetCommand,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    match command {
        NetCommand::Create(arguments) => create::run(arguments, paths, out),
        NetCommand::Ls(arguments) => list::run(arguments, paths, out),
        NetCommand::Inspect(arguments) => inspect(arguments, paths, out),
        NetCommand::Connect(arguments) => connect::connect(arguments, paths, out),
        NetCommand::Disconnect(arguments) => connect::disconnect(arguments, paths),
        NetCommand::Rm(arguments) => remove::remove(arguments, paths, out),
        NetCommand::Prune(arguments) => remove::prune(arguments, paths, out),
    }
}

/// Prints what is found, then reports what is not, as Docker does.
fn inspect(
    arguments: &InspectArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let context = open(paths)?;
    let format = arguments.format.as_deref();
    print_inspected(out, format, &arguments.networks, |name| {
        Ok(NetworkView::new(&context.inspect_network(name)?))
    })
}

/// `KEY=VALUE` of an option or label; a label may stand without a value.
fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err(format!("{text:?} has no key: it is KEY=VALUE"));
    }
    Ok((key.to_owned(), value.to_owned()))
}
