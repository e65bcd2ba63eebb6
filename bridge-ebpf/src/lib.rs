//! The pure half of the datapath: what to do with a frame, and how to count it.
//!
//! No map, no context, no packet pointer: the program (`main.rs`) gathers [`Facts`], [`decide`]
//! names a [`Verdict`], and the program acts on it. The same code runs in host unit tests.

#![no_std]
#![allow(
    clippy::inline_always,
    reason = "one program without calls: aya loads no function that was not inlined"
)]

mod count;
mod decide;
mod verdict;

pub use count::{Weight, count};
pub use decide::{Facts, decide, fdb_key};
pub use verdict::Verdict;
