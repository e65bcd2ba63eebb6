//! Hints for the program where endpoints are whose MAC address does not end in their slot: what the
//! map `HINTS` says.
//!
//! Only speed depends on them. Two commands that change one bucket at once may lose a hint; the next
//! `ensure` of its endpoint puts it back.

use bridge_common::Hints;
use bridge_ebpf::{hint_bucket, with_hint, without_hint};

use super::{BpfError, DataPlane, failed};

impl DataPlane {
    /// Makes the program guess the slot of a MAC address ([`bridge_common::wire_mac`]).
    pub(super) fn ensure_hint(&mut self, mac: [u16; 3], slot: u16) -> Result<(), BpfError> {
        if u16::from_be(mac[2]) == slot {
            return Ok(());
        }
        let bucket = hint_bucket(mac);
        let Some(slots) = with_hint(self.hints(bucket)?, slot) else {
            tracing::info!("map HINTS: bucket {bucket} is full, slot {slot} is found by hashing");
            return Ok(());
        };
        self.set_hints(bucket, slots)
    }

    /// Makes the program guess the slot no more.
    pub(super) fn ensure_hint_absent(&mut self, mac: [u16; 3], slot: u16) -> Result<(), BpfError> {
        let bucket = hint_bucket(mac);
        let slots = without_hint(self.hints(bucket)?, slot);
        self.set_hints(bucket, slots)
    }

    pub(super) fn hints(&self, bucket: u32) -> Result<u64, BpfError> {
        let hints = self.hints.get(&bucket, 0);
        Ok(hints
            .map_err(failed("read an entry of", "map HINTS"))?
            .slots)
    }

    fn set_hints(&mut self, bucket: u32, slots: u64) -> Result<(), BpfError> {
        if self.hints(bucket)? == slots {
            return Ok(());
        }
        tracing::info!("map HINTS: {bucket} -> {slots:#x}");
        let set = self.hints.set(bucket, Hints { slots }, 0);
        set.map_err(failed("write an entry of", "map HINTS"))
    }
}
