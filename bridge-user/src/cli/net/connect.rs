//! `net connect` and `net disconnect`.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;

use super::super::output::{print_or_undo, to_value};
use super::super::publish::{PortMap, PublishArguments, port_map};
use super::super::template::Template;
use super::super::{CliError, open};
use crate::model::{
    Endpoint, EndpointLink, EndpointName, ExposedPorts, InterfaceName, MacAddress, Publication,
};
use crate::ops::{ConnectSpec, Paths};

#[derive(Debug, Args)]
pub(in crate::cli) struct ConnectArguments {
    /// IPv4 address; else the next free one.
    #[arg(long, value_name = "IP")]
    ip: Option<Ipv4Addr>,
    /// IPv6 address; else the next free one.
    #[arg(long, value_name = "IP")]
    ip6: Option<Ipv6Addr>,
    /// MAC address; else one is made.
    #[arg(long, value_name = "MAC")]
    mac_address: Option<MacAddress>,
    /// Further name on this network; endpoints may share one.
    #[arg(long, value_name = "NAME")]
    alias: Vec<EndpointName>,
    /// A name for another endpoint, that only this one resolves.
    #[arg(long, value_name = "NAME[:ALIAS]")]
    link: Vec<EndpointLink>,
    /// Name of the interface in the sandbox; else eth0 or the next free one.
    #[arg(long, value_name = "NAME")]
    ifname: Option<InterfaceName>,
    /// Name of the endpoint; else the sandbox's.
    #[arg(long, value_name = "NAME")]
    name: Option<EndpointName>,
    #[command(flatten)]
    publish: PublishArguments,
    /// A port that -P publishes, PORT[-END][/PROTO].
    #[arg(long, value_name = "PORT", requires = "publish_all")]
    expose: Vec<ExposedPorts>,
    /// Let it speak with any MAC and IP address: no port security.
    #[arg(long)]
    trusted: bool,
    /// Make the network namespace if it is not there.
    #[arg(long)]
    create: bool,
    /// Print a template filled in with the endpoint, or json.
    #[arg(long)]
    format: Option<String>,
    /// Name or id of the network.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    network: String,
    /// A name under /run/netns, an absolute path of a namespace file, or pid:N.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    sandbox: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DisconnectArguments {
    /// No error if the sandbox is not connected, or gone.
    #[arg(long, short)]
    force: bool,
    /// Name or id of the network.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    network: String,
    /// The sandbox, as it was connected, or the name of its endpoint.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    sandbox: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EndpointView {
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    name: String,
    interface: String,
    host_leg: String,
    mac_address: String,
    #[serde(rename = "IPv4Address")]
    ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    ipv6_address: String,
    ports: PortMap,
}

impl EndpointView {
    fn new(endpoint: &Endpoint, publications: &[Publication]) -> Self {
        let address = |ipv6| endpoint.cidr(ipv6).map(|cidr| cidr.to_string());
        Self {
            endpoint_id: endpoint.id.to_string(),
            name: endpoint.name.to_string(),
            interface: endpoint.interface.to_string(),
            host_leg: endpoint.host_leg().to_string(),
            mac_address: endpoint.mac.to_string(),
            ipv4_address: address(false).unwrap_or_default(),
            ipv6_address: address(true).unwrap_or_default(),
            ports: port_map(&[], publications),
        }
    }
}

pub(in crate::cli) fn connect(
    arguments: &ConnectArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let template = match arguments.format.as_deref() {
        None => None,
        Some("json") => Some(Template::parse("{{json .}}")?),
        Some(text) => Some(Template::parse(text)?),
    };
    let mut addresses: Vec<IpAddr> = arguments.ip.into_iter().map(Into::into).collect();
    addresses.extend(arguments.ip6.map(IpAddr::from));
    let mut context = open(paths)?;
    let spec = ConnectSpec {
        network: arguments.network.clone(),
        sandbox: context.sandbox_called(&arguments.sandbox)?,
        create: arguments.create,
        name: arguments.name.clone(),
        aliases: arguments.alias.clone(),
        links: arguments.link.clone(),
        addresses,
        mac: arguments.mac_address,
        interface: arguments.ifname.clone(),
        trusted: arguments.trusted,
        publish: arguments.publish.request(&arguments.expose),
    };
    let endpoint = context.connect(&spec)?;
    let text = if let Some(template) = template {
        let publications = context.publications_of(&endpoint);
        publications
            .map_err(CliError::from)
            .and_then(|publications| {
                let view = to_value(&EndpointView::new(&endpoint, &publications))?;
                Ok(template.render(&view)?)
            })
    } else {
        let addresses = endpoint.addresses.iter().map(ToString::to_string);
        Ok(addresses.collect::<Vec<_>>().join("\n"))
    };
    print_or_undo(out, text, || {
        context.disconnect(&spec.network, &spec.sandbox, false)
    })
}

pub(in crate::cli) fn disconnect(
    arguments: &DisconnectArguments,
    paths: &Paths,
) -> Result<(), CliError> {
    let mut context = open(paths)?;
    let sandbox = context.sandbox_called(&arguments.sandbox)?;
    Ok(context.disconnect(&arguments.network, &sandbox, arguments.force)?)
}
