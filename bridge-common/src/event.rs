//! What the program tells of single frames: the storm limit's memory, trace events, and the
//! decision that it leaves for `explain`.

use bytemuck::{Pod, Zeroable};

/// What the kernel finds in a map's value by this name of its type, and keeps CPUs apart by
/// (Documentation/bpf/map_array.rst and `btf_find_spin_lock`, kernel/bpf/btf.c, v6.1).
#[allow(non_camel_case_types, reason = "the kernel's name, which it looks for")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct bpf_spin_lock {
    /// The kernel's.
    pub val: u32,
}

/// Value of the map `BUCKETS`; the key is the slot. Written by the program, on one CPU at a time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Bucket {
    /// When the last frame that passed would have come, had each come at the rate of the limit
    /// (`CLOCK_MONOTONIC`).
    pub arrival_ns: u64,
    /// Held while `arrival_ns` is read and written.
    pub lock: bpf_spin_lock,
    /// Always zero.
    pub reserved: u32,
}

/// `skb->mark` of a made frame: the program decides, leaves a [`DecisionRecord`] in `DECISION`,
/// and touches no counter, bucket or event. A sandbox cannot set it: the mark does not survive
/// the way between namespaces (`skb_scrub_packet`, net/core/skbuff.c, v6.18).
pub const EXPLAIN_MARK: u32 = 0x6275_7365;

/// What became of a frame, in records: [`DecisionRecord::verdict`].
pub mod verdict {
    /// Dropped.
    pub const DROP: u16 = 0;
    /// Redirected into the receiver's namespace.
    pub const REDIRECT: u16 = 1;
    /// Left to the Linux bridge.
    pub const NEXT: u16 = 2;
    /// Answered by the program.
    pub const ANSWER: u16 = 3;
    /// Handed to the host's stack, past the bridge.
    pub const HOST: u16 = 4;
}

/// The decision about one frame: value of the map `DECISION`, and part of [`Event`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct DecisionRecord {
    /// Index of the host leg that the frame came in on.
    pub ifindex: u32,
    /// Index that it was sent to, for `REDIRECT` and `HOST`.
    pub target: u32,
    /// Slot of the port.
    pub slot: u16,
    /// One of [`verdict`].
    pub verdict: u16,
    /// Number of the [`crate::DropReason`], for `DROP`.
    pub reason: u16,
    /// The check that decided, by its place in the order (`bridge_ebpf::Check`).
    pub check: u16,
}

/// First bytes of a frame that an event carries.
pub const EVENT_BYTES: usize = 64;

/// An element of the ring buffer `EVENTS`: a drop or a miss, while somebody traces.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Event {
    /// When (`CLOCK_MONOTONIC`).
    pub time_ns: u64,
    /// What was decided.
    pub decision: DecisionRecord,
    /// Length of the frame.
    pub length: u32,
    /// Bytes of `head` that are the frame's.
    pub head_length: u32,
    /// The frame's first bytes.
    pub head: [u8; EVENT_BYTES],
}

/// The one value of the map `TRACE`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct TraceState {
    /// Events are wanted until then (`CLOCK_MONOTONIC`): whoever reads them renews it, so that
    /// nobody pays for a reader that died.
    pub until_ns: u64,
}

crate::map_type!(Bucket, 16);
crate::map_type!(DecisionRecord, 16);
crate::map_type!(Event, 96);
crate::map_type!(TraceState, 8);
