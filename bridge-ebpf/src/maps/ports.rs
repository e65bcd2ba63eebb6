//! `PORTS`: the host legs that are ours, by ifindex. Written by bridge-user only.

use aya_ebpf::{btf_maps::HashMap, macros::btf_map};
use bridge_common::PortEntry;

use super::ENTRIES;

#[btf_map]
static PORTS: HashMap<u32, PortEntry, ENTRIES> = HashMap::new();

/// The entry of a port.
#[inline(always)]
pub(crate) fn find(ifindex: u32) -> Option<PortEntry> {
    // SAFETY: the value is copied at once and the reference does not leave this function; no
    // program writes the map.
    unsafe { PORTS.get(ifindex) }.copied()
}
