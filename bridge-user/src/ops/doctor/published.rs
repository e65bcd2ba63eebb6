//! Which road what comes from outside to published ports takes.

use super::Finding;
use crate::kernel::bpf;
use crate::kernel::netlink::{self, Netlink, NetlinkError};
use crate::kernel::nft::{Ruleset, others_rules};
use crate::model::{FlowLinks, Network, OthersRules};
use crate::ops::Paths;
use crate::ops::uplinks::{flow_links, uplinks};
use crate::store::Reader;

/// That of networks which leave it to others' rules, and what other networks have instead.
pub(super) fn finding(ruleset: Option<&Ruleset>, paths: &Paths) -> Option<Finding> {
    const CHECK: &str = "published ports";
    let networks = networks(paths);
    let ruleset = ruleset?;
    let links = links_of(&networks).map_err(|error| error.to_string());
    let rules = links.and_then(|links| others_rules(ruleset, &links).map_err(|e| e.to_string()));
    let of_rules = match rules.unwrap_or_else(OthersRules::SeeEachPacket) {
        OthersRules::LetFlowsPass => {
            "what the firewall let through passes it by: no rule of others has to see each packet"
                .into()
        }
        OthersRules::SeeEachPacket(rule) => {
            let yet = if bpf::is_passing() == Some(true) {
                "from the next command on "
            } else {
                ""
            };
            format!("{yet}every packet goes by the firewall, for {rule}")
        }
    };
    let names = |wanted: fn(&Network) -> bool| {
        let names = networks.iter().filter(|network| wanted(network));
        let names: Vec<&str> = names.map(|network| network.name.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let asked = names(|network| network.has_flows() && network.asks_for_flows());
    let without = names(|network| !network.has_flows() && !network.internal);
    let parts = [
        Some(of_rules),
        asked.map(|names| format!("of {names} it passes by whatever the rules are")),
        without.map(|names| format!("of {names} every packet goes by the firewall")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    Some(Finding::ok(CHECK, parts.join("; ")))
}

fn links_of(networks: &[Network]) -> Result<FlowLinks, NetlinkError> {
    let mut netlink = Netlink::open()?;
    let links = netlink::links(&mut netlink)?;
    let uplinks = uplinks(&mut netlink, networks, &links)?;
    Ok(flow_links(&uplinks, networks))
}

/// None where there is no state, or it cannot be read.
fn networks(paths: &Paths) -> Vec<Network> {
    let read = Reader::new(&paths.state).if_changed(|rows| match rows {
        Some(rows) => rows.networks(),
        None => Ok(Vec::new()),
    });
    read.ok().flatten().unwrap_or_default()
}
