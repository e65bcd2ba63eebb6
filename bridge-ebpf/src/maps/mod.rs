//! The maps. Each has one owner file; nobody else names its static.

#![allow(
    unsafe_code,
    reason = "map definitions are symbols in a section, and map values are shared with others"
)]

pub(crate) mod asked;
pub(crate) mod buckets;
pub(crate) mod endpoints;
pub(crate) mod events;
pub(crate) mod fdb;
pub(crate) mod flows;
pub(crate) mod hairpins;
pub(crate) mod hints;
pub(crate) mod links;
mod meta;
pub(crate) mod neighbours;
pub(crate) mod passing;
pub(crate) mod peers;
pub(crate) mod ports;
pub(crate) mod published;
pub(crate) mod stats;
pub(crate) mod subnets;

use bridge_common::MAX_PORTS;

/// Entries of the maps that have one for each port.
const ENTRIES: usize = MAX_PORTS as usize;
