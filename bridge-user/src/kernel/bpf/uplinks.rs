//! The programs at uplinks, which hand what comes from outside for published ports to endpoints: at the
//! ingress and the egress of each, by pinned tcx links.
//!
//! An uplink is somebody else's, so nothing of ours stays there: a link ends with its pin. Clsact
//! filters would stay, so without tcx there are none, and the firewall is alone.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use aya::maps::{Array, MapData};
use bridge_common::PASSING;

use super::error::failed;
use super::hook::{self, Place};
use super::{BpfError, pins};
use crate::fault;

/// Beginning and ends of the names of their links' pins; between is the index of the uplink.
const LINK: &str = "uplink-";
const INGRESS: &str = "-ingress";
const EGRESS: &str = "-egress";

/// Makes flows pass the firewall by where nobody said so, or not.
pub fn ensure_passing(passes: bool) -> Result<(), BpfError> {
    if is_passing() == Some(passes) {
        return Ok(());
    }
    let mut map: Array<MapData, u32> = pins::map("PASSING")?;
    let wanted = if passes { PASSING } else { 0 };
    tracing::info!("map PASSING: {wanted}");
    let set = map.set(0, wanted, 0);
    set.map_err(failed("write an entry of", "map PASSING"))
}

/// Whether flows pass the firewall by where nobody said so; `None` where the map cannot be read.
pub fn is_passing() -> Option<bool> {
    let map: Array<MapData, u32> = pins::map("PASSING").ok()?;
    Some(map.get(&0, 0).ok()? == PASSING)
}

/// Makes the programs be at an uplink, by its index and name.
pub fn ensure_uplink(ifindex: u32, name: &str) -> Result<(), BpfError> {
    // What comes out of the firewall is noted before anything is sent past it.
    for egress in [true, false] {
        let place = Place { link: name, egress };
        let pin = link_path(ifindex, egress);
        hook::ensure_attached(&mut pins::uplink_program(egress)?, place, &pin)?;
        fault::step();
    }
    Ok(())
}

/// Makes them be gone from there, if the link is there at all.
pub fn ensure_uplink_absent(ifindex: u32) -> Result<(), BpfError> {
    for egress in [false, true] {
        pins::ensure_file_absent(&link_path(ifindex, egress))?;
        fault::step();
    }
    Ok(())
}

/// Puts the pinned programs behind all links there are.
pub(super) fn replace_all() -> Result<(), BpfError> {
    let mut links = pins::link_pins()?;
    links.retain(|pin| is_link(pin));
    if links.is_empty() {
        return Ok(());
    }
    for egress in [true, false] {
        let end = if egress { EGRESS } else { INGRESS };
        let there = links.iter().filter(|pin| pins::ends_in(pin, end));
        let there: Vec<PathBuf> = there.cloned().collect();
        hook::replace_all(&mut pins::uplink_program(egress)?, egress, &there)?;
    }
    Ok(())
}

/// Pins of an uplink's links.
pub(super) fn links(ifindex: u32) -> [PathBuf; 2] {
    [false, true].map(|egress| link_path(ifindex, egress))
}

fn link_path(ifindex: u32, egress: bool) -> PathBuf {
    let end = if egress { EGRESS } else { INGRESS };
    pins::link_path(&format!("{LINK}{ifindex}{end}"))
}

/// Whether the pin of a link is one of these.
pub(super) fn is_link(pin: &Path) -> bool {
    pin.file_name().and_then(ifindex_of).is_some()
}

/// The index of the uplink that a link's pin is of, by its name.
pub(super) fn ifindex_of(name: &OsStr) -> Option<u32> {
    let rest = name.to_str()?.strip_prefix(LINK)?;
    let ifindex = rest
        .strip_suffix(INGRESS)
        .or_else(|| rest.strip_suffix(EGRESS))?;
    ifindex.parse().ok()
}
