//! Files of a run: its log, and what it has of its own in /etc.
//!
//! ```text
//! /etc/netns/NAME/{hosts,resolv.conf,hostname}     of a run with a namespace, as ip-netns(8) has them
//! STATE/runs/ID/log                                standard output and error of one in the background
//! STATE/runs/ID/{hosts,resolv.conf,hostname}       of a run on the host's network, where it needs its own
//! ```

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::fault;
use crate::model::{EndpointName, HostsFile, Id, ResolvConf, Run};
use crate::ops::file::{ensure_file_absent, failed, read_whole};
use crate::ops::names::ETC_NETNS;
use crate::ops::{Context, Error};

/// Directory of the runs in the state directory.
pub(in crate::ops) const RUNS: &str = "runs";

impl Context {
    /// What is kept of a run besides its row.
    pub(super) fn run_directory(&self, id: &Id) -> PathBuf {
        self.paths.state.join(RUNS).join(id.as_str())
    }

    pub(super) fn log_path(&self, id: &Id) -> PathBuf {
        self.run_directory(id).join("log")
    }

    pub(super) fn make_log(&self, id: &Id) -> Result<File, Error> {
        self.make_run_directory(id)?;
        let path = self.log_path(id);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path);
        log.map_err(failed("create", &path))
    }

    fn make_run_directory(&self, id: &Id) -> Result<(), Error> {
        let path = self.run_directory(id);
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path);
        made.map_err(failed("create", &path))
    }

    pub(super) fn remove_run_directory(&self, id: &Id) -> Result<(), Error> {
        let path = self.run_directory(id);
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(e)),
            _ => Ok(()),
        }
    }

    /// Writes what the run has of its own, hosts and resolver file of a namespace apart: those are the
    /// names'.
    pub(super) fn write_files(&self, run: &Run) -> Result<(), Error> {
        let Some(directory) = run.config.files.as_deref().map(Path::new) else {
            return Ok(());
        };
        if !run.has_sandbox() {
            self.make_run_directory(&run.id)?;
            write(&directory.join("hosts"), &hosts_of_the_host(run))?;
            let host = host_text("/etc/resolv.conf");
            let resolver = match run.config.dns.as_slice() {
                [] => host,
                given => ResolvConf::parse(&host).with_nameservers(given).render(),
            };
            write(&directory.join("resolv.conf"), &resolver)?;
        }
        fault::step();
        let hostname = format!("{}\n", run.config.hostname);
        write(&directory.join("hostname"), &hostname)?;
        fault::step();
        Ok(())
    }

    /// Takes back what `write_files` wrote. Where the hosts file is not ours, nothing was written.
    pub(super) fn remove_files(&self, run: &Run) -> Result<(), Error> {
        let sandbox = self.store.rows().sandbox(&run.id)?;
        if sandbox.is_some_and(|sandbox| sandbox.owns_hosts) {
            ensure_file_absent(&etc_netns(&run.name).join("hostname"))?;
        }
        if run.has_sandbox() {
            return Ok(());
        }
        for name in ["hosts", "resolv.conf", "hostname"] {
            ensure_file_absent(&self.run_directory(&run.id).join(name))?;
        }
        Ok(())
    }
}

/// Where a namespace of this name has its own files for /etc.
pub(super) fn etc_netns(name: &EndpointName) -> PathBuf {
    Path::new(ETC_NETNS).join(name.as_str())
}

/// The host's name, as the kernel has it.
pub(super) fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn hosts_of_the_host(run: &Run) -> String {
    let mut file = HostsFile::default();
    for host in &run.config.add_hosts {
        if let Some(address) = host.address {
            file.push(address, &[&host.name]);
        }
    }
    file.render_into(&host_text("/etc/hosts"))
}

/// A file of the host; one that cannot be read says nothing.
fn host_text(path: &str) -> String {
    read_whole(Path::new(path)).unwrap_or_default()
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(failed("write", path))
}
