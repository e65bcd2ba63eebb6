//! Removing everything of ours from the host.

use std::fs;
use std::io;

use super::error::{Errors, chain};
use super::file::{ensure_file_absent, failed};
use super::lock::{LockFile, Object};
use super::publish::{RESERVED, host_ports};
use super::run::RUNS;
use super::{Config, Context, Error, Paths, names};
use crate::kernel::bpf::BpfError;
use crate::kernel::netlink::{self, Link, Netlink};
use crate::kernel::netns::{self, NetNs};
use crate::kernel::{bpf, nft, probe, reserved_ports, sysctl};
use crate::model::{Endpoint, Network, Published, Sandbox, SavedSysctl, SysctlGroup};
use crate::store::{Reader, Rows, Store, StoreError};

/// Files in the state directory that are ours.
const FILES: [&str; 4] = ["state.db", "state.db-wal", "state.db-shm", "lock"];

/// Removes everything: endpoints and networks by their rows, then what is left by its name. With
/// `lost` it also does when the state is lost, or cannot be read; without it, what another state
/// has, and a file that is no state, is not touched. Goes on after an error.
pub fn purge(paths: &Paths, lost: bool) -> Result<(), Error> {
    probe::check()?;
    let config = Config::read(paths.config.as_deref())?;
    let state_directory = &paths.state;
    Store::ensure_directory(state_directory)?;
    let locks = LockFile::new(state_directory);
    let _alone = locks.state(true).map_err(locks.failed())?;
    let mut errors = Errors::default();
    match Context::open_in_use(paths, config, locks, None) {
        Ok(mut context) => {
            // What could not be removed stays known.
            context.remove_everything()?;
        }
        Err(error @ Error::OtherHost(_)) => return Err(error),
        Err(error) if lost || is_of_another_version(&error) => {
            tracing::warn!(
                "warning: only what names tell is removed: {}",
                chain(&error)
            );
            if is_of_another_layout(&error) {
                errors.note(take_back_known(paths));
            }
        }
        Err(error) => return Err(error),
    }
    let mut netlink = Netlink::open()?;
    for link in errors
        .note(netlink::links(&mut netlink))
        .unwrap_or_default()
    {
        if is_ours(&link) {
            errors.note(netlink::delete_link(&mut netlink, &link.name));
        }
    }
    errors.note(nft::ensure_table_absent());
    errors.note(bpf::purge());
    for file in FILES {
        errors.note(ensure_file_absent(&state_directory.join(file)));
    }
    let runs = state_directory.join(RUNS);
    match fs::remove_dir_all(&runs) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            errors.note::<()>(Err(failed("remove", &runs)(e)));
        }
        _ => {}
    }
    // Somebody may keep files of their own there.
    let _ = fs::remove_dir(state_directory);
    errors.into_result()
}

/// The state or the pins are ours, but of a version that we cannot read.
fn is_of_another_version(error: &Error) -> bool {
    is_of_another_layout(error) || matches!(error, Error::Store(StoreError::SchemaVersion { .. }))
}

/// The pins are, and the state can be read.
fn is_of_another_layout(error: &Error) -> bool {
    matches!(error, Error::Bpf(BpfError::Layout { .. }))
}

/// What the state knows that names of links do not tell.
struct Known {
    sysctls: Vec<SavedSysctl>,
    /// What was reserved before, and what was published.
    reserved: Option<(SavedSysctl, Vec<Published>)>,
    sandboxes: Vec<Sandbox>,
}

impl Known {
    fn read(rows: Rows<'_>, boot_id: &str) -> Result<Self, StoreError> {
        let mut sysctls = Vec::new();
        for group in SysctlGroup::ALL {
            sysctls.extend(rows.saved_sysctls(boot_id, group)?);
        }
        let published = rows.published(boot_id)?;
        let reserved = rows.saved_sysctl(boot_id, RESERVED)?;
        Ok(Self {
            sysctls,
            reserved: reserved.map(|before| (before, published)),
            sandboxes: rows.sandboxes()?,
        })
    }

    /// Takes it back. Goes on after an error.
    fn take_back(&self) -> Result<(), Error> {
        let mut errors = Errors::default();
        for sysctl in &self.sysctls {
            errors.note(sysctl::put_back(sysctl));
        }
        if let Some((reserved, published)) = &self.reserved {
            let ours = &host_ports(published) - &reserved_ports::parse(&reserved.before);
            if let Some(now) = errors.note(reserved_ports::reserved_ports()) {
                errors.note(reserved_ports::set_reserved(&(&now - &ours)));
            }
        }
        for sandbox in &self.sandboxes {
            errors.note(names::remove(sandbox));
            if let Some(name) = sandbox.reference.netns_name().filter(|_| sandbox.created) {
                errors.note(NetNs::ensure_name_absent(name.as_str(), sandbox.cookie));
            }
        }
        errors.into_result()
    }
}

/// Takes back what the state knows, whatever the pins are.
fn take_back_known(paths: &Paths) -> Result<(), Error> {
    let boot_id = netns::boot_id()?;
    let read = Reader::new(&paths.state).if_changed(|rows| {
        let known = rows.map(|rows| Known::read(rows, &boot_id));
        known.transpose()
    })?;
    read.flatten().map_or(Ok(()), |known| known.take_back())
}

/// Bridges and host legs have names that nobody else gives.
fn is_ours(link: &Link) -> bool {
    match link.kind.as_deref() {
        Some("veth") => Endpoint::is_host_leg(&link.name),
        Some("bridge") => Network::is_bridge_name(&link.name),
        _ => false,
    }
}

impl Context {
    fn remove_everything(&mut self) -> Result<(), Error> {
        let mut errors = Errors::default();
        for run in self.store.rows().runs()? {
            let _lock = self.lock(Object::Id(&run.id))?;
            errors.note(self.discard(&run.id));
        }
        for sandbox in self.store.rows().sandboxes()? {
            let _lock = self.lock(Object::Id(&sandbox.id))?;
            for endpoint in self.store.rows().endpoints_in_sandbox(&sandbox.id)? {
                if let Some(network) = self.store.rows().network(&endpoint.network)? {
                    errors.note(self.remove_endpoint(&network, &endpoint.id));
                }
            }
            if self
                .store
                .rows()
                .endpoints_in_sandbox(&sandbox.id)?
                .is_empty()
            {
                errors.note(self.release_sandbox(&sandbox.id));
            }
        }
        for network in self.store.rows().networks()? {
            let _lock = self.lock(Object::Id(&network.id))?;
            if self
                .store
                .rows()
                .endpoints_of_network(&network.id)?
                .is_empty()
            {
                errors.note(self.finish_removal(&network));
            }
        }
        errors.into_result()
    }
}
