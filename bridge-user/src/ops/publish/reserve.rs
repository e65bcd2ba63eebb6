//! Published ports in the range that the kernel chooses from: it is kept from them. What was reserved before
//! is recorded first, so that it stays when the last publication goes.

use std::collections::BTreeSet;

use super::super::{Context, Error};
use crate::fault;
use crate::kernel::reserved_ports::{self, parse, reserved_ports};
use crate::kernel::sockets;
use crate::model::{Endpoint, Published, SavedSysctl};

/// Under which name the state knows the sysctl: forwarding's are put back by others.
const KEY: &str = "ip_local_reserved_ports";

impl Context {
    /// Makes the kernel choose none of these ports for anybody. The caller holds what all share.
    pub(super) fn ensure_reserved(&mut self, published: &[Published]) -> Result<(), Error> {
        let range = sockets::free_port_range();
        let mut ports = host_ports(published);
        ports.retain(|port| range.contains(port));
        if ports.is_empty() {
            return Ok(());
        }
        let before = reserved_ports()?;
        let Self { store, boot_id, .. } = self;
        if store.rows().saved_sysctl(boot_id, KEY)?.is_none() {
            let saved = SavedSysctl {
                key: KEY.into(),
                before: reserved_ports::format(&before),
                ours: String::new(),
            };
            store.write(|rows| rows.save_sysctls(boot_id, &[saved]))?;
            fault::step();
        }
        reserved_ports::reserve(&(&ports - &before))?;
        fault::step();
        Ok(())
    }

    /// Lets the kernel choose them again, unless somebody else has one of them published, or reserved it
    /// before we did.
    pub(super) fn ensure_not_reserved(
        &mut self,
        endpoint: &Endpoint,
        published: &[Published],
    ) -> Result<(), Error> {
        let rows = self.store.rows();
        let Some(saved) = rows.saved_sysctl(&self.boot_id, KEY)? else {
            return Ok(());
        };
        let mut going = &host_ports(published) - &parse(&saved.before);
        for port in going.clone() {
            if rows.is_published_by_others(port, &endpoint.id)? {
                going.remove(&port);
            }
        }
        let now = reserved_ports()?;
        let left = &now - &going;
        if left != now {
            reserved_ports::set_reserved(&left)?;
            fault::step();
        }
        Ok(())
    }

    /// Forgets what was reserved before: nothing is published any more.
    pub(in crate::ops) fn forget_reserved(&mut self) -> Result<(), Error> {
        if self
            .store
            .rows()
            .saved_sysctl(&self.boot_id, KEY)?
            .is_some()
        {
            self.store.write(|rows| rows.forget_sysctl(KEY))?;
        }
        Ok(())
    }
}

fn host_ports(published: &[Published]) -> BTreeSet<u16> {
    let publications = published.iter().map(|published| &published.publication);
    publications
        .map(|publication| publication.host_port)
        .collect()
}
