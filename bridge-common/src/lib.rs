//! Types that the eBPF program and bridge-user share through BPF maps: layout only, no logic.
//!
//! Every type is `#[repr(C)]`, has no implicit padding (`bytemuck::Pod` refuses it at compile
//! time) and holds neither `bool`, `usize`, `Option` nor a Rust enum.

#![no_std]

mod fdb;
mod meta;
mod port;
mod stats;

pub use fdb::{FdbEntry, FdbKey};
pub use meta::Meta;
pub use port::{PORT_ICC_OFF, PORT_REDIRECT_OFF, PortEntry};
pub use stats::{DROP_REASONS, DropReason, NO_SLOT, PortStats};

/// Version of every layout in this crate, kept in the pinned map `META`.
///
/// Raise it when a shared type, a map's kind or the meaning of a field changes: the loader
/// refuses pins of another version.
pub const LAYOUT_VERSION: u32 = 1;

/// Ports that the maps hold at most: entries of `PORTS`, `FDB` and `STATS`.
pub const MAX_PORTS: u32 = 16_384;

/// Implements `aya::Pod` for a type that bytemuck has already proved to be plain data.
macro_rules! map_type {
    ($type:ty, $size:expr) => {
        const _: () = assert!(core::mem::size_of::<$type>() == $size);

        #[cfg(feature = "user")]
        #[allow(unsafe_code, reason = "a Pod impl, backed by bytemuck's check")]
        // SAFETY: `bytemuck::Pod` is derived for the type, so every byte pattern is a value
        // and there is no padding; `aya::Pod` asks for no more.
        unsafe impl aya::Pod for $type {}
    };
}
pub(crate) use map_type;
