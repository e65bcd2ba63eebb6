//! `HINTS`: slots of endpoints by a hash of their MAC address. Written by bridge-user only.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use bridge_common::{HINT_BUCKETS, Hints};

#[btf_map]
static HINTS: Array<Hints, { HINT_BUCKETS as usize }> = Array::new();

/// The slots in a bucket.
#[inline(always)]
pub(crate) fn find(bucket: u32) -> u64 {
    HINTS.get(bucket).map_or(0, |hints| hints.slots)
}
