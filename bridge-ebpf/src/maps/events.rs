//! `EVENTS`, `LOST`, `TRACE` and `DECISION`: what the program tells of single frames.

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray, RingBuf},
    macros::btf_map,
};
use bridge_common::{DecisionRecord, EVENTS_BYTES, Event, TraceState};

use super::buckets::now_ns;

#[btf_map]
static EVENTS: RingBuf<Event, { EVENTS_BYTES as usize }> = RingBuf::new();

/// Events that found the ring buffer full, per CPU. Written by the program only.
#[btf_map]
static LOST: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Written by bridge-user only.
#[btf_map]
static TRACE: Array<TraceState, 1> = Array::new();

#[btf_map]
static DECISION: Array<DecisionRecord, 1> = Array::new();

/// Leaves the decision about a made frame.
#[inline(always)]
pub(crate) fn leave(record: DecisionRecord) {
    if let Some(value) = DECISION.get_ptr_mut(0) {
        // SAFETY: the kernel returned a valid value; bridge-user runs one made frame at a time.
        unsafe { *value = record };
    }
}

/// Tells of a frame, if somebody wants to know: `fill` copies its first bytes and says how many.
#[inline(always)]
pub(crate) fn tell(record: DecisionRecord, length: u32, fill: impl FnOnce(&mut Event)) {
    let Some(state) = TRACE.get(0) else {
        return;
    };
    let time_ns = now_ns();
    if state.until_ns < time_ns {
        return;
    }
    let Some(mut entry) = EVENTS.reserve(0) else {
        lose();
        return;
    };
    // SAFETY: the kernel returned memory for an event, and zeroes are one.
    let event = unsafe {
        entry.as_mut_ptr().write_bytes(0, 1);
        &mut *entry.as_mut_ptr()
    };
    event.time_ns = time_ns;
    event.decision = record;
    event.length = length;
    fill(event);
    entry.submit(0);
}

#[inline(always)]
fn lose() {
    if let Some(lost) = LOST.get_ptr_mut(0) {
        // SAFETY: as in `stats::update`: this CPU's copy has no other writer meanwhile.
        unsafe { *lost = (*lost).wrapping_add(1) };
    }
}
