//! Container networks on one Linux host, with an eBPF fast path. See ARCHITECTURE.md.

pub mod cli;
mod fault;
pub mod ipam;
pub mod kernel;
pub mod model;
pub mod ops;
pub mod service;
pub mod store;
