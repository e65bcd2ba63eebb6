//! `PUBLISHED`: where published ports lead. Written by bridge-user only.

use aya_ebpf::{bindings::BPF_F_NO_PREALLOC, btf_maps::HashMap, macros::btf_map};
use bridge_common::{MAX_PUBLISHED, PublishedKey, SocketAddress};

/// It takes memory as it fills.
#[btf_map]
static PUBLISHED: HashMap<
    PublishedKey,
    SocketAddress,
    { MAX_PUBLISHED as usize },
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

/// Where what is asked for leads.
#[inline(always)]
pub(crate) fn find(key: &PublishedKey) -> Option<SocketAddress> {
    // SAFETY: as in `fdb::find`.
    unsafe { PUBLISHED.get(key) }.copied()
}
