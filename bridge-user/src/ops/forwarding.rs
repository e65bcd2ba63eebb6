//! Whether the host forwards packets: where a network leads out of it, and else as it did before.

use super::error::Errors;
use super::{Context, Error};
use crate::fault;
use crate::kernel::sysctl;
use crate::model::{Endpoint, Network, SysctlGroup};

impl Context {
    /// Makes the host forward the families that these networks need, and no other unless it did
    /// before. The caller holds what all share.
    pub(super) fn ensure_forwarding(&mut self, networks: &[&Network]) -> Result<(), Error> {
        let mut errors = Errors::default();
        for ipv6 in [false, true] {
            if networks.iter().any(|n| n.needs_forwarding(ipv6)) {
                errors.note(self.turn_forwarding_on(ipv6, networks));
            } else {
                errors.note(self.put_back(group(ipv6)));
            }
        }
        errors.into_result()
    }

    /// What is changed is recorded first: who comes after a crash can put it back.
    fn turn_forwarding_on(&mut self, ipv6: bool, networks: &[&Network]) -> Result<(), Error> {
        let is_ours = |link: &str| {
            Endpoint::is_host_leg(link) || networks.iter().any(|n| n.bridge.as_str() == link)
        };
        let Some(plan) = sysctl::forwarding_plan(ipv6, is_ours) else {
            return Ok(());
        };
        let Self { store, boot_id, .. } = self;
        store.write(|rows| rows.save_sysctls(boot_id, &plan.saved))?;
        fault::step();
        for (key, value) in &plan.changes {
            sysctl::write(key, value)?;
            fault::step();
        }
        Ok(())
    }

    /// Puts back what was changed of a group.
    pub(super) fn put_back(&mut self, group: SysctlGroup) -> Result<(), Error> {
        let saved = self.store.rows().saved_sysctls(&self.boot_id, group)?;
        let mut errors = Errors::default();
        for sysctl in &saved {
            errors.note(sysctl::put_back(sysctl));
            fault::step();
        }
        errors.into_result()?;
        if !saved.is_empty() {
            self.store.write(|rows| rows.forget_sysctls(group))?;
        }
        Ok(())
    }
}

fn group(ipv6: bool) -> SysctlGroup {
    if ipv6 {
        SysctlGroup::Ipv6
    } else {
        SysctlGroup::Ipv4
    }
}
