//! `FDB`: which port a MAC address of a network is behind. Written by bridge-user only.

use aya_ebpf::{btf_maps::HashMap, macros::btf_map};
use bridge_common::{FdbEntry, FdbKey};

use super::ENTRIES;

#[btf_map]
static FDB: HashMap<FdbKey, FdbEntry, ENTRIES> = HashMap::new();

/// The entry of a MAC address in a network.
#[inline(always)]
pub(crate) fn find(key: &FdbKey) -> Option<FdbEntry> {
    // SAFETY: the value is copied at once and the reference does not leave this function; no
    // program writes the map.
    unsafe { FDB.get(key) }.copied()
}
