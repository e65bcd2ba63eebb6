//! `LINKS`: pairs that may speak with each other where ICC is off. Written by bridge-user only.

use aya_ebpf::{bindings::BPF_F_NO_PREALLOC, btf_maps::HashMap, macros::btf_map};
use bridge_common::{LinkKey, MAX_LINKS};

/// It takes memory as it fills: on most hosts it is empty.
#[btf_map]
static LINKS: HashMap<LinkKey, u32, { MAX_LINKS as usize }, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// Whether frames may go from one to the other.
#[inline(always)]
pub(crate) fn has(key: &LinkKey) -> bool {
    LINKS.get_ptr(key).is_some()
}
