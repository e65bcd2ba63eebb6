//! The links to the outside, where the programs are that take flows to published ports past the
//! firewall once it has let them through.

use std::collections::BTreeSet;

use super::error::Errors;
use super::{Context, Error};
use crate::fault;
use crate::kernel::netlink::{self, Link};
use crate::kernel::{bpf, nft, sysctl};
use crate::model::{Endpoint, Network, OthersRules, SavedSysctl, SysctlGroup};

/// What comes past the firewall is not seen by connection tracking, which would take the next packet
/// that it does see for one of another connection. nf_flow_table has it so for its flows.
const LIBERAL: &str = "netfilter/nf_conntrack_tcp_be_liberal";

/// Nor does it see each acknowledgement: it would forget a connection that is silent then after these
/// seconds, not those of an established one.
const UNACKNOWLEDGED: &str = "netfilter/nf_conntrack_tcp_timeout_unacknowledged";
const ESTABLISHED: &str = "netfilter/nf_conntrack_tcp_timeout_established";

impl Context {
    /// Makes the programs be at every uplink as long as something is published by them, and nowhere
    /// else. The caller holds what all share.
    pub(super) fn ensure_uplinks(&mut self) -> Result<(), Error> {
        let there = bpf::Pinned::look().uplinks();
        let networks = self.store.rows().networks()?;
        let may_have_flows = self.may_have_flows(&networks)?;
        if may_have_flows && self.others_rules()?.is_none() {
            self.look_at_others_rules()?;
        }
        let links = netlink::links(&mut self.netlink)?;
        let wanted = self.uplinks(&networks, &links)?;
        let mut errors = Errors::default();
        if self.have_flows(&networks)? {
            // Nothing passes the firewall by before connection tracking puts up with it.
            self.have_tracking_bear_with_it()?;
        }
        for link in links.iter().filter(|link| wanted.contains(&link.index)) {
            errors.note(bpf::ensure_uplink(link.index, &link.name));
        }
        if may_have_flows {
            let passes = self.rules_let_pass()?;
            errors.note(bpf::ensure_passing(passes));
        }
        for gone in there.difference(&wanted) {
            errors.note(bpf::ensure_uplink_absent(*gone));
        }
        if !may_have_flows {
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

    /// Whether others' rules were looked at, where flows may pass by, and connection tracking puts up with
    /// those that do.
    pub(super) fn flows_are_right(&self, networks: &[Network]) -> Result<bool, Error> {
        if !self.may_have_flows(networks)? {
            return Ok(true);
        }
        let is_borne = !self.have_flows(networks)? || unborne().is_empty();
        Ok(is_borne && self.others_rules()?.is_some())
    }

    /// Whether a network publishes something that may pass the firewall by, with or without an uplink.
    fn may_have_flows(&self, networks: &[Network]) -> Result<bool, Error> {
        Ok(!self.publishing_by_flows(networks)?.is_empty())
    }

    /// Whether what it publishes does: connections that began while there was an uplink go on.
    fn have_flows(&self, networks: &[Network]) -> Result<bool, Error> {
        let publishing = self.publishing_by_flows(networks)?;
        let asks = publishing.iter().any(|network| network.asks_for_flows());
        Ok(asks || (!publishing.is_empty() && self.rules_let_pass()?))
    }

    fn publishing_by_flows<'n>(&self, networks: &'n [Network]) -> Result<Vec<&'n Network>, Error> {
        if !bpf::has_links() {
            return Ok(Vec::new());
        }
        let publishing = self.store.rows().publishing_networks(&self.boot_id)?;
        let mut networks: Vec<&Network> = networks.iter().collect();
        networks.retain(|network| network.has_flows() && publishing.contains(&network.id));
        Ok(networks)
    }

    /// Whether no rule of others has to see each packet, as far as they were looked at.
    fn rules_let_pass(&self) -> Result<bool, Error> {
        Ok(self.others_rules()? == Some(OthersRules::LetFlowsPass))
    }

    /// `None` where they are to be looked at. nf_tables counts its transactions, so with a new rule our table
    /// is written again; iptables-legacy counts nothing.
    fn others_rules(&self) -> Result<Option<OthersRules>, Error> {
        let known = self.store.rows().others_rules()?;
        let is_outdated =
            |rules: &_| *rules == OthersRules::LetFlowsPass && nft::legacy_tables().is_some();
        Ok(known.filter(|rules| !is_outdated(rules)))
    }

    /// What rules of others there are is to be looked at again.
    pub(super) fn forget_others_rules(&mut self) -> Result<(), Error> {
        if self.store.rows().others_rules()?.is_some() {
            self.store.write(|rows| rows.set_others_rules(None))?;
            fault::step();
        }
        Ok(())
    }

    fn look_at_others_rules(&mut self) -> Result<(), Error> {
        let rules = nft::others_rules(&nft::Ruleset::read());
        tracing::info!("rules of others: {rules:?}");
        self.store
            .write(|rows| rows.set_others_rules(Some(&rules)))?;
        fault::step();
        Ok(())
    }

    /// What it was is recorded first: who comes after a crash can put it back.
    fn have_tracking_bear_with_it(&mut self) -> Result<(), Error> {
        let saved = unborne();
        if saved.is_empty() {
            return Ok(());
        }
        let Self { store, boot_id, .. } = self;
        store.write(|rows| rows.save_sysctls(boot_id, &saved))?;
        fault::step();
        for SavedSysctl { key, ours, .. } in &saved {
            sysctl::write(key, ours)?;
            fault::step();
        }
        Ok(())
    }
}

/// What connection tracking has to have otherwise to bear with flows that pass by.
fn unborne() -> Vec<SavedSysctl> {
    let otherwise = |key: &str, before: String, ours: &str| SavedSysctl {
        key: key.into(),
        before,
        ours: ours.into(),
    };
    let mut unborne = Vec::new();
    if let Some(before) = sysctl::read(LIBERAL).filter(|is| is == "0") {
        unborne.push(otherwise(LIBERAL, before, "1"));
    }
    let seconds = |text: &str| text.parse::<u64>().ok();
    if let (Some(before), Some(established)) =
        (sysctl::read(UNACKNOWLEDGED), sysctl::read(ESTABLISHED))
        && seconds(&before) < seconds(&established)
    {
        unborne.push(otherwise(UNACKNOWLEDGED, before, &established));
    }
    unborne
}
