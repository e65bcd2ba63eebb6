//! `BUCKETS`: what is left of a port's allowance of broadcast and multicast, by slot. Written by
//! the program.

use aya_ebpf::{btf_maps::Array, helpers::bpf_ktime_get_ns, macros::btf_map};
use bridge_common::Bucket;

use super::ENTRIES;

const NS_PER_SEC: u64 = 1_000_000_000;

#[btf_map]
static BUCKETS: Array<Bucket, ENTRIES> = Array::new();

/// Takes one frame's worth out of a bucket that holds a second's, if there is as much.
#[inline(always)]
pub(crate) fn admit(slot: u16, pps: u32) -> bool {
    let Some(bucket) = BUCKETS.get_ptr_mut(u32::from(slot)) else {
        return false;
    };
    // SAFETY: the kernel returned a valid value. Other CPUs may write it too; a value is eight
    // aligned bytes, so it is one that somebody wrote. A credit may be taken twice by two CPUs at once.
    let bucket = unsafe { &mut *bucket };
    let now = now_ns();
    // Another CPU may have written a later time since this one looked at its clock.
    let gained = now.saturating_sub(bucket.refilled_ns);
    let credit = bucket.credit_ns.saturating_add(gained).min(NS_PER_SEC);
    let price = NS_PER_SEC / u64::from(pps.max(1));
    bucket.refilled_ns = now.max(bucket.refilled_ns);
    let admitted = credit >= price;
    bucket.credit_ns = if admitted { credit - price } else { credit };
    admitted
}

/// Time since boot (`CLOCK_MONOTONIC`).
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_ktime_get_ns() }
}
