//! Reading: networks and their endpoints, for lists and details.

use std::time::SystemTime;

use super::error::chain;
use super::{Context, Error, RunError};
use crate::kernel::bpf::{Counters, DataPlane, Hook};
use crate::model::{BUILTIN_BRIDGE, Driver, Endpoint, Id, Network, Publication, Sandbox};

/// A network as lists show it. The default network is listed before it is made.
#[derive(Debug, Clone)]
pub struct NetworkSummary {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: Driver,
    /// Its row, for a bridge network that exists.
    pub network: Option<Network>,
}

/// A network with its endpoints.
#[derive(Debug, Clone)]
pub struct NetworkDetails {
    /// The network as lists show it.
    pub summary: NetworkSummary,
    /// Its endpoints and their sandboxes.
    pub endpoints: Vec<SandboxEndpoint>,
    /// The hook that the program is attached to at its ports; `None` without ports.
    pub attached: Option<Hook>,
}

/// An endpoint and the sandbox that it is in.
#[derive(Debug, Clone)]
pub struct SandboxEndpoint {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its sandbox.
    pub sandbox: Sandbox,
    /// Its published ports.
    pub publications: Vec<Publication>,
}

impl NetworkSummary {
    /// The built-in networks, in the order of their making.
    const BUILTINS: [(&str, Driver); 3] = [
        (BUILTIN_BRIDGE, Driver::Bridge),
        ("host", Driver::Host),
        ("none", Driver::None),
    ];

    /// Whether the network is one of the three that are always there.
    pub fn is_builtin(&self) -> bool {
        Self::BUILTINS.iter().any(|(name, _)| *name == self.name)
    }

    /// When it was created.
    pub fn created(&self) -> Option<SystemTime> {
        self.network.as_ref().map(|network| network.created)
    }
}

impl From<Network> for NetworkSummary {
    fn from(network: Network) -> Self {
        Self {
            id: network.id.clone(),
            name: network.name.to_string(),
            driver: Driver::Bridge,
            network: Some(network),
        }
    }
}

impl Context {
    /// Every network, the built-in ones too.
    pub fn list_networks(&self) -> Result<Vec<NetworkSummary>, Error> {
        let networks = self.store.rows().networks()?;
        let mut list: Vec<NetworkSummary> = networks.into_iter().map(Into::into).collect();
        for (name, driver) in NetworkSummary::BUILTINS {
            if !list.iter().any(|network| network.name == name) {
                let id = self.store.rows().builtin_id(name)?;
                list.push(NetworkSummary {
                    id,
                    name: name.into(),
                    driver,
                    network: None,
                });
            }
        }
        Ok(list)
    }

    /// The network that a user names: by name, id, or the first digits of its id.
    pub(super) fn find_summary(&self, text: &str) -> Result<Option<NetworkSummary>, Error> {
        let mut list = self.list_networks()?;
        if let Some(at) = list.iter().position(|network| network.name == text) {
            return Ok(Some(list.swap_remove(at)));
        }
        list.retain(|network| !text.is_empty() && network.id.as_str().starts_with(text));
        if list.len() > 1 {
            return Err(Error::AmbiguousId(text.into()));
        }
        Ok(list.pop())
    }

    /// One network with its endpoints.
    pub fn inspect_network(&self, text: &str) -> Result<NetworkDetails, Error> {
        let not_found = || Error::NetworkNotFound(text.to_owned());
        let summary = self.find_summary(text)?.ok_or_else(not_found)?;
        let Some(network) = &summary.network else {
            return Ok(NetworkDetails {
                summary,
                endpoints: Vec::new(),
                attached: None,
            });
        };
        let mut endpoints = Vec::new();
        for endpoint in self.store.rows().endpoints_of_network(&network.id)? {
            if let Some(sandbox) = self.store.rows().sandbox(&endpoint.sandbox)? {
                let publications = self.publications_of(&endpoint)?;
                endpoints.push(SandboxEndpoint {
                    endpoint,
                    sandbox,
                    publications,
                });
            }
        }
        let attached = self.attached(&endpoints)?;
        Ok(NetworkDetails {
            summary,
            endpoints,
            attached,
        })
    }

    /// The published ports of an endpoint.
    pub fn publications_of(&self, endpoint: &Endpoint) -> Result<Vec<Publication>, Error> {
        Ok(self.store.rows().publications_of(&endpoint.id)?)
    }

    /// The published ports of a sandbox that a user names: a run, a sandbox as it was connected, or an
    /// endpoint by its name.
    pub fn publications(&self, text: &str) -> Result<Vec<Publication>, Error> {
        let endpoints = match self.find_run(text) {
            Ok(run) => self.store.rows().endpoints_in_sandbox(&run.id)?,
            Err(Error::Run(RunError::NotFound(_))) => {
                let sandboxes = self.store.rows().sandboxes_named(text)?;
                let mut endpoints = self.store.rows().endpoints()?;
                endpoints.retain(|endpoint| {
                    let is_in = |sandbox: &Sandbox| sandbox.id == endpoint.sandbox;
                    endpoint.name.as_str() == text || sandboxes.iter().any(is_in)
                });
                if endpoints.is_empty() {
                    return Err(Error::NoEndpoint(text.to_owned()));
                }
                endpoints
            }
            Err(error) => return Err(error),
        };
        let mut publications = Vec::new();
        for endpoint in &endpoints {
            publications.extend(self.publications_of(endpoint)?);
        }
        Ok(publications)
    }

    /// What holds the program to the ports: the first that has it tells for all.
    fn attached(&self, endpoints: &[SandboxEndpoint]) -> Result<Option<Hook>, Error> {
        let Some(data_plane) = DataPlane::open(self.owner)? else {
            return Ok(None);
        };
        for SandboxEndpoint { endpoint, .. } in endpoints {
            match data_plane.attached(endpoint.host_leg().as_str()) {
                Ok(None) => {}
                Ok(hook) => return Ok(hook),
                // A port that is not as it should be is no reason to show nothing.
                Err(error) => tracing::warn!("warning: {}", chain(&error)),
            }
        }
        Ok(None)
    }

    /// What the program counted at an endpoint's port.
    pub fn counters(&mut self, endpoint: &Endpoint) -> Result<Counters, Error> {
        let data_plane = DataPlane::open(self.owner)?.ok_or(Error::NoDataPlane)?;
        Ok(data_plane.counters(endpoint.slot)?)
    }
}
