//! The pure half of the datapath: what to do with a frame, and how to count it.
//!
//! The program (`main.rs`) gives [`decide`] a [`Frame`] to read and [`Tables`] to ask, and acts on
//! the [`Decision`]. The same code runs in host tests, over bytes and tables in memory.

#![cfg_attr(not(any(test, feature = "testing")), no_std)]
#![allow(
    clippy::inline_always,
    reason = "one program without calls: aya loads no function that was not inlined"
)]

mod address;
mod answer;
mod count;
mod decide;
mod flow;
mod forward;
mod frame;
mod hairpin;
mod hints;
mod host_road;
mod nat;
mod parse;
mod publish;
mod security;
mod segment;
mod tables;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod verdict;

pub use answer::{ARP_OPERATION, ArpReply, NA_LENGTH, arp_reply, neighbour_advertisement};
pub use count::{Weight, count};
pub use decide::decide;
pub use flow::{
    Inward, Outward, Seen, TRUST_NS, came_in, came_out, inward, longest, outward, passed,
    takes_flows,
};
pub use frame::{Frame, HEADERS_MAX};
pub use hairpin::{Asked, asked};
pub use hints::{hint_bucket, with_hint, without_hint};
pub use host_road::{host_leg, passes_bridge};
pub use nat::{End, HEADERS4, HEADERS6, Translated, Translation, translated4, translated6};
pub use publish::{Nobodys, Publications, is_taken, nobodys, translate};
pub use segment::Segment;
pub use tables::Tables;
pub use verdict::{Answer, Check, Decision, Verdict};
