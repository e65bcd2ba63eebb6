//! A look at what is pinned, by names, and at the few links that can be there and hold nothing: cheap
//! enough for every command.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::path::Path;

use super::{hook, pins, publish, uplinks};

/// The pins of one moment.
#[derive(Debug)]
pub struct Pinned {
    /// All programs and the maps that are there with them.
    complete: bool,
    /// The programs of published ports are attached.
    published: bool,
    /// By file name: whole paths take longer to compare than all else that a look does.
    links: HashSet<OsString>,
}

impl Pinned {
    /// Looks. What cannot be read is not there: who makes it right finds out why.
    pub fn look() -> Self {
        let pins = pins::link_pins().unwrap_or_default();
        Self {
            complete: pins::is_complete(),
            published: publish::is_attached(),
            links: pins
                .iter()
                .filter_map(|pin| Some(pin.file_name()?.into()))
                .collect(),
        }
    }

    /// Whether the programs and their maps are there.
    pub fn has_programs(&self) -> bool {
        self.complete
    }

    /// Whether the programs of published ports are attached, and their maps there.
    pub fn holds_published(&self) -> bool {
        self.published
    }

    /// The indices of the uplinks that something is pinned of.
    pub(super) fn uplinks(&self) -> BTreeSet<u32> {
        let links = self.links.iter();
        links.filter_map(|name| uplinks::ifindex_of(name)).collect()
    }

    /// Whether what the host sends into this network passes its bridge. As with ports.
    pub fn holds_bridge(&self, network: &str) -> bool {
        self.complete && (!hook::has_links() || self.has_link(&pins::bridge_link_path(network)))
    }

    /// Whether a port of this endpoint has what holds the programs to it; `xdp` asks for both. Where
    /// links cannot be pinned, the programs' pins have to do.
    pub fn holds(&self, endpoint: &str, xdp: bool) -> bool {
        self.complete
            && (!hook::has_links() || self.has_link(&pins::link_path(endpoint)))
            && (!xdp || self.has_link(&pins::xdp_link_path(endpoint)))
    }

    pub(super) fn has_link(&self, pin: &Path) -> bool {
        pin.file_name()
            .is_some_and(|name| self.links.contains(name))
    }
}
