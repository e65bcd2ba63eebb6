//! What the pins in a bpffs are: their layout and the object that they came from.

use bytemuck::{Pod, Zeroable};

/// The one value of the map `META`, the same in all layouts.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Meta {
    /// [`crate::LAYOUT_VERSION`] of the loader that made the maps.
    pub layout_version: u32,
    /// Always zero.
    pub reserved: u32,
    /// FNV-1a hash of the BPF object that the pinned programs were loaded from.
    pub object_hash: u64,
    /// Number of the state that the pins belong to: slots and network numbers are its own.
    pub owner: u64,
}

crate::map_type!(Meta, 24);
