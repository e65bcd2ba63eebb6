//! Resolver files of named sandboxes: /etc/netns/NAME/resolv.conf, beside the hosts file and like
//! it written in place. One that others made is left alone.
//!
//! It names the gateway first, where the daemon answers, then the host's nameservers: with the
//! daemon down, names of others are found there, a second later at most.

use std::fs;
use std::path::{Path, PathBuf};

use super::Error;
use super::file::{ensure_file_absent, failed, read_whole, text_of, update};
use super::names::{ETC_NETNS, Names};
use crate::fault;
use crate::model::{ResolvConf, Sandbox};

/// The host's own, and what systemd-resolved knows when that names only its own stub.
pub const HOST_FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// Makes the resolver file of a sandbox right: there as long as a network tells it names.
pub(super) fn write(sandbox: &Sandbox, names: &Names) -> Result<(), Error> {
    let Some(conf) = names.resolv_of(&sandbox.id) else {
        return remove(sandbox);
    };
    let Some(path) = path_of(sandbox) else {
        return Ok(());
    };
    let wanted = conf.render();
    if let Some(present) = text_of(&path)?
        && (present == wanted || !ResolvConf::is_ours(&present))
    {
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed("create", directory))?;
    }
    fault::step();
    update(&path, |_| wanted)
}

/// Makes the file gone, if it is ours.
pub(super) fn remove(sandbox: &Sandbox) -> Result<(), Error> {
    let Some(path) = path_of(sandbox) else {
        return Ok(());
    };
    match text_of(&path)? {
        Some(text) if ResolvConf::is_ours(&text) => ensure_file_absent(&path),
        _ => Ok(()),
    }
}

/// The nameservers that this host has, as others may use them.
pub(super) fn of_host() -> ResolvConf {
    let files = HOST_FILES.map(|path| {
        let text = read_whole(Path::new(path)).unwrap_or_default();
        ResolvConf::parse(&text)
    });
    let reachable = |conf: &&ResolvConf| conf.nameservers.iter().any(|ip| !ip.is_loopback());
    files.iter().find(reachable).unwrap_or(&files[0]).clone()
}

fn path_of(sandbox: &Sandbox) -> Option<PathBuf> {
    let name = sandbox.reference.netns_name()?;
    let directory = Path::new(ETC_NETNS).join(name.as_str());
    Some(directory.join("resolv.conf"))
}
