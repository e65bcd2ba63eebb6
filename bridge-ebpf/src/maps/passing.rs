//! `PASSING`: whether flows may pass the firewall by where nobody said so. Written by bridge-user only,
//! which looks at the rules of others.

use aya_ebpf::{btf_maps::Array, macros::btf_map};

#[btf_map]
static PASSING: Array<u32, 1> = Array::new();

/// Whether they may.
#[inline(always)]
pub(crate) fn is_set() -> bool {
    PASSING
        .get(0)
        .is_some_and(|passing| *passing == bridge_common::PASSING)
}
