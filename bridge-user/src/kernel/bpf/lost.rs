//! Pins of maps that somebody removed. A map lives on in the programs that use it, wherever those are
//! attached, and traffic goes on: from there it is pinned again, with all that is in it.

use std::collections::BTreeSet;

use aya::maps::{MapData, MapInfo};
use aya::programs::{ProgramInfo, loaded_programs};

use super::BpfError;
use super::error::failed;
use super::pins::{self, map_path, program_path};
use crate::fault;
use crate::kernel::sys;

/// Makes the pins of these maps be there again, where a program of ours has the map. The caller holds the
/// directory.
pub(super) fn restore_maps(names: &[&str]) -> Result<(), BpfError> {
    let is_missing = |name: &&str| !map_path(name).exists();
    if !names.iter().any(is_missing) {
        return Ok(());
    }
    let ours = programs()?;
    for program in loaded_programs().flatten() {
        if !ours.contains(&program.id()) {
            continue;
        }
        let maps = program
            .map_ids()
            .map_err(failed("examine", "a program of ours"))?;
        for id in maps.unwrap_or_default() {
            let map = MapInfo::from_id(id).map_err(failed("examine", "a map of ours"))?;
            let name = names
                .iter()
                .find(|name| map.name_as_str() == Some(**name) && is_missing(name));
            if let Some(name) = name {
                let path = map_path(name);
                tracing::info!("bpftool map pin id {id} {}", path.display());
                let map = MapData::from_id(id).map_err(failed("open map", name))?;
                map.pin(&path).map_err(failed("pin", path.display()))?;
                fault::step();
            }
        }
    }
    Ok(())
}

/// Ids of programs that are pinned, or attached by links that are.
fn programs() -> Result<BTreeSet<u32>, BpfError> {
    let pinned = pins::PROGRAMS
        .iter()
        .filter_map(|name| ProgramInfo::from_pin(program_path(name)).ok());
    let mut ids: BTreeSet<u32> = pinned.map(|program| program.id()).collect();
    let links = pins::link_pins()?;
    let links = links.iter().filter_map(|pin| sys::bpf_link(pin).ok());
    ids.extend(links.map(|link| link.program));
    Ok(ids)
}
