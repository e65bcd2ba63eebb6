//! What all networks share on a host: the data plane's pins, the nft table, and forwarding. They are
//! there as long as a network is.

use super::error::Errors;
use super::lock::Object;
use super::{Context, Error};
use crate::fault;
use crate::kernel::bpf::{self, NetworkFacts};
use crate::kernel::nft;
use crate::model::{Network, State};

impl Context {
    /// Makes the pins and the table be as the networks that are not being removed say. Who comes
    /// second sees the first one's rows: the lock is held from the reading to the writing.
    ///
    /// The pins come first: they say whose the host's networks are. A network that is `going` is
    /// taken out of the maps here, where nobody takes the pins away meanwhile.
    pub(super) fn ensure_shared(&mut self, going: Option<&NetworkFacts>) -> Result<(), Error> {
        let _lock = self.lock(Object::Shared)?;
        self.write_shared(going)
    }

    /// The same for who holds what is shared.
    pub(super) fn write_shared(&mut self, going: Option<&NetworkFacts>) -> Result<(), Error> {
        let networks = self.store.rows().networks()?;
        let networks: Vec<&Network> = networks
            .iter()
            .filter(|network| network.state != State::Deleting && !self.nothing_shared)
            .collect();
        if networks.is_empty() {
            let mut errors = Errors::default();
            errors.note(self.ensure_forwarding(&networks));
            errors.note(self.forget_reserved());
            fault::step();
            errors.note(self.ensure_uplinks());
            fault::step();
            errors.note(nft::ensure_table_absent());
            fault::step();
            self.data_plane = None;
            errors.note(bpf::purge());
            errors.into_result()
        } else {
            let data_plane = self.data_plane()?;
            if let Some(going) = going {
                data_plane.ensure_network_absent(going)?;
            }
            fault::step();
            // Who comes after a crash looks at others' rules, too.
            self.forget_others_rules()?;
            let published = self.store.rows().published(&self.boot_id)?;
            nft::ensure_table(&networks, &published)?;
            fault::step();
            // Nothing is forwarded that no rule has looked at.
            self.ensure_forwarding(&networks)?;
            self.ensure_uplinks()
        }
    }
}
