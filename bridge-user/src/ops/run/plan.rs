//! What a run is to be, before anything of it is made.

use std::path::{Path, PathBuf};

use super::{RunError, RunSpec, files};
use crate::model::{
    BUILTIN_BRIDGE, EndpointName, Id, NETNS_DIR, Network, NetworkMode, ProcessId, Run, RunConfig,
};
use crate::ops::{Context, Error};

/// Where a run's network comes from, looked up.
pub(super) enum Place {
    Host,
    /// A namespace of its own, on these networks.
    Own(Vec<Network>),
    /// Another run's, and that one's process.
    Joined(Box<Run>, ProcessId),
}

impl Context {
    /// A name stands for the run, its namespace and its files: none of them may be there.
    pub(super) fn check_name(&self, name: &EndpointName) -> Result<(), Error> {
        if let Some(other) = self.store.rows().run_named(name.as_str())? {
            return Err(name_taken(&other).into());
        }
        for path in [netns_path(name), files::etc_netns(name)] {
            if path.exists() {
                let name = name.to_string();
                return Err(RunError::PathTaken { name, path }.into());
            }
        }
        Ok(())
    }

    pub(super) fn place(&mut self, spec: &RunSpec) -> Result<Place, Error> {
        Ok(match &spec.network {
            NetworkMode::Host => Place::Host,
            NetworkMode::None => Place::Own(Vec::new()),
            NetworkMode::Container(text) => {
                let run = self.find_run(text)?;
                let gone = || RunError::NotJoinable(text.clone());
                let process = self.running_process(&run)?.ok_or_else(gone)?;
                Place::Joined(run.into(), process)
            }
            NetworkMode::Networks(names) => {
                let mut networks: Vec<Network> = Vec::new();
                for name in names {
                    let network = if name == BUILTIN_BRIDGE {
                        self.default_network()?
                    } else {
                        let not_found = || Error::NetworkNotFound(name.clone());
                        self.find_network(name)?.ok_or_else(not_found)?
                    };
                    networks.push(network);
                }
                Place::Own(networks)
            }
        })
    }

    pub(super) fn config(
        &self,
        spec: &RunSpec,
        place: &Place,
        id: &Id,
        name: &EndpointName,
    ) -> RunConfig {
        let network = match (&spec.network, place) {
            (_, Place::Own(networks)) if !networks.is_empty() => {
                NetworkMode::Networks(networks.iter().map(|n| n.name.to_string()).collect())
            }
            (_, Place::Joined(other, _)) => NetworkMode::Container(other.id.to_string()),
            (mode, _) => mode.clone(),
        };
        let own_files = match place {
            Place::Own(_) => Some(files::etc_netns(name)),
            Place::Host => {
                let wanted = !spec.dns.is_empty() || !spec.add_hosts.is_empty();
                let wanted = wanted || spec.hostname.is_some();
                wanted.then(|| self.run_directory(id))
            }
            Place::Joined(..) => None,
        };
        let command = spec.command.iter().map(|word| word.to_string_lossy());
        RunConfig {
            command: command.map(Into::into).collect(),
            hostname: match (place, &spec.hostname) {
                (Place::Joined(other, _), _) => other.config.hostname.clone(),
                (_, Some(hostname)) => hostname.to_string(),
                (Place::Host, None) => files::host_name(),
                (Place::Own(_), None) => id.short().to_owned(),
            },
            network,
            files: match place {
                Place::Joined(other, _) => other.config.files.clone(),
                _ => own_files.map(|path| path.display().to_string()),
            },
            detached: spec.detached,
            dns: spec.dns.clone(),
            add_hosts: spec.add_hosts.clone(),
        }
    }
}

pub(super) fn name_taken(other: &Run) -> RunError {
    RunError::NameTaken {
        name: other.name.to_string(),
        id: other.id.short().into(),
    }
}

/// Its namespace, by name.
pub(super) fn netns_path(name: &EndpointName) -> PathBuf {
    Path::new(NETNS_DIR).join(name.as_str())
}
