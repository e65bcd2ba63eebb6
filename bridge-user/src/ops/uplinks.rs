//! The links to the outside, where the programs are that take flows to published ports past the
//! firewall once it has let them through.

use std::collections::BTreeSet;

use super::error::Errors;
use super::{Context, Error};
use crate::fault;
use crate::kernel::netlink::{self, Link, Netlink, NetlinkError};
use crate::kernel::{bpf, nft, sysctl};
use crate::model::{Endpoint, FlowLinks, Network, OthersRules, SavedSysctl, SysctlGroup};

/// What comes past the firewall is not seen by connection tracking, which would take the next packet
/// that it does see for one of another connection. nf_flow_table has it so for its flows.
const LIBERAL: &str = "netfilter/nf_conntrack_tcp_be_liberal";

/// Nor does it see each acknowledgement: it would forget a connection that is silent then after these
/// seconds, not those of an established one.
const UNACKNOWLEDGED: &str = "netfilter/nf_conntrack_tcp_timeout_unacknowledged";
const ESTABLISHED: &str = "netfilter/nf_conntrack_tcp_timeout_established";

/// What networks publish by this road, and where.
struct Flows {
    /// The uplinks that may have the programs, by index.
    uplinks: BTreeSet<u32>,
    /// All that flows come and go by.
    links: FlowLinks,
    /// Something whose flows pass by whatever others' rules are.
    asked: bool,
    /// Something whose flows pass by as long as these let them.
    left: bool,
    /// What they ask; `None` where they have to be looked at.
    rules: Option<OthersRules>,
}

impl Flows {
    fn may_be(&self) -> bool {
        self.asked || self.left
    }

    fn rules_let_pass(&self) -> bool {
        self.rules == Some(OthersRules::LetFlowsPass)
    }

    /// Whether any pass by, with or without an uplink: connections that began while there was one go on.
    fn are(&self) -> bool {
        self.asked || (self.left && self.rules_let_pass())
    }

    /// The uplinks that are to have the programs.
    fn wanted(&self) -> BTreeSet<u32> {
        if self.are() {
            self.uplinks.clone()
        } else {
            BTreeSet::new()
        }
    }
}

impl Context {
    /// Makes the programs be at every uplink as long as something is published by them, and nowhere
    /// else. The caller holds what all share.
    pub(super) fn ensure_uplinks(&mut self) -> Result<(), Error> {
        let networks = self.store.rows().networks()?;
        let links = netlink::links(&mut self.netlink)?;
        let mut flows = self.flows(&networks, &links)?;
        if flows.left && flows.rules.is_none() {
            flows.rules = Some(self.look_at_others_rules(&flows.links)?);
        }
        let wanted = flows.wanted();
        let there = at_uplinks(&bpf::Pinned::look(), &networks, &links)?;
        let mut errors = Errors::default();
        if flows.are() {
            // Nothing passes the firewall by before connection tracking puts up with it.
            self.ensure_tracking_puts_up()?;
        }
        if flows.may_be() && !flows.rules_let_pass() {
            bpf::ensure_passing(false)?;
            fault::step();
        }
        for link in links.iter().filter(|link| wanted.contains(&link.index)) {
            errors.note(bpf::ensure_uplink(link.index, &link.name));
        }
        if flows.may_be() && flows.rules_let_pass() {
            errors.note(bpf::ensure_passing(true));
            fault::step();
        }
        for gone in there.any().difference(&wanted) {
            errors.note(bpf::ensure_uplink_absent(*gone));
        }
        if !flows.may_be() {
            errors.note(self.put_back(SysctlGroup::Netfilter));
        }
        errors.into_result()
    }

    /// Whether all is as `ensure_uplinks` makes it.
    pub(super) fn uplinks_are_right(
        &mut self,
        networks: &[Network],
        links: &[Link],
        pinned: &bpf::Pinned,
    ) -> Result<bool, Error> {
        let flows = self.flows(networks, links)?;
        let wanted = flows.wanted();
        let there = at_uplinks(pinned, networks, links)?;
        if !there.are(&wanted) || (flows.left && flows.rules.is_none()) {
            return Ok(false);
        }
        let passes = Some(flows.rules_let_pass());
        Ok(!flows.may_be()
            || bpf::is_passing() == passes && (!flows.are() || tracking_to_change().is_empty()))
    }

    fn flows(&mut self, networks: &[Network], links: &[Link]) -> Result<Flows, Error> {
        let rows = self.store.rows();
        let publishing = rows.publishing_networks(&self.boot_id)?;
        let by_flows = networks.iter().filter(|network| {
            !self.nothing_shared && network.has_flows() && publishing.contains(&network.id)
        });
        let (asked, left): (Vec<_>, Vec<_>) = by_flows.partition(|n| n.asks_for_flows());
        let mut flows = Flows {
            uplinks: BTreeSet::new(),
            links: FlowLinks::default(),
            asked: !asked.is_empty(),
            left: !left.is_empty(),
            rules: None,
        };
        if !flows.may_be() {
            return Ok(flows);
        }
        let uplinks = uplinks(&mut self.netlink, networks, links)?;
        flows.uplinks = uplinks.iter().map(|link| link.index).collect();
        flows.links = flow_links(&uplinks, networks);
        // nf_tables counts its transactions, so with a new rule our table is written again;
        // iptables-legacy counts nothing.
        let is_outdated = |rules: &OthersRules| {
            *rules == OthersRules::LetFlowsPass && nft::legacy_tables().is_some()
        };
        let rules = self.store.rows().others_rules(&flows.links)?;
        flows.rules = rules.filter(|rules| !flows.left || !is_outdated(rules));
        Ok(flows)
    }

    /// What rules of others there are is to be looked at again.
    pub(super) fn forget_others_rules(&mut self) -> Result<(), Error> {
        if self.store.rows().has_others_rules()? {
            self.store.write(|rows| rows.set_others_rules(None))?;
            fault::step();
        }
        Ok(())
    }

    /// Rules that cannot be read may ask for anything, and are looked at again by the next command.
    fn look_at_others_rules(&mut self, links: &FlowLinks) -> Result<OthersRules, Error> {
        let read = nft::Ruleset::read_rules();
        let rules = match read.and_then(|ruleset| nft::others_rules(&ruleset, links)) {
            Ok(rules) => rules,
            Err(error) => {
                tracing::warn!(
                    "warning: every packet goes by the firewall, for its rules cannot be read: {error}"
                );
                return Ok(OthersRules::SeeEachPacket(error.to_string()));
            }
        };
        tracing::info!("rules of others: {rules:?}");
        self.store
            .write(|rows| rows.set_others_rules(Some((&rules, links))))?;
        fault::step();
        Ok(rules)
    }

    /// What it was is recorded first: who comes after a crash can put it back.
    fn ensure_tracking_puts_up(&mut self) -> Result<(), Error> {
        let changes = tracking_to_change();
        if changes.is_empty() {
            return Ok(());
        }
        let Self { store, boot_id, .. } = self;
        store.write(|rows| rows.save_sysctls(boot_id, &changes))?;
        fault::step();
        for SavedSysctl { key, ours, .. } in &changes {
            sysctl::write(key, ours)?;
            fault::step();
        }
        Ok(())
    }
}

/// The links that are uplinks: those that default routes leave by, and hardware; of Ethernet, for others have
/// no MAC addresses. Frames of a bridge's ports come by it. Where others leave the programs no room, the firewall
/// is alone.
pub(super) fn uplinks<'l>(
    netlink: &mut Netlink,
    networks: &[Network],
    links: &'l [Link],
) -> Result<Vec<&'l Link>, NetlinkError> {
    let default = netlink::default_links(netlink)?;
    let without_room = bpf::links_without_room(netlink)?;
    let is_uplink = |link: &&Link| {
        link.ethernet
            && link.master.is_none()
            && (link.kind.is_none() || default.contains(&link.index))
            && !is_ours(link, networks)
            && !without_room.contains(&link.index)
    };
    Ok(links.iter().filter(is_uplink).collect())
}

/// What flows come and go by, with these uplinks.
pub(super) fn flow_links(uplinks: &[&Link], networks: &[Network]) -> FlowLinks {
    let uplinks = uplinks.iter().map(|link| link.name.as_str());
    let bridges = networks.iter().map(|network| network.bridge.as_str());
    uplinks.chain(bridges).collect()
}

fn is_ours(link: &Link, networks: &[Network]) -> bool {
    Endpoint::is_host_leg(&link.name) || networks.iter().any(|n| n.bridge.as_str() == link.name)
}

fn at_uplinks(
    pinned: &bpf::Pinned,
    networks: &[Network],
    links: &[Link],
) -> Result<bpf::AtUplinks, Error> {
    let ours = links.iter().filter(|link| is_ours(link, networks));
    let ours: BTreeSet<u32> = ours.map(|link| link.index).collect();
    Ok(bpf::AtUplinks::look(pinned, |index| ours.contains(&index))?)
}

/// What of connection tracking has to be otherwise for it to put up with flows that pass by.
fn tracking_to_change() -> Vec<SavedSysctl> {
    let change = |key: &str, before: String, ours: &str| SavedSysctl {
        key: key.into(),
        before,
        ours: ours.into(),
    };
    let mut changes = Vec::new();
    if let Some(before) = sysctl::read(LIBERAL).filter(|is| is == "0") {
        changes.push(change(LIBERAL, before, "1"));
    }
    let seconds = |text: &str| text.parse::<u64>().ok();
    if let Some(before) = sysctl::read(UNACKNOWLEDGED)
        && let Some(established) = sysctl::read(ESTABLISHED)
        && seconds(&before) < seconds(&established)
    {
        changes.push(change(UNACKNOWLEDGED, before, &established));
    }
    changes
}
