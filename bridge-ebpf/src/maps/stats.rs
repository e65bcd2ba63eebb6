//! `STATS`: counters of a port, by slot, per CPU. Written by the program, read by bridge-user.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use bridge_common::PortStats;

use super::ENTRIES;

#[btf_map]
static STATS: PerCpuArray<PortStats, ENTRIES> = PerCpuArray::new();

/// Changes this CPU's counters of a slot; a slot beyond the map is not counted.
#[inline(always)]
pub(crate) fn update(slot: u16, change: impl FnOnce(&mut PortStats)) {
    if let Some(stats) = STATS.get_ptr_mut(u32::from(slot)) {
        // SAFETY: the kernel returned a valid value; this CPU's copy has no other writer while
        // the program runs, because TC programs run with bottom halves off.
        change(unsafe { &mut *stats });
    }
}
