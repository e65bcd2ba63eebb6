//! The pure half of the datapath.
#![no_std]
