//! `NEIGHBOURS`: who has an address in a network. Written by bridge-user only.

use aya_ebpf::{btf_maps::HashMap, macros::btf_map};
use bridge_common::{MAX_NEIGHBOURS, NeighbourEntry, NeighbourKey};

#[btf_map]
static NEIGHBOURS: HashMap<NeighbourKey, NeighbourEntry, { MAX_NEIGHBOURS as usize }> =
    HashMap::new();

/// Who has an address.
#[inline(always)]
pub(crate) fn find(key: &NeighbourKey) -> Option<NeighbourEntry> {
    // SAFETY: as in `fdb::find`.
    unsafe { NEIGHBOURS.get(key) }.copied()
}
