//! What links open: where the default network has ICC off, who is linked may speak with each other.

use super::{Context, Error};
use crate::kernel::bpf::LinkedPair;
use crate::model::{Endpoint, Network, State};

impl Context {
    /// Makes the program know a network's linked pairs. The caller holds the names, and read the
    /// endpoints since: who comes second sees the first one's rows.
    ///
    /// Everywhere else a link is a name and nothing else, as Docker's.
    pub(super) fn ensure_linked(
        &mut self,
        network: &Network,
        endpoints: &[Endpoint],
    ) -> Result<(), Error> {
        if !network.is_default() || network.options.icc {
            return Ok(());
        }
        let pairs = pairs(network, endpoints);
        match self.pinned_data_plane()? {
            Some(data_plane) => Ok(data_plane.ensure_linked(network.number, &pairs)?),
            None => Ok(()),
        }
    }
}

/// Who is linked with whom, as long as both are there.
fn pairs(network: &Network, endpoints: &[Endpoint]) -> Vec<LinkedPair> {
    let there = |e: &&Endpoint| e.network == network.id && e.state != State::Deleting;
    let there: Vec<&Endpoint> = endpoints.iter().filter(there).collect();
    let mut pairs = Vec::new();
    for endpoint in &there {
        for link in &endpoint.links {
            let others = there.iter().filter(|other| link.is_to(other));
            pairs.extend(others.map(|other| [endpoint.mac.bytes(), other.mac.bytes()]));
        }
    }
    pairs
}
