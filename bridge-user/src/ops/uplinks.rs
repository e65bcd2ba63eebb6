//! The links to the outside, where the programs are that take flows to published ports past the
//! firewall once it has let them through.

use std::collections::BTreeSet;

use super::error::Errors;
use super::{Context, Error};
use crate::fault;
use crate::kernel::netlink::{self, Link};
use crate::kernel::{bpf, sysctl};
use crate::model::{Endpoint, Id, Network, SavedSysctl, SysctlGroup};

/// What comes past the firewall is not seen by connection tracking, which would take the next packet
/// that it does see for one of another connection. nf_flow_table has it so for its flows.
const LIBERAL: &str = "netfilter/nf_conntrack_tcp_be_liberal";

impl Context {
    /// Makes the programs be at every uplink as long as something is published by them, and nowhere
    /// else. The caller holds what all share.
    pub(super) fn ensure_uplinks(&mut self) -> Result<(), Error> {
        let there = bpf::Pinned::look().uplinks();
        let networks = self.store.rows().networks()?;
        let links = netlink::links(&mut self.netlink)?;
        let wanted = self.uplinks(&networks, &links)?;
        let have_flows = self.have_flows(&networks)?;
        if have_flows {
            // Nothing passes the firewall by before connection tracking puts up with it.
            self.be_liberal()?;
        }
        let mut errors = Errors::default();
        for link in links.iter().filter(|link| wanted.contains(&link.index)) {
            errors.note(bpf::ensure_uplink(link.index, &link.name));
        }
        for gone in there.difference(&wanted) {
            errors.note(bpf::ensure_uplink_absent(*gone));
        }
        if !have_flows {
            errors.note(self.put_back(SysctlGroup::Netfilter));
        }
        errors.into_result()
    }

    /// The uplinks that are to have the programs, by index: those that default routes leave by, and
    /// hardware; of Ethernet, for others have no MAC addresses. Frames of a bridge's ports come by it.
    pub(super) fn uplinks(
        &mut self,
        networks: &[Network],
        links: &[Link],
    ) -> Result<BTreeSet<u32>, Error> {
        if !self.have_flows(networks)? {
            return Ok(BTreeSet::new());
        }
        let default = netlink::default_links(&mut self.netlink)?;
        let is_ours = |link: &Link| {
            Endpoint::is_host_leg(&link.name)
                || networks.iter().any(|n| n.bridge.as_str() == link.name)
        };
        let is_uplink = |link: &&Link| {
            link.ethernet
                && link.master.is_none()
                && (link.kind.is_none() || default.contains(&link.index))
                && !is_ours(link)
        };
        Ok(links
            .iter()
            .filter(is_uplink)
            .map(|link| link.index)
            .collect())
    }

    /// Whether connection tracking puts up with what passes it by, where something may.
    pub(super) fn is_liberal(&self, networks: &[Network]) -> Result<bool, Error> {
        Ok(!self.have_flows(networks)? || sysctl::read(LIBERAL).as_deref() != Some("0"))
    }

    /// Whether a network publishes something by this road, with or without an uplink: connections that
    /// began while there was one go on.
    fn have_flows(&self, networks: &[Network]) -> Result<bool, Error> {
        let publishing = self.store.rows().publishing_networks(&self.boot_id)?;
        let has_flows = |id: &Id| {
            let network = networks.iter().find(|network| network.id == *id);
            network.is_some_and(Network::has_flows)
        };
        Ok(bpf::has_links() && publishing.iter().any(has_flows))
    }

    /// What it was is recorded first: who comes after a crash can put it back.
    fn be_liberal(&mut self) -> Result<(), Error> {
        if sysctl::read(LIBERAL).as_deref() != Some("0") {
            return Ok(());
        }
        let saved = [SavedSysctl {
            key: LIBERAL.into(),
            before: "0".into(),
            ours: "1".into(),
        }];
        let Self { store, boot_id, .. } = self;
        store.write(|rows| rows.save_sysctls(boot_id, &saved))?;
        fault::step();
        sysctl::write(LIBERAL, "1")?;
        fault::step();
        Ok(())
    }
}
