//! `FLOWS`: flows from outside to published ports, and when the firewall last let one of their packets
//! pass. Written by the programs; the entries that were not used for the longest time make room for
//! others, and their flows begin anew at the firewall.

use aya_ebpf::{
    btf_maps::LruHashMap, helpers::generated::bpf_ktime_get_coarse_ns, macros::btf_map,
};
use bridge_common::{FlowEntry, FlowKey, MAX_FLOWS};

#[btf_map]
static FLOWS: LruHashMap<FlowKey, FlowEntry, { MAX_FLOWS as usize }> = LruHashMap::new();

/// An entry in the map. Programs on other CPUs may write it meanwhile, field by field, and the kernel
/// may give the memory of one that is evicted to another: what is read is compared where it matters,
/// or wrong for a packet at most.
#[derive(Clone, Copy)]
pub(crate) struct Flow(*mut FlowEntry);

/// The entry of a flow.
#[inline(always)]
pub(crate) fn find(key: &FlowKey) -> Option<Flow> {
    FLOWS.get_ptr_mut(key).map(Flow)
}

/// Makes this the entry of a flow, in the place of another. Without memory there is none.
#[inline(always)]
pub(crate) fn set(key: &FlowKey, entry: &FlowEntry) {
    let _ = FLOWS.insert(key, entry, 0);
}

impl Flow {
    /// What it is.
    #[inline(always)]
    pub(crate) fn get(&self) -> &FlowEntry {
        // SAFETY: the kernel returned a valid value, which stays memory of the map's; any bytes are one.
        unsafe { &*self.0 }
    }

    /// Notes the packet that goes to the firewall, and whether it `ends` a direction.
    #[inline(always)]
    pub(crate) fn try_in(&self, hash: u32, ends: bool) {
        // SAFETY: as in `get`; the field is written at once.
        unsafe { (&raw mut (*self.0).hash_in).write_volatile(hash) };
        self.close(ends);
    }

    /// Likewise of one from the endpoint.
    #[inline(always)]
    pub(crate) fn try_out(&self, hash: u32, ends: bool) {
        // SAFETY: as in `try_in`.
        unsafe { (&raw mut (*self.0).hash_out).write_volatile(hash) };
        self.close(ends);
    }

    #[inline(always)]
    fn close(&self, ends: bool) {
        if ends {
            // SAFETY: as in `try_in`.
            unsafe { (&raw mut (*self.0).closing).write_volatile(1) };
        }
    }

    /// Notes that a packet for the endpoint of this slot came out of it.
    #[inline(always)]
    pub(crate) fn pass_in(&self, slot: u16, now: u64) {
        // SAFETY: as in `try_in`.
        unsafe {
            (&raw mut (*self.0).slot).write_volatile(slot);
            (&raw mut (*self.0).passed_in).write_volatile(now);
        }
    }

    /// The way that answers take, where none has left yet: nobody looks at it before one has.
    #[inline(always)]
    pub(crate) fn begin_way(&self, ifindex: u32, link: [u16; 6]) {
        // SAFETY: as in `try_in`.
        unsafe {
            (&raw mut (*self.0).ifindex_out).write_volatile(ifindex);
            (&raw mut (*self.0).link).write_volatile(link);
        }
    }

    /// Likewise of one from the endpoint; `longest` is what came out at most.
    #[inline(always)]
    pub(crate) fn pass_out(&self, longest: u32, now: u64) {
        // SAFETY: as in `try_in`.
        unsafe {
            (&raw mut (*self.0).longest_out).write_volatile(longest);
            (&raw mut (*self.0).passed_out).write_volatile(now);
        }
    }
}

/// Time since boot, as it was at the last tick: a millisecond to ten ago (Linux 5.11).
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_ktime_get_coarse_ns() }
}
