//! A look at what is pinned, by names alone: cheap enough for every command.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{hook, pins};

/// The pins of one moment.
#[derive(Debug)]
pub struct Pinned {
    programs: bool,
    links: BTreeSet<PathBuf>,
}

impl Pinned {
    /// Looks. What cannot be read is not there: who makes it right finds out why.
    pub fn look() -> Self {
        let links = pins::link_pins().unwrap_or_default();
        Self {
            programs: pins::is_pinned(),
            links: links.into_iter().collect(),
        }
    }

    /// Whether the programs are there.
    pub fn has_programs(&self) -> bool {
        self.programs
    }

    /// Whether a port of this endpoint has what holds the programs to it; `xdp` asks for both. Where
    /// links cannot be pinned, the programs' pins have to do.
    pub fn holds(&self, endpoint: &str, xdp: bool) -> bool {
        self.programs
            && (!hook::has_links() || self.links.contains(&pins::link_path(endpoint)))
            && (!xdp || self.links.contains(&pins::xdp_link_path(endpoint)))
    }
}
