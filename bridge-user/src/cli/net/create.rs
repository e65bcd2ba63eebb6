//! `net create`.

use std::io::Write;
use std::net::IpAddr;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::super::output::print_or_undo;
use super::super::{CliError, open};
use super::key_value;
use crate::model::{Datapath, Driver, NetworkName};
use crate::ops::{CreateSpec, Paths};

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArguments {
    /// How endpoints are joined; of host and none there is one built-in network each.
    #[arg(long, short, value_enum, default_value_t = DriverArgument::Bridge)]
    driver: DriverArgument,
    /// Subnet in CIDR form, one a family; an IPv4 one is chosen if none is given.
    #[arg(long, value_name = "CIDR", value_parser = subnet)]
    subnet: Vec<IpNet>,
    /// Gateway of a subnet; else its first usable address.
    #[arg(long, value_name = "IP", value_parser = address)]
    gateway: Vec<IpAddr>,
    /// Give automatic addresses from this part of a subnet only.
    #[arg(long, value_name = "CIDR", value_parser = subnet)]
    ip_range: Vec<IpNet>,
    /// Never give this address to an endpoint.
    #[arg(long, value_name = "NAME=IP", value_parser = aux_address)]
    aux_address: Vec<(String, IpAddr)>,
    /// Give endpoints IPv6 addresses too; a unique local subnet is chosen if none is given.
    #[arg(long)]
    ipv6: bool,
    /// No default route, and nothing to or from other networks.
    #[arg(long)]
    internal: bool,
    /// Driver option, by Docker's keys.
    #[arg(long = "opt", short = 'o', value_name = "KEY=VALUE", value_parser = key_value)]
    options: Vec<(String, String)>,
    /// Label.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = key_value)]
    labels: Vec<(String, String)>,
    /// Program that forwards between endpoints: tc, xdp, or off for the Linux bridge alone.
    #[arg(long, value_name = "tc|xdp|off", default_value = "tc")]
    datapath: Datapath,
    /// Name of the network.
    name: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DriverArgument {
    Bridge,
    Host,
    #[value(alias = "null")]
    None,
}

pub(in crate::cli) fn run(
    arguments: &CreateArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let name: NetworkName = arguments.name.parse().map_err(crate::ops::Error::Name)?;
    let spec = CreateSpec {
        driver: match arguments.driver {
            DriverArgument::Bridge => Driver::Bridge,
            DriverArgument::Host => Driver::Host,
            DriverArgument::None => Driver::None,
        },
        subnets: arguments.subnet.clone(),
        gateways: arguments.gateway.clone(),
        ip_ranges: arguments.ip_range.clone(),
        aux_addresses: arguments.aux_address.clone(),
        ipv6: arguments.ipv6,
        internal: arguments.internal,
        datapath: arguments.datapath,
        options: arguments.options.iter().cloned().collect(),
        labels: arguments.labels.iter().cloned().collect(),
        ..CreateSpec::new(name)
    };
    let mut context = open(paths)?;
    let network = context.create_network(&spec)?;
    print_or_undo(out, Ok(network.id.to_string()), || {
        context.remove_network(network.id.as_str(), false).map(drop)
    })
}

fn subnet(text: &str) -> Result<IpNet, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no subnet: it is ADDRESS/PREFIX-LENGTH"))
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no IP address"))
}

fn aux_address(text: &str) -> Result<(String, IpAddr), String> {
    let (name, ip) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not NAME=IP"))?;
    if name.is_empty() {
        return Err(format!("{text:?} has no name: it is NAME=IP"));
    }
    Ok((name.to_owned(), address(ip)?))
}
