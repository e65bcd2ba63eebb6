//! Hosts files of named sandboxes: /etc/netns/NAME/hosts, which `ip netns exec` mounts over
//! /etc/hosts. Written in place: a mounted file is seen by its inode, not by its name.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::error::chain;
use super::file::{ensure_file_absent, failed, update};
use super::lock::Object;
use super::{Context, Error, resolv};
use crate::fault;
use crate::model::{
    Endpoint, HostsFile, Id, Network, NetworkMode, Pool, ResolvConf, Run, Sandbox, State,
};
use crate::store::Store;

/// Where ip-netns(8) takes a namespace's own files in /etc from.
pub(super) const ETC_NETNS: &str = "/etc/netns";

impl Context {
    /// Makes the names right that an endpoint came or went with: the hosts files of all sandboxes on
    /// its network, and the resolver file of its own, for nobody else's changes. A file that cannot
    /// be written is told of, and stands in nobody's way: it may be a sandbox's that has nothing to do
    /// with the one at hand.
    pub(super) fn refresh_names(&mut self, endpoint: &Endpoint) -> Result<(), Error> {
        let _lock = self.lock(Object::Names)?;
        let names = Names::read(&self.store)?;
        let mut networks = names.networks.iter();
        if let Some(network) = networks.find(|network| network.id == endpoint.network) {
            self.ensure_linked(network, &names.endpoints)?;
        }
        let there: BTreeSet<&Id> = names
            .on_network(&endpoint.network)
            .map(|endpoint| &endpoint.sandbox)
            .collect();
        for sandbox in self.store.rows().sandboxes()? {
            if there.contains(&sandbox.id) {
                told(self.write_hosts(&sandbox, &names))?;
            }
            if sandbox.id == endpoint.sandbox {
                told(resolv::write(&sandbox, &names))?;
            }
        }
        Ok(())
    }

    /// Makes the resolver files of all sandboxes right, after the host's own changed.
    pub fn refresh_resolvers(&mut self) -> Result<(), Error> {
        let _lock = self.lock(Object::Names)?;
        let names = Names::read(&self.store)?;
        for sandbox in self.store.rows().sandboxes()? {
            told(resolv::write(&sandbox, &names))?;
        }
        Ok(())
    }

    /// Makes the files of one sandbox right.
    pub(super) fn write_names(&mut self, sandbox: &Sandbox) -> Result<(), Error> {
        let _lock = self.lock(Object::Names)?;
        let names = Names::read(&self.store)?;
        self.write_hosts(sandbox, &names)?;
        resolv::write(sandbox, &names)
    }

    /// Takes back what we wrote for a sandbox. The caller holds the names until the row is gone: whoever
    /// sees the row may write them again.
    pub(super) fn remove_names(sandbox: &Sandbox) -> Result<(), Error> {
        let Some(path) = hosts_path(sandbox) else {
            return Ok(());
        };
        told(resolv::remove(sandbox))?;
        if !sandbox.owns_hosts {
            return if path.exists() {
                told(update(&path, |present| {
                    HostsFile::default().render_into(present)
                }))
            } else {
                Ok(())
            };
        }
        ensure_file_absent(&path)?;
        if let Some(directory) = path.parent() {
            // Others may have files in it.
            let _ = fs::remove_dir(directory);
        }
        Ok(())
    }

    fn write_hosts(&mut self, sandbox: &Sandbox, names: &Names) -> Result<(), Error> {
        let Some(path) = hosts_path(sandbox) else {
            return Ok(());
        };
        let hosts = names.hosts_of(&sandbox.id);
        let mut owned = sandbox.owns_hosts;
        if !owned && !path.exists() {
            self.store.write(|rows| rows.set_owns_hosts(&sandbox.id))?;
            owned = true;
            fault::step();
        }
        if !owned {
            return update(&path, |present| hosts.render_into(present));
        }
        if let Some(directory) = path.parent()
            && !path.exists()
        {
            fs::create_dir_all(directory).map_err(failed("create", directory))?;
        }
        fault::step();
        update(&path, |_| hosts.render())
    }
}

/// Tells of a file that cannot be written, and goes on.
fn told(written: Result<(), Error>) -> Result<(), Error> {
    match written {
        Err(error @ Error::File { .. }) => {
            tracing::warn!(
                "warning: names are not as they should be: {}",
                chain(&error)
            );
            Ok(())
        }
        written => written,
    }
}

/// All that the files say, read at once.
pub(super) struct Names {
    /// All; one that is going has no name any more.
    endpoints: Vec<Endpoint>,
    /// What others on a network that tells names are told of each of them.
    told: Vec<HostsFile>,
    /// Networks whose endpoints know each other by name.
    telling: Vec<Network>,
    /// All networks.
    networks: Vec<Network>,
    /// Those of `run`, which have a host name and lines of the user's.
    runs: Vec<Run>,
    /// What this host asks others for.
    host: ResolvConf,
}

impl Names {
    pub(super) fn read(store: &Store) -> Result<Self, Error> {
        let rows = store.rows();
        let networks = rows.networks()?;
        let mut telling = networks.clone();
        telling.retain(Network::tells_names);
        let endpoints = rows.endpoints()?;
        Ok(Self {
            told: endpoints.iter().map(told_of).collect(),
            endpoints,
            telling,
            networks,
            runs: rows.runs()?,
            host: resolv::of_host(),
        })
    }

    /// The endpoints of a network, those that are going included.
    fn on_network<'a>(&'a self, network: &'a Id) -> impl Iterator<Item = &'a Endpoint> {
        self.endpoints
            .iter()
            .filter(move |endpoint| endpoint.network == *network)
    }

    /// What a sandbox should have as its resolver file; `None` where no network tells it names, but for
    /// a run, which always has one: the host's name servers, or those of `--dns`.
    pub(super) fn resolv_of(&self, sandbox: &Id) -> Option<ResolvConf> {
        let there = |e: &&Endpoint| e.sandbox == *sandbox && e.state != State::Deleting;
        let on = self.endpoints.iter().filter(there);
        let on = on.filter_map(|e| self.telling.iter().find(|network| network.id == e.network));
        let resolvers = on.filter_map(|network| {
            let gateway = network.bridge_addresses().next()?;
            Some((network.internal, gateway.addr()))
        });
        let run = self.run(sandbox);
        let given = run.map_or(&[][..], |run| &run.config.dns);
        let host = self.host.with_nameservers(given);
        // One resolver tells all that the sandbox may know; on an internal network it asks nobody.
        match resolvers.min_by_key(|(internal, _)| *internal) {
            Some((internal, resolver)) => Some(host.for_sandbox(resolver, internal)),
            None => run.map(|_| host),
        }
    }

    fn run(&self, sandbox: &Id) -> Option<&Run> {
        self.runs.iter().find(|run| run.id == *sandbox)
    }

    /// What a sandbox should know: the lines that the user gave it, those that it is linked to, itself
    /// on every network, and the others where names are told.
    fn hosts_of(&self, sandbox: &Id) -> HostsFile {
        let is_named = |endpoint: &&Endpoint| endpoint.state != State::Deleting;
        let tells = |e: &Endpoint| self.telling.iter().any(|network| network.id == e.network);
        let mine = |endpoint: &&Endpoint| endpoint.sandbox == *sandbox;
        let own: Vec<&Endpoint> = self
            .endpoints
            .iter()
            .filter(mine)
            .filter(is_named)
            .collect();
        let run = self.run(sandbox);
        let mut file = HostsFile::default();
        if let Some(run) = run {
            self.push_added(&mut file, run);
        }
        for endpoint in &own {
            self.push_linked(&mut file, endpoint);
        }
        for endpoint in &own {
            let mut names = run.map_or_else(Vec::new, own_names);
            if run.is_none() || tells(endpoint) {
                let known = names_of(endpoint, tells(endpoint));
                names.extend(known.filter(|n| !names.contains(n)).collect::<Vec<_>>());
            }
            push(&mut file, endpoint, &names);
        }
        for endpoint in own.iter().filter(|endpoint| tells(endpoint)) {
            for (other, lines) in self.endpoints.iter().zip(&self.told) {
                if other.network == endpoint.network && !mine(&other) {
                    file.append(lines);
                }
            }
        }
        file
    }

    /// The lines of an endpoint's links: on the default network alias, short id and name, as Docker's,
    /// on user-defined ones what the other is not called already.
    fn push_linked(&self, file: &mut HostsFile, endpoint: &Endpoint) {
        let mut networks = self.networks.iter();
        let network = networks.find(|network| network.id == endpoint.network);
        let is_default = network.is_some_and(Network::is_default);
        for link in &endpoint.links {
            let mut others = self.on_network(&endpoint.network);
            let other = others.find(|other| link.is_to(other) && other.state != State::Deleting);
            let Some(other) = other else {
                continue;
            };
            let mut names = vec![link.alias.as_str()];
            if is_default {
                let run = self.runs.iter().find(|run| run.id == other.sandbox);
                names.extend(run.map(|run| run.id.short()));
                names.push(other.name.as_str());
                let mut seen = BTreeSet::new();
                names.retain(|name| seen.insert(*name));
            } else if names_of(other, true).any(|name| name == names[0]) {
                continue;
            }
            push(file, other, &names);
        }
    }

    /// The lines of `--add-host`; `host-gateway` is the gateways of the first network.
    fn push_added(&self, file: &mut HostsFile, run: &Run) {
        let first = match &run.config.network {
            NetworkMode::Networks(names) => names.first(),
            _ => None,
        };
        let network = self
            .networks
            .iter()
            .find(|network| first.is_some_and(|first| network.name.as_str() == first));
        let gateways: Vec<IpAddr> = network
            .map(|network| network.pools.iter().map(Pool::gateway).collect())
            .unwrap_or_default();
        for host in &run.config.add_hosts {
            for address in host.address.map_or_else(|| gateways.clone(), |a| vec![a]) {
                file.push(address, &[&host.name]);
            }
        }
    }
}

/// What a run calls itself: its host name, and the first digits of its id.
fn own_names(run: &Run) -> Vec<String> {
    let mut names = vec![run.config.hostname.clone()];
    if names[0] != run.id.short() {
        names.push(run.id.short().into());
    }
    names
}

/// What others call an endpoint.
fn names_of(endpoint: &Endpoint, with_aliases: bool) -> impl Iterator<Item = String> {
    let aliases = endpoint.aliases.iter().filter(move |_| with_aliases);
    std::iter::once(&endpoint.name)
        .chain(aliases)
        .map(ToString::to_string)
}

/// What others are told of an endpoint; of one that is going, nothing.
fn told_of(endpoint: &Endpoint) -> HostsFile {
    let mut file = HostsFile::default();
    if endpoint.state != State::Deleting {
        push(
            &mut file,
            endpoint,
            &names_of(endpoint, true).collect::<Vec<_>>(),
        );
    }
    file
}

fn push(file: &mut HostsFile, endpoint: &Endpoint, names: &[impl AsRef<str>]) {
    for address in &endpoint.addresses {
        file.push(address.addr(), names);
    }
}

fn hosts_path(sandbox: &Sandbox) -> Option<PathBuf> {
    let name = sandbox.reference.netns_name()?;
    Some(Path::new(ETC_NETNS).join(name.as_str()).join("hosts"))
}
