//! The map `LINKS`: which pairs may speak with each other where ICC is off.

use std::collections::BTreeSet;

use aya::maps::MapError;
use bridge_common::{LinkKey, wire_mac};

use super::sizes::write_failed;
use super::{BpfError, DataPlane, absent_is_fine, failed};
use crate::fault;

/// MAC addresses of two endpoints of a network, which may speak with each other.
pub type LinkedPair = [[u8; 6]; 2];

impl DataPlane {
    /// Makes the program know these pairs of a network, and no others.
    pub fn ensure_linked(&mut self, network: u16, pairs: &[LinkedPair]) -> Result<(), BpfError> {
        let direction = |from, to| LinkKey {
            from: wire_mac(from),
            to: wire_mac(to),
            network,
            reserved: 0,
        };
        let both = |[one, other]: &LinkedPair| [direction(*one, *other), direction(*other, *one)];
        let wanted: BTreeSet<LinkKey> = pairs.iter().flat_map(both).collect();
        let present: Result<BTreeSet<LinkKey>, MapError> = self.links.keys().collect();
        let mut present = present.map_err(failed("read the entries of", "map LINKS"))?;
        present.retain(|key| key.network == network);
        for key in present.difference(&wanted) {
            tracing::info!("map LINKS: {key:?} -> nothing");
            absent_is_fine(self.links.remove(key))
                .map_err(failed("remove an entry of", "map LINKS"))?;
            fault::step();
        }
        for key in wanted.difference(&present) {
            tracing::info!("map LINKS: {key:?}");
            self.links
                .insert(key, 1, 0)
                .map_err(write_failed("LINKS"))?;
            fault::step();
        }
        Ok(())
    }
}
