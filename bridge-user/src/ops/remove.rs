//! Removing networks.

use super::error::Errors;
use super::lock::Object;
use super::{Context, Error};
use crate::fault;
use crate::model::{BUILTIN_BRIDGE, Network, State};

impl Context {
    /// Removes a network that no endpoint is left in. Absent is an error unless `force`; then whether
    /// it was there is told.
    pub fn remove_network(&mut self, text: &str, force: bool) -> Result<bool, Error> {
        if [BUILTIN_BRIDGE, "host", "none"].contains(&text) {
            return Err(Error::Predefined(text.into()));
        }
        let removed = match self.find_network(text)? {
            Some(network) if network.is_default() => Err(Error::Predefined(text.into())),
            Some(network) => self.remove(&network),
            None => Err(Error::NetworkNotFound(text.into())),
        };
        match removed {
            Err(Error::NetworkNotFound(_)) if force => Ok(false),
            removed => removed.map(|()| true),
        }
    }

    /// Removes every network that no endpoint is in and that `selected` accepts, the default one
    /// apart. Goes on after an error.
    pub fn prune_networks(
        &mut self,
        selected: impl Fn(&Network) -> bool,
    ) -> (Vec<String>, Result<(), Error>) {
        let mut removed = Vec::new();
        let mut errors = Errors::default();
        let networks = errors
            .note(self.store.rows().networks())
            .unwrap_or_default();
        for network in networks.iter().filter(|n| !n.is_default() && selected(n)) {
            match self.remove(network) {
                Ok(()) => removed.push(network.name.to_string()),
                // In use: that is what prune leaves alone. Not found: another command removed it.
                Err(Error::NetworkInUse { .. } | Error::NetworkNotFound(_)) => {}
                Err(error) => {
                    errors.note::<()>(Err(error));
                }
            }
        }
        (removed, errors.into_result())
    }

    fn remove(&mut self, network: &Network) -> Result<(), Error> {
        let _lock = self.lock(Object::Id(&network.id))?;
        let there = self.store.write(|rows| -> Result<bool, Error> {
            if rows.network(&network.id)?.is_none() {
                return Ok(false);
            }
            let endpoints = rows.endpoints_of_network(&network.id)?;
            if !endpoints.is_empty() {
                let names: Vec<&str> = endpoints.iter().map(|e| e.name.as_str()).collect();
                return Err(Error::NetworkInUse {
                    network: network.name.to_string(),
                    endpoints: names.join(", "),
                });
            }
            rows.set_network_state(&network.id, State::Deleting)?;
            Ok(true)
        })?;
        if !there {
            // Another command was quicker.
            return Err(Error::NetworkNotFound(network.name.to_string()));
        }
        fault::step();
        self.finish_removal(network)
    }
}
