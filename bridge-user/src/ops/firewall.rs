//! The nft table, as the rows of all networks say.

use super::lock::Object;
use super::{Context, Error};
use crate::kernel::nft::{self, NetworkPolicy};
use crate::model::State;

impl Context {
    /// Makes the table be as the networks that are not being removed say. Who comes second sees
    /// the first one's rows: the lock is held from the reading to the writing.
    pub(super) fn ensure_firewall(&self) -> Result<(), Error> {
        let path = self.state_directory.join("lock");
        let _lock = self
            .locks
            .exclusive(Object::Firewall)
            .map_err(|source| Error::File {
                action: "lock",
                path,
                source,
            })?;
        let networks = self.store.rows().networks()?;
        let policies: Vec<NetworkPolicy> = networks
            .iter()
            .filter(|network| network.state != State::Deleting)
            .map(|network| NetworkPolicy {
                bridge: network.bridge.to_string(),
                icc: network.options.icc,
                internal: network.internal,
            })
            .collect();
        if policies.is_empty() {
            nft::ensure_table_absent()?;
        } else {
            nft::ensure_table(&policies)?;
        }
        Ok(())
    }
}
