//! Hosts files of named sandboxes: /etc/netns/NAME/hosts, which `ip netns exec` mounts over
//! /etc/hosts. Written in place: a mounted file is seen by its inode, not by its name.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::error::chain;
use super::file::{ensure_file_absent, failed};
use super::lock::Object;
use super::{Context, Error};
use crate::fault;
use crate::model::{BUILTIN_BRIDGE, Endpoint, HostsEntry, HostsFile, Id, Sandbox, State};
use crate::store::Store;

/// Where ip-netns(8) takes a namespace's own files in /etc from.
const ETC_NETNS: &str = "/etc/netns";

impl Context {
    /// Makes the hosts files right of all sandboxes with an endpoint in `network`. A file that
    /// cannot be written is told of, and stands in nobody's way: it may be a sandbox's that has
    /// nothing to do with the one at hand.
    pub(super) fn refresh_names(&mut self, network: &Id) -> Result<(), Error> {
        let _lock = self.lock(Object::Names)?;
        let names = Names::read(&self.store)?;
        for endpoint in names.on_network(network) {
            told(self.write_hosts(&endpoint.sandbox, &names))?;
        }
        Ok(())
    }

    /// Takes back what we wrote for a sandbox.
    pub(super) fn remove_names(&mut self, sandbox: &Sandbox) -> Result<(), Error> {
        let _lock = self.lock(Object::Names)?;
        let Some(path) = hosts_path(sandbox) else {
            return Ok(());
        };
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

    fn write_hosts(&mut self, id: &Id, names: &Names) -> Result<(), Error> {
        let Some(sandbox) = self.store.rows().sandbox(id)? else {
            return Ok(());
        };
        let Some(path) = hosts_path(&sandbox) else {
            return Ok(());
        };
        let hosts = names.hosts_of(id);
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

/// All that hosts files say, read at once.
struct Names {
    /// Those that are there, or coming; one that is going has no name any more.
    endpoints: Vec<Endpoint>,
    /// The network whose endpoints do not know each other by name.
    default_network: Option<Id>,
}

impl Names {
    fn read(store: &Store) -> Result<Self, Error> {
        let rows = store.rows();
        let default_network = rows
            .network_named(BUILTIN_BRIDGE)?
            .map(|network| network.id);
        Ok(Self {
            endpoints: rows.endpoints()?,
            default_network,
        })
    }

    /// The endpoints of a network, those that are going included.
    fn on_network<'a>(&'a self, network: &'a Id) -> impl Iterator<Item = &'a Endpoint> {
        self.endpoints
            .iter()
            .filter(move |endpoint| endpoint.network == *network)
    }

    /// What a sandbox should know: itself on every network, and on user-defined ones the others.
    fn hosts_of(&self, sandbox: &Id) -> HostsFile {
        let is_named = |endpoint: &&Endpoint| endpoint.state != State::Deleting;
        let is_user_defined = |e: &Endpoint| Some(&e.network) != self.default_network.as_ref();
        let mine = |endpoint: &&Endpoint| endpoint.sandbox == *sandbox;
        let own: Vec<&Endpoint> = self
            .endpoints
            .iter()
            .filter(mine)
            .filter(is_named)
            .collect();
        let mut entries = Vec::new();
        for endpoint in &own {
            push(&mut entries, endpoint, is_user_defined(endpoint));
        }
        for endpoint in own.iter().filter(|endpoint| is_user_defined(endpoint)) {
            let others = self
                .on_network(&endpoint.network)
                .filter(|other| !mine(other));
            for other in others.filter(is_named) {
                push(&mut entries, other, true);
            }
        }
        HostsFile { entries }
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

/// Rewrites a file in place, if its text changes. What others wrote in it may be in any encoding:
/// a byte is a character here (Latin-1), and we write ASCII only.
fn update(path: &Path, text: impl FnOnce(&str) -> String) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        // A FIFO would keep us waiting.
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    let mut file = file.map_err(failed("open", path))?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        let source = io::Error::other("it is not a regular file");
        return Err(failed("write", path)(source));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed("read", path))?;
    let present: String = bytes.iter().copied().map(char::from).collect();
    let wanted = text(&present);
    if wanted == present {
        return Ok(());
    }
    let bytes: Vec<u8> = wanted
        .chars()
        .map(|c| u8::try_from(c).expect("it came of a byte, or is ASCII"))
        .collect();
    let mut write = || {
        file.rewind()?;
        file.write_all(&bytes)?;
        fault::step();
        file.set_len(bytes.len() as u64)
    };
    write().map_err(failed("write", path))
}
