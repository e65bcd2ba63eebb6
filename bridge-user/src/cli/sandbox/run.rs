//! `run`.

use std::ffi::OsString;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::Args;

use super::super::publish::PublishArguments;
use super::super::{CliError, open, report, warn};
use super::EXIT_FAILED;
use crate::model::{AddHost, EndpointLink, EndpointName, ExposedPorts, MacAddress, NetworkMode};
use crate::ops::{Paths, RunError, RunSpec, chain};

#[derive(Debug, Args)]
pub(in crate::cli) struct RunArguments {
    /// Run in the background, and print the id; the output goes to the log.
    #[arg(long, short)]
    detach: bool,
    /// Forget the sandbox when the command ends.
    #[arg(long)]
    rm: bool,
    /// Name of the sandbox and of its namespace; else the first 12 digits of its id.
    #[arg(long, value_name = "NAME")]
    name: Option<EndpointName>,
    /// A network, several times for several; or host, none or container:NAME.
    #[arg(long, alias = "net", value_name = "NETWORK")]
    network: Vec<String>,
    /// Further name on the first network.
    #[arg(long, value_name = "NAME")]
    network_alias: Vec<EndpointName>,
    /// A name for another sandbox on the first network, that only this one resolves.
    #[arg(long, value_name = "NAME[:ALIAS]")]
    link: Vec<EndpointLink>,
    /// IPv4 address on the first network; else the next free one.
    #[arg(long, value_name = "IP")]
    ip: Option<Ipv4Addr>,
    /// IPv6 address on the first network; else the next free one.
    #[arg(long, value_name = "IP")]
    ip6: Option<Ipv6Addr>,
    /// MAC address on the first network; else one is made.
    #[arg(long, value_name = "MAC")]
    mac_address: Option<MacAddress>,
    /// Name server; else the host's.
    #[arg(long, value_name = "IP")]
    dns: Vec<IpAddr>,
    /// Line of the hosts file: NAME:IP, or NAME:host-gateway for the gateway of the first network.
    #[arg(long, value_name = "NAME:IP")]
    add_host: Vec<AddHost>,
    #[command(flatten)]
    publish: PublishArguments,
    /// A port that the command serves, PORT[-END][/PROTO]: shown, and what -P publishes.
    #[arg(long, value_name = "PORT")]
    expose: Vec<ExposedPorts>,
    /// Host name; else the first 12 digits of the id.
    #[arg(long, value_name = "NAME")]
    hostname: Option<EndpointName>,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// Runs a command. In the foreground it ends with the command, and with its exit code.
pub(in crate::cli) fn run(
    arguments: &RunArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    start(arguments, paths, out).map_err(|error| match error {
        CliError::Exit(_) | CliError::Output(_) => error,
        error => {
            report(&error);
            CliError::Exit(error.command_code().unwrap_or(EXIT_FAILED))
        }
    })
}

fn start(arguments: &RunArguments, paths: &Paths, out: &mut impl Write) -> Result<(), CliError> {
    let mut addresses: Vec<IpAddr> = arguments.ip.into_iter().map(Into::into).collect();
    addresses.extend(arguments.ip6.map(IpAddr::from));
    let network = NetworkMode::parse(&arguments.network).map_err(RunError::from);
    let spec = RunSpec {
        name: arguments.name.clone(),
        network: network.map_err(crate::ops::Error::from)?,
        aliases: arguments.network_alias.clone(),
        links: arguments.link.clone(),
        addresses,
        mac: arguments.mac_address,
        hostname: arguments.hostname.clone(),
        dns: arguments.dns.clone(),
        add_hosts: arguments.add_host.clone(),
        publish: arguments.publish.request(&arguments.expose),
        exposed: arguments.expose.clone(),
        detached: arguments.detach,
        remove: arguments.rm,
        command: arguments.command.clone(),
    };
    // The state is closed before the wait: other commands go on.
    let started = open(paths)?.start(&spec)?;
    let Some(keeper) = started.keeper else {
        writeln!(out, "{}", started.id)?;
        return Ok(());
    };
    let ended = keeper.keep()?;
    if let Some(error) = &ended.left_wrong {
        warn(&chain(error));
    }
    match ended.code {
        0 => Ok(()),
        code => Err(CliError::Exit(code)),
    }
}
