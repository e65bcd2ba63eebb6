//! Names that one sandbox alone has for others: those of its links. Pure.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{Endpoint, EndpointLink, Id, Network, State};

/// The names that each sandbox has by its links, in lower case, and their addresses.
#[derive(Debug, Default)]
pub(super) struct Links(HashMap<Id, HashMap<String, Vec<IpAddr>>>);

impl Links {
    /// Networks that tell no names have links too.
    pub(super) fn new(networks: &[Network], endpoints: &[Endpoint]) -> Self {
        let mut links = Self::default();
        let linking = |endpoint: &&Endpoint| !endpoint.links.is_empty();
        for network in networks {
            let there = |e: &&Endpoint| e.network == network.id && e.state == State::Ready;
            // Looked through once a link; most networks have none.
            let mut on_network: Option<Vec<&Endpoint>> = None;
            for endpoint in endpoints.iter().filter(linking).filter(there) {
                let others =
                    on_network.get_or_insert_with(|| endpoints.iter().filter(there).collect());
                links.add(network, endpoint, others);
            }
        }
        links
    }

    /// The addresses of a name in lower case that a sandbox has for others.
    pub(super) fn addresses(&self, sandbox: &Id, name: &str) -> Option<&[IpAddr]> {
        self.0.get(sandbox)?.get(name).map(Vec::as_slice)
    }

    fn add(&mut self, network: &Network, endpoint: &Endpoint, others: &[&Endpoint]) {
        let known = self.0.entry(endpoint.sandbox.clone()).or_default();
        for link in &endpoint.links {
            for other in others.iter().filter(|other| link.is_to(other)) {
                for name in names_of(network, link, other) {
                    let of_name = known.entry(name).or_default();
                    of_name.extend(other.addresses.iter().map(IpNet::addr));
                }
            }
        }
        for addresses in known.values_mut() {
            // Two links may be to one endpoint.
            let mut seen = BTreeSet::new();
            addresses.retain(|address| seen.insert(*address));
        }
    }
}

/// What a link calls an endpoint: its alias, and on the default network what the hosts file has too.
fn names_of(network: &Network, link: &EndpointLink, other: &Endpoint) -> BTreeSet<String> {
    let mut names = BTreeSet::from([link.alias.as_str()]);
    if network.is_default() {
        names.extend([other.name.as_str(), other.sandbox.short()]);
    }
    let mut all: BTreeSet<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let in_network = |name| format!("{name}.{}", network.name).to_ascii_lowercase();
    all.extend(names.into_iter().map(in_network));
    all
}
