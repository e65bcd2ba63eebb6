//! For tests, here and of the loaded program: a world of tables, frames, and rows of both.

#![allow(clippy::missing_panics_doc, reason = "tests want to panic")]

mod frames;
#[rustfmt::skip] // A row is a line.
mod rows;
mod standard;
mod world;

pub use frames::{Sender, dhcp, ipv4, ipv6, mac, neighbour, raw, tagged, udp4};
pub use rows::{Row, rows};
pub use world::World;

#[cfg(test)]
mod tests;
