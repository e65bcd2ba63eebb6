//! What a run is to be, before anything of it is made.

use std::path::{Path, PathBuf};

use super::{RunError, RunSpec, files};
use crate::kernel::netns::NetNs;
use crate::model::{
    BUILTIN_BRIDGE, EndpointName, Id, NETNS_DIR, Network, NetworkMode, Run, RunConfig,
};
use crate::ops::{Context, Error};

/// Where a run's network comes from, looked up.
pub(super) enum Place {
    Host,
    /// A namespace of its own, on these networks.
    Own(Vec<Network>),
    /// That of another run, which has not joined a third one.
    Joined(Box<Run>),
}

impl Place {
    /// Names and nameservers are given where somebody asks them: aliases on a network that tells names,
    /// nameservers where not all that do are internal.
    pub(super) fn check_names(&self, spec: &RunSpec) -> Result<(), RunError> {
        let Self::Own(networks) = self else {
            return Ok(());
        };
        if let Some(network) = networks.first()
            && !spec.aliases.is_empty()
            && !network.tells_names()
        {
            return Err(RunError::NobodyTells(network.name.to_string()));
        }
        let telling = || networks.iter().filter(|network| network.tells_names());
        match telling().next() {
            Some(network) if !spec.dns.is_empty() && telling().all(|network| network.internal) => {
                Err(RunError::NobodyAsks(network.name.to_string()))
            }
            _ => Ok(()),
        }
    }
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

    /// `--network` with the names of networks in place of their ids.
    pub(super) fn by_name(&self, mode: &NetworkMode) -> Result<NetworkMode, Error> {
        let NetworkMode::Networks(texts) = mode else {
            return Ok(mode.clone());
        };
        let mut names = Vec::new();
        for text in texts {
            // The default network is made on first use.
            let found = self.find_summary(text)?.map(|network| network.name);
            let found = found.or_else(|| (text == BUILTIN_BRIDGE).then(|| text.clone()));
            names.push(found.ok_or_else(|| Error::NetworkNotFound(text.clone()))?);
        }
        Ok(NetworkMode::parse(&names).map_err(RunError::from)?)
    }

    pub(super) fn place(&mut self, mode: &NetworkMode) -> Result<Place, Error> {
        Ok(match mode {
            NetworkMode::Host => Place::Host,
            NetworkMode::None => Place::Own(Vec::new()),
            NetworkMode::Container(text) => {
                let run = self.find_run(text)?;
                let running = |run: &Run| {
                    let process = self.running_process(run)?;
                    process.ok_or_else(|| Error::from(gone(run.name.as_str())))
                };
                running(&run)?;
                let owner = self.network_owner(run)?;
                running(&owner)?;
                Place::Joined(owner.into())
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

    /// Whose network a run has: its own, or that of the one it joined.
    fn network_owner(&self, run: Run) -> Result<Run, Error> {
        let NetworkMode::Container(id) = &run.config.network else {
            return Ok(run);
        };
        let owner = self.store.rows().run(&id.parse().map_err(|_| gone(id))?)?;
        Ok(owner.ok_or_else(|| gone(id))?)
    }

    /// The namespace whose network a run has, by the name that leads to it; `None` for the host's. It is
    /// not its process that is asked, which may have gone elsewhere.
    pub(super) fn network_of(&self, run: &Run) -> Result<Option<NetNs>, Error> {
        let owner = self.network_owner(run.clone())?;
        let Some(sandbox) = self.store.rows().sandbox(&owner.id)? else {
            return match owner.config.network {
                NetworkMode::Host => Ok(None),
                _ => Err(gone(owner.name.as_str()).into()),
            };
        };
        let namespace = NetNs::open(&netns_path(&owner.name))?;
        if namespace.id().cookie == sandbox.cookie {
            Ok(Some(namespace))
        } else {
            Err(gone(owner.name.as_str()).into())
        }
    }

    pub(super) fn config(
        &self,
        spec: &RunSpec,
        mode: &NetworkMode,
        place: &Place,
        id: &Id,
        name: &EndpointName,
    ) -> RunConfig {
        let network = match (mode, place) {
            (_, Place::Own(networks)) if !networks.is_empty() => {
                NetworkMode::Networks(networks.iter().map(|n| n.name.to_string()).collect())
            }
            (_, Place::Joined(other)) => NetworkMode::Container(other.id.to_string()),
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
                (Place::Joined(other), _) => other.config.hostname.clone(),
                (_, Some(hostname)) => hostname.to_string(),
                (Place::Host, None) => files::host_name(),
                (Place::Own(_), None) => id.short().to_owned(),
            },
            network,
            files: match place {
                Place::Joined(other) => other.config.files.clone(),
                _ => own_files.map(|path| path.display().to_string()),
            },
            detached: spec.detached,
            dns: spec.dns.clone(),
            add_hosts: spec.add_hosts.clone(),
            exposed: spec.exposed.clone(),
        }
    }
}

fn gone(owner: &str) -> RunError {
    RunError::NotJoinable(owner.to_owned())
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
