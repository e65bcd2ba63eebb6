//! Address management: which address or subnet is next. Pure: what is taken comes as an argument,
//! the store makes a choice stick.

mod address;
mod subnet;

pub use address::next_address;
pub use subnet::{AddressPool, AddressPoolError, AddressPools, overlap, ula_subnet};
