//! `EVENTS`, `TRACE` and `DECISION`: what the program tells of single frames.

use aya_ebpf::{
    btf_maps::{Array, RingBuf},
    macros::btf_map,
};
use bridge_common::{DecisionRecord, EVENTS_BYTES, Event, TraceState};

use super::buckets::now_ns;

#[btf_map]
static EVENTS: RingBuf<Event, { EVENTS_BYTES as usize }> = RingBuf::new();

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
    let Some(state) = TRACE.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the kernel returned a valid value; both fields are eight aligned bytes.
    let state = unsafe { &mut *state };
    let time_ns = now_ns();
    if state.until_ns < time_ns {
        return;
    }
    let Some(mut entry) = EVENTS.reserve(0) else {
        state.lost = state.lost.wrapping_add(1);
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
