//! `ENDPOINTS`: who is behind which port, by slot. Written by bridge-user only.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use bridge_common::EndpointEntry;

use super::ENTRIES;

#[btf_map]
static ENDPOINTS: Array<EndpointEntry, ENTRIES> = Array::new();

/// The endpoint of a slot. Its `ifindex` is written last and cleared first, so that an entry which
/// is being written is nobody's.
#[inline(always)]
pub(crate) fn find(slot: u16) -> Option<&'static EndpointEntry> {
    ENDPOINTS.get(u32::from(slot))
}
