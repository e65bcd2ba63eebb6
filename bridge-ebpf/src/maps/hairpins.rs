//! `HAIRPINS`: flows of endpoints to published ports of neighbours, by an address of the host. Written by
//! the programs; the entries that were not used for the longest time make room for others, and are
//! made again by the next packet of who asks.

use aya_ebpf::{btf_maps::LruHashMap, macros::btf_map};
use bridge_common::{FlowKey, MAX_HAIRPINS};

#[btf_map]
static HAIRPINS: LruHashMap<FlowKey, u32, { MAX_HAIRPINS as usize }> = LruHashMap::new();

/// Whether a flow is one of these.
#[inline(always)]
pub(crate) fn has(flow: &FlowKey) -> bool {
    HAIRPINS.get_ptr(flow).is_some()
}

/// Makes a flow be one of these. Without memory it is not, and is not answered.
#[inline(always)]
pub(crate) fn ensure(flow: &FlowKey) {
    if !has(flow) {
        let _ = HAIRPINS.insert(flow, 1, 0);
    }
}
