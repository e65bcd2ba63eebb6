//! `META`: layout version and object hash of the pins. The loader's alone; no program reads it.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use bridge_common::Meta;

#[btf_map]
static META: Array<Meta, 1> = Array::new();
