//! `BUCKETS`: how much of a port's allowance of broadcast and multicast is taken, by slot. Written by
//! the program.

use aya_ebpf::{
    btf_maps::Array,
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_spin_lock, bpf_spin_unlock},
    },
    macros::btf_map,
};
use bridge_common::Bucket;

use super::ENTRIES;

const NS_PER_SEC: u64 = 1_000_000_000;

#[btf_map]
static BUCKETS: Array<Bucket, ENTRIES> = Array::new();

/// Whether one more frame may pass: each puts off the next by its share of a second, and what is put
/// off by more than a second does not pass. That is the generic cell rate algorithm (ITU-T I.371, 1.1),
/// with a second's worth at once.
#[inline(always)]
pub(crate) fn admit(slot: u16, pps: u32) -> bool {
    let Some(bucket) = BUCKETS.get_ptr_mut(u32::from(slot)) else {
        return false;
    };
    let now = now_ns();
    let price = NS_PER_SEC / u64::from(pps.max(1));
    // SAFETY: the kernel returned a valid value, which other CPUs write only while they hold its lock.
    // Between lock and unlock is no call: the verifier refuses any.
    unsafe {
        let lock = (&raw mut (*bucket).lock).cast();
        bpf_spin_lock(lock);
        let arrival = now.max((*bucket).arrival_ns) + price;
        let admitted = arrival - now <= NS_PER_SEC;
        if admitted {
            (*bucket).arrival_ns = arrival;
        }
        bpf_spin_unlock(lock);
        admitted
    }
}

/// Time since boot (`CLOCK_MONOTONIC`).
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_ktime_get_ns() }
}
