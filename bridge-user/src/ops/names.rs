//! Hosts files of named sandboxes: /etc/netns/NAME/hosts, which `ip netns exec` mounts over
//! /etc/hosts. Written in place: a mounted file is seen by its inode, not by its name.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::lock::Object;
use super::{Context, Error};
use crate::fault;
use crate::model::{Endpoint, HostsEntry, HostsFile, Id, Sandbox, State};

/// Where ip-netns(8) takes a namespace's own files in /etc from.
const ETC_NETNS: &str = "/etc/netns";

impl Context {
    /// Makes the hosts files right of all sandboxes with an endpoint in `network`.
    pub(super) fn refresh_names(&mut self, network: &Id) -> Result<(), Error> {
        let _lock = self.lock(Object::Names)?;
        for endpoint in self.store.rows().endpoints_of_network(network)? {
            self.write_hosts(&endpoint.sandbox)?;
        }
        Ok(())
    }

    /// Takes back what we wrote for a sandbox.
    pub(super) fn remove_names(&mut self, sandbox: &Sandbox) -> Result<(), Error> {
        let _lock = self.lock(Object::Names)?;
        let Some(path) = hosts_path(sandbox) else {
            return Ok(());
        };
        if !sandbox.owns_hosts && path.exists() {
            return update(&path, |present| HostsFile::default().render_into(present));
        }
        if !sandbox.owns_hosts {
            return Ok(());
        }
        absent_is_fine(fs::remove_file(&path)).map_err(failed("remove", &path))?;
        if let Some(directory) = path.parent() {
            // Others may have files in it.
            let _ = fs::remove_dir(directory);
        }
        Ok(())
    }

    fn write_hosts(&mut self, id: &Id) -> Result<(), Error> {
        let Some(sandbox) = self.store.rows().sandbox(id)? else {
            return Ok(());
        };
        let Some(path) = hosts_path(&sandbox) else {
            return Ok(());
        };
        let hosts = self.hosts_of(id)?;
        let mut owned = sandbox.owns_hosts;
        if !owned && !path.exists() {
            self.store.write(|rows| rows.set_owns_hosts(id))?;
            owned = true;
            fault::step();
        }
        if !owned {
            return update(&path, |present| hosts.render_into(present));
        }
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed("create", directory))?;
        }
        fault::step();
        update(&path, |_| hosts.render())
    }

    /// What a sandbox should know: itself on every network, and on user-defined ones the others.
    fn hosts_of(&self, sandbox: &Id) -> Result<HostsFile, Error> {
        let mut entries = Vec::new();
        let rows = self.store.rows();
        let own = rows.endpoints_in_sandbox(sandbox)?;
        for endpoint in own.iter().filter(|e| e.state != State::Deleting) {
            let default = rows
                .network(&endpoint.network)?
                .is_some_and(|n| n.is_default());
            push(&mut entries, endpoint, !default);
        }
        for endpoint in own.iter().filter(|e| e.state != State::Deleting) {
            if rows
                .network(&endpoint.network)?
                .is_none_or(|network| network.is_default())
            {
                continue;
            }
            let others = rows.endpoints_of_network(&endpoint.network)?;
            for other in others {
                if other.sandbox != *sandbox && other.state != State::Deleting {
                    push(&mut entries, &other, true);
                }
            }
        }
        Ok(HostsFile { entries })
    }
}

fn push(entries: &mut Vec<HostsEntry>, endpoint: &Endpoint, with_aliases: bool) {
    let mut names = vec![endpoint.name.to_string()];
    if with_aliases {
        names.extend(endpoint.aliases.iter().map(ToString::to_string));
    }
    let lines = endpoint.addresses.iter();
    entries.extend(lines.map(|a| HostsEntry {
        address: a.addr(),
        names: names.clone(),
    }));
}

fn hosts_path(sandbox: &Sandbox) -> Option<PathBuf> {
    let name = sandbox.reference.netns_name()?;
    Some(Path::new(ETC_NETNS).join(name.as_str()).join("hosts"))
}

/// Rewrites a file in place, if its text changes.
fn update(path: &Path, text: impl FnOnce(&str) -> String) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    let mut file = file.map_err(failed("open", path))?;
    let mut present = String::new();
    file.read_to_string(&mut present)
        .map_err(failed("read", path))?;
    let wanted = text(&present);
    if wanted == present {
        return Ok(());
    }
    let mut write = || {
        file.rewind()?;
        file.write_all(wanted.as_bytes())?;
        fault::step();
        file.set_len(wanted.len() as u64)
    };
    write().map_err(failed("write", path))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        action,
        path,
        source,
    }
}
