//! Removing everything of ours from the host.

use std::fs;
use std::io;
use std::path::Path;

use super::error::{Errors, chain};
use super::file::{ensure_file_absent, failed};
use super::lock::{LockFile, Object};
use super::run::RUNS;
use super::{Config, Context, Error, Paths};
use crate::fault;
use crate::kernel::bpf::{self, BpfError};
use crate::kernel::netlink::{self, Link, Netlink};
use crate::kernel::{nft, probe};
use crate::model::{Endpoint, Network};
use crate::store::{Store, StoreError};

/// Files in the state directory that are ours.
const FILES: [&str; 4] = ["state.db", "state.db-wal", "state.db-shm", "lock"];

/// Removes everything: endpoints and networks by their rows, then what is left by its name. With
/// `lost` it also does when the state is lost, or cannot be read; without it, what another state
/// has, and a file that is no state, is not touched. Goes on after an error.
pub fn purge(paths: &Paths, lost: bool) -> Result<(), Error> {
    probe::check()?;
    let config = Config::read(paths.config.as_deref())?;
    let was_there = Store::exists(&paths.state);
    let purged = purge_alone(paths, config, lost);
    if purged.is_err() && !was_there {
        // Nobody has the state that this made.
        remove_state(&paths.state, &mut Errors::default());
    }
    purged
}

fn purge_alone(paths: &Paths, config: Config, lost: bool) -> Result<(), Error> {
    let state_directory = &paths.state;
    ensure_directory(paths, lost)?;
    let locks = LockFile::new(state_directory);
    let _alone = locks.state(true).map_err(locks.failed())?;
    let mut opened = Context::open_in_use(paths, config.clone(), locks, None);
    if matches!(opened, Err(Error::Bpf(BpfError::Layout { .. })))
        || lost && matches!(opened, Err(Error::Bpf(_)))
    {
        // Nothing can be taken out of such maps, nor has to be.
        bpf::purge()?;
        fault::step();
        let locks = LockFile::new(state_directory);
        opened = Context::open_as_it_is(paths, config, locks, None).map(|context| Context {
            nothing_shared: true,
            ..context
        });
    }
    let mut errors = Errors::default();
    match opened {
        Ok(mut context) => {
            if !lost {
                context.check_that_links_are_ours()?;
            }
            let removed = context.remove_everything();
            if lost {
                errors.note(removed);
            } else {
                // What could not be removed stays known.
                removed?;
            }
        }
        Err(error @ Error::OtherHost(_)) => return Err(error),
        Err(error) if !lost && !matches!(error, Error::Store(StoreError::SchemaVersion { .. })) => {
            return Err(error);
        }
        Err(error) => tracing::warn!(
            "warning: only what names tell is removed: {}",
            chain(&error)
        ),
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
    remove_state(state_directory, &mut errors);
    errors.into_result()
}

fn remove_state(directory: &Path, errors: &mut Errors) {
    for file in FILES {
        errors.note(ensure_file_absent(&directory.join(file)));
    }
    let runs = directory.join(RUNS);
    match fs::remove_dir_all(&runs) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            errors.note::<()>(Err(failed("remove", &runs)(e)));
        }
        _ => {}
    }
    // Somebody may keep files of their own there.
    let _ = fs::remove_dir(directory);
}

/// Where the lock is to be. Pins of another state are a lost one's matter.
fn ensure_directory(paths: &Paths, lost: bool) -> Result<(), Error> {
    if !lost {
        Context::check_new(paths)?;
    }
    Ok(Store::ensure_directory(&paths.state)?)
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
    /// Refuses links with names of ours where this state has no network: another state's, whose pins
    /// say nothing any more.
    fn check_that_links_are_ours(&mut self) -> Result<(), Error> {
        if bpf::layout()?.is_some() || !self.store.rows().networks()?.is_empty() {
            return Ok(());
        }
        let links = netlink::links(&mut self.netlink)?;
        match links.into_iter().find(is_ours) {
            Some(link) => Err(Error::NotInState(link.name)),
            None => Ok(()),
        }
    }

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
