//! `SUBNETS`: every subnet of every network, a trie. Written by bridge-user only.

use aya_ebpf::{
    btf_maps::{LpmTrie, lpm_trie::Key},
    macros::btf_map,
};
use bridge_common::{Address, MAX_SUBNETS, SubnetEntry, SubnetKey};

#[btf_map]
static SUBNETS: LpmTrie<SubnetKey, SubnetEntry, { MAX_SUBNETS as usize }> = LpmTrie::new();

/// A key is packed, and the stack only takes aligned stores.
#[repr(C, align(8))]
struct Aligned(Key<SubnetKey>);

/// The smallest subnet that has an address.
#[inline(always)]
pub(crate) fn find(address: &Address) -> Option<SubnetEntry> {
    let key = Aligned(Key::new(
        160,
        SubnetKey {
            reserved: [0; 4],
            address: *address,
        },
    ));
    SUBNETS.get(&key.0).copied()
}
