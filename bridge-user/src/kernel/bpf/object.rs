//! The BPF object that is embedded in this binary, and how its programs are loaded.

use std::path::PathBuf;

use aya::programs::Program;
use aya::{Ebpf, EbpfLoader};

use super::error::{Cause, failed};
use super::pins::{self, map_path};
use super::{BpfError, publish, sizes};
use crate::kernel::netns::NetNs;
use crate::kernel::probe;
use crate::model::MapSizes;

pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("BRIDGE_USER_BPF_OBJECT"));

/// FNV-1a hash of the embedded object (draft-eastlake-fnv, 64 bits), computed by build.rs.
pub const fn object_hash() -> u64 {
    OBJECT_HASH
}

const OBJECT_HASH: u64 = match u64::from_str_radix(env!("BRIDGE_USER_BPF_HASH"), 10) {
    Ok(hash) => hash,
    Err(_) => panic!("build.rs writes a number"),
};

/// Loads the object over the maps that are pinned; the others are made, of these sizes. The programs
/// are told what this kernel does, and which namespace is the host's.
pub(super) fn load_over_pins(sizes: &MapSizes) -> Result<Ebpf, BpfError> {
    let peer_scrubs = u8::from(probe::peer_scrubs());
    let sockets_readable = u8::from(!probe::keeps_secrets());
    let host_cookie = NetNs::host_cookie()?;
    let pinned: Vec<(&str, PathBuf)> = pins::MAPS
        .into_iter()
        .chain(publish::MAPS)
        .map(|name| (name, map_path(name)))
        .filter(|(_, path)| path.exists())
        .collect();
    let mut loader = EbpfLoader::new();
    loader
        .btf(None)
        .override_global("PEER_SCRUBS", &peer_scrubs, true)
        .override_global("SOCKETS_READABLE", &sockets_readable, true)
        .override_global("HOST_COOKIE", &host_cookie, true);
    for (map, _, entries) in sizes::entries(sizes) {
        loader.map_max_entries(map, entries);
    }
    for (name, path) in &pinned {
        loader.map_pin_path(name, path.as_path());
    }
    loader.load(OBJECT).map_err(|e| BpfError::Load(Box::new(e)))
}

pub(super) fn loaded_program<'o>(
    object: &'o mut Ebpf,
    name: &str,
) -> Result<&'o mut Program, BpfError> {
    let program = object
        .program_mut(name)
        .ok_or(BpfError::Missing("program that the loader needs"))?;
    let loaded = match program {
        Program::SchedClassifier(program) => program.load(),
        Program::Xdp(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        _ => return Err(BpfError::Missing("program of a kind that the loader knows")),
    };
    loaded.map_err(|error| failed("load program", name)(Cause::of_load(error)))?;
    Ok(program)
}
