//! Disconnecting a sandbox from a network.

use super::lock::Object;
use super::sandbox::Liveness;
use super::{Context, Error};
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::NetNs;
use crate::model::{Endpoint, Id, Network, SandboxRef, State};

impl Context {
    /// Disconnects a sandbox from a network. With `force` it may be gone already.
    pub fn disconnect(
        &mut self,
        network: &str,
        reference: &SandboxRef,
        force: bool,
    ) -> Result<(), Error> {
        let found = self.find_network(network)?;
        let found = found.ok_or_else(|| Error::NetworkNotFound(network.to_owned()))?;
        let sandbox = self.sandbox_of(&found, reference)?;
        if let Some(sandbox) = sandbox {
            let _lock = self.lock(Object::Id(&sandbox))?;
            let endpoints = self.store.rows().endpoints_in_sandbox(&sandbox)?;
            if let Some(endpoint) = endpoints.iter().find(|e| e.network == found.id) {
                self.remove_endpoint(&found, &endpoint.id)?;
                return self.release_sandbox(&sandbox);
            }
        }
        if force {
            return Ok(());
        }
        let network = found.name.to_string();
        Err(Error::NotConnected {
            sandbox: reference.to_string(),
            network,
        })
    }

    /// The sandbox by its namespace, by the reference it was connected with, or by the name of
    /// its endpoint in the network.
    fn sandbox_of(&self, network: &Network, reference: &SandboxRef) -> Result<Option<Id>, Error> {
        let endpoints = self.store.rows().endpoints_of_network(&network.id)?;
        let here = |id: &Id| endpoints.iter().any(|e| e.sandbox == *id);
        if let Ok(namespace) = NetNs::open(&reference.path()) {
            let cookie = namespace.id().cookie;
            let found = self
                .store
                .rows()
                .sandbox_with_cookie(&self.boot_id, cookie)?;
            if let Some(sandbox) = found.filter(|sandbox| here(&sandbox.id)) {
                return Ok(Some(sandbox.id));
            }
        }
        let text = reference.to_string();
        let named = self.store.rows().sandboxes_named(&text)?;
        if let Some(sandbox) = named.into_iter().find(|sandbox| here(&sandbox.id)) {
            return Ok(Some(sandbox.id));
        }
        let named = |e: &&Endpoint| e.name.as_str() == text;
        Ok(endpoints.iter().find(named).map(|e| e.sandbox.clone()))
    }

    /// The default routes that went with an endpoint, by the sandbox's next one.
    pub(super) fn hand_over_default_routes(&mut self, sandbox: &Id) -> Result<(), Error> {
        let endpoints = self.store.rows().endpoints_in_sandbox(sandbox)?;
        if endpoints.iter().all(|e| e.state == State::Deleting) {
            return Ok(());
        }
        let Some(row) = self.store.rows().sandbox(sandbox)? else {
            return Ok(());
        };
        if let Liveness::Alive(namespace) = self.liveness(&row)? {
            let mut inside = Netlink::open_in(&namespace)?;
            self.ensure_default_routes(sandbox, &mut inside)?;
        }
        Ok(())
    }
}
