//! Making the kernel be as the rows say, whatever happened in between.
//!
//! `sweep` runs at the start of every command: it looks for what is not as it should be, by a dump of
//! the links and looks at our table, the pins and the namespace files, and reconciles only that. `reconcile`
//! does all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::error::{Errors, chain};
use super::lock::{Lock, Object};
use super::sandbox::Liveness;
use super::{Context, Error};
use crate::kernel::bpf::Pinned;
use crate::kernel::cgroup;
use crate::kernel::netlink::{self, Link, Netlink};
use crate::kernel::netns::NetNs;
use crate::kernel::nft;
use crate::model::{Datapath, Endpoint, Id, Network, Sandbox, State};

impl Context {
    /// Makes every object right, waiting for commands that are at work on one. Goes on after an
    /// error.
    pub fn reconcile(&mut self) -> Result<(), Error> {
        let mut errors = Errors::default();
        for network in self.store.rows().networks()? {
            errors.note(self.reconcile_network(&network.id, true));
        }
        for run in self.store.rows().runs()? {
            errors.note(self.reconcile_run(&run.id, true));
        }
        for sandbox in self.store.rows().sandboxes()? {
            errors.note(self.reconcile_sandbox(&sandbox.id, true));
        }
        errors.into_result()
    }

    /// Makes right what is not, leaving alone what a running command is at work on.
    pub(super) fn sweep(&mut self) -> Result<(), Error> {
        let rows = self.store.rows();
        let (networks, sandboxes) = (rows.networks()?, rows.sandboxes()?);
        let (endpoints, runs) = (rows.endpoints()?, rows.runs()?);
        let mut errors = Errors::default();
        for run in &runs {
            if !self.run_is_right(run) {
                errors.note(self.reconcile_run(&run.id, false));
            }
        }
        if networks.is_empty() && sandboxes.is_empty() {
            return errors.into_result();
        }
        if !table_is_right(&networks) {
            errors.note(self.restore_table());
        }
        let pinned = Pinned::look();
        let all = netlink::links(&mut self.netlink)?;
        let links = all.iter().map(|link| (link.name.as_str(), link)).collect();
        for network in networks
            .iter()
            .filter(|network| !network_is_right(network, &pinned, &links))
        {
            errors.note(self.reconcile_network(&network.id, false));
        }
        if !self.uplinks_are_right(&networks, &all, &pinned)? {
            let _lock = self.lock(Object::Shared)?;
            errors.note(self.ensure_uplinks());
        }
        let unkept = self.unkept(&pinned)?;
        let wrong: BTreeSet<&Id> = endpoints
            .iter()
            .filter(|endpoint| {
                unkept.contains(&endpoint.id)
                    || !endpoint_is_right(endpoint, &networks, &pinned, &links)
            })
            .map(|endpoint| &endpoint.sandbox)
            .collect();
        let live = runs.iter().filter(|run| run.is_live()).map(|run| &run.id);
        let used: BTreeSet<&Id> = endpoints
            .iter()
            .map(|endpoint| &endpoint.sandbox)
            .chain(live)
            .collect();
        for sandbox in &sandboxes {
            let dormant = sandbox.boot_id != self.boot_id;
            let endpoints_are_right = dormant || !wrong.contains(&sandbox.id);
            let used = used.contains(&sandbox.id);
            if !(used && endpoints_are_right && self.namespace_is_right(sandbox)) {
                errors.note(self.reconcile_sandbox(&sandbox.id, false));
            }
        }
        errors.into_result()
    }

    /// Writes the table again, unless what was seen was a command's work on it.
    fn restore_table(&mut self) -> Result<(), Error> {
        let _lock = self.lock(Object::Shared)?;
        if table_is_right(&self.store.rows().networks()?) {
            return Ok(());
        }
        self.write_shared(None)
    }

    /// Endpoints whose published ports the host's own processes could take, and this host could keep.
    fn unkept(&self, pinned: &Pinned) -> Result<BTreeSet<Id>, Error> {
        if pinned.holds_published() {
            return Ok(BTreeSet::new());
        }
        let published = self.store.rows().published(&self.boot_id)?;
        if published.is_empty() || cgroup::root().is_none() {
            return Ok(BTreeSet::new());
        }
        let endpoints = published.into_iter().map(|p| p.publication.endpoint);
        Ok(endpoints.collect())
    }

    /// A cheap look, that a full one follows where it says no.
    fn namespace_is_right(&self, sandbox: &Sandbox) -> bool {
        let inode = fs::metadata(sandbox.reference.path())
            .map(|file| file.ino())
            .ok();
        if sandbox.boot_id == self.boot_id {
            inode == Some(sandbox.inode)
        } else {
            inode.is_none()
        }
    }

    /// Makes a network right, or finishes its removal. With `wait` unset, a network that a
    /// command is at work on is left to it.
    pub(super) fn reconcile_network(&mut self, id: &Id, wait: bool) -> Result<(), Error> {
        let Some(_lock) = self.lock_or_leave(id, wait)? else {
            return Ok(());
        };
        // It may have been made, or removed, while we waited.
        match self.store.rows().network(id)? {
            None => Ok(()),
            Some(network) if network.state == State::Ready => self.ensure_network(&network),
            Some(network) => self.finish_removal(&network),
        }
    }

    /// Makes a sandbox's endpoints right, or gone with it.
    pub(super) fn reconcile_sandbox(&mut self, id: &Id, wait: bool) -> Result<(), Error> {
        let Some(_lock) = self.lock_or_leave(id, wait)? else {
            return Ok(());
        };
        // Its end may have been cut off since we looked; what it has besides endpoints goes first.
        self.settle_run(id)?;
        let Some(sandbox) = self.store.rows().sandbox(id)? else {
            return Ok(());
        };
        if sandbox.boot_id != self.boot_id {
            // Indices begin anew with every boot: the old ones may be other ports' by now.
            self.store.write(|rows| rows.forget_ifindexes(id))?;
        }
        let liveness = self.liveness(&sandbox)?;
        if let Liveness::Returned(namespace) = &liveness {
            let is = namespace.id();
            let boot_id = &self.boot_id;
            self.store
                .write(|rows| rows.set_sandbox_identity(id, boot_id, is.cookie, is.inode))?;
        }
        let mut errors = Errors::default();
        for endpoint in self.store.rows().endpoints_in_sandbox(id)? {
            errors.note(self.reconcile_endpoint(&endpoint, &liveness));
        }
        errors.note(self.release_sandbox(id));
        errors.into_result()
    }

    pub(super) fn lock_or_leave(&self, id: &Id, wait: bool) -> Result<Option<Lock>, Error> {
        if wait {
            self.lock(Object::Id(id)).map(Some)
        } else {
            self.try_lock(Object::Id(id))
        }
    }

    fn reconcile_endpoint(
        &mut self,
        endpoint: &Endpoint,
        liveness: &Liveness,
    ) -> Result<(), Error> {
        let Some(network) = self.store.rows().network(&endpoint.network)? else {
            return Ok(());
        };
        if endpoint.state != State::Ready {
            return self.remove_endpoint(&network, &endpoint.id);
        }
        match liveness {
            Liveness::Alive(namespace) | Liveness::Returned(namespace) => {
                self.restore(&network, endpoint, namespace)
            }
            Liveness::Unreachable | Liveness::Dormant => Ok(()),
            Liveness::Gone => self.remove_endpoint(&network, &endpoint.id),
        }
    }

    fn restore(
        &mut self,
        network: &Network,
        endpoint: &Endpoint,
        namespace: &NetNs,
    ) -> Result<(), Error> {
        let mut inside = Netlink::open_in(namespace)?;
        self.ensure_endpoint(network, endpoint, namespace, &mut inside)?;
        if let Err(error) = self.check_unserved(endpoint) {
            // It is the endpoint's all the same; the server there gets nothing any more from outside.
            tracing::warn!("warning: {}: {}", endpoint.name, chain(&error));
        }
        self.refresh_names(endpoint)
    }
}

/// A flushed table keeps nothing apart. One that cannot be looked at is written again, where nft says
/// why it cannot be.
fn table_is_right(networks: &[Network]) -> bool {
    let ready = networks.iter().any(|n| n.state == State::Ready);
    !ready || nft::is_whole().unwrap_or(false)
}

fn network_is_right(network: &Network, pinned: &Pinned, links: &BTreeMap<&str, &Link>) -> bool {
    network.state == State::Ready
        && pinned.has_programs()
        && pinned.holds_bridge(network.id.as_str())
        && links
            .get(network.bridge.as_str())
            .is_some_and(|bridge| bridge.up && bridge.mac == Some(network.bridge_mac.bytes()))
}

fn endpoint_is_right(
    endpoint: &Endpoint,
    networks: &[Network],
    pinned: &Pinned,
    links: &BTreeMap<&str, &Link>,
) -> bool {
    let network = networks
        .iter()
        .find(|network| network.id == endpoint.network);
    let bridge = network.and_then(|network| links.get(network.bridge.as_str()));
    let leg = links.get(endpoint.host_leg().as_str()).copied();
    endpoint.state == State::Ready
        && pinned.holds(
            endpoint.id.as_str(),
            network.is_some_and(|network| network.datapath == Datapath::Xdp),
        )
        && leg.zip(bridge).is_some_and(|(leg, bridge)| {
            leg.up && Some(leg.index) == endpoint.ifindex && leg.master == Some(bridge.index)
        })
}
