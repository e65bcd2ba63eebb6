//! The programs at uplinks, which hand what comes from outside for published ports to endpoints: at the
//! ingress and the egress of each.
//!
//! An uplink is somebody else's, so nothing of ours stays there. A tcx link ends with its pin. Filters are
//! looked for at the links themselves, and a pin says where the qdisc that they need is ours.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use aya::maps::{Array, MapData};
use bridge_common::PASSING;
use nix::net::if_::if_indextoname;

use super::error::failed;
use super::hook::{self, Place, clsact};
use super::{BpfError, Pinned, pins};
use crate::fault;
use crate::kernel::netlink::{self, Netlink, NetlinkError};

/// Beginning and ends of the names of pins; between is the index of the uplink.
const LINK: &str = "uplink-";
const INGRESS: &str = "-ingress";
const EGRESS: &str = "-egress";
const ENDS: [&str; 2] = [INGRESS, EGRESS];
/// The end of what marks a clsact qdisc as ours.
const QDISC: &str = "-qdisc";

/// The links that cannot have the programs, because others have an ingress qdisc there.
pub fn links_without_room(netlink: &mut Netlink) -> Result<Vec<u32>, NetlinkError> {
    if hook::has_links() {
        Ok(Vec::new())
    } else {
        netlink::ingress_links(netlink)
    }
}

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

/// Where the programs are: by the indices of links.
#[derive(Debug)]
pub struct AtUplinks {
    /// Links that have one of them at least, or another trace of them.
    any: BTreeSet<u32>,
    /// Those that have both.
    both: BTreeSet<u32>,
}

impl AtUplinks {
    /// Looks, at filters of links that are not ours alone (`is_ours`): those have many.
    pub fn look(pinned: &Pinned, is_ours: impl Fn(u32) -> bool) -> Result<Self, BpfError> {
        let any = pinned.uplinks();
        if hook::has_links() {
            let holds = |ifindex: &u32| {
                ENDS.iter()
                    .all(|end| pinned.has_link(&pin_path(*ifindex, end)))
            };
            let both = any.iter().copied().filter(holds).collect();
            return Ok(Self { any, both });
        }
        let found = clsact::uplinks(|ifindex| !is_ours(ifindex));
        let [ingress, egress] = found.map_err(failed("list", "filters of uplinks"))?;
        Ok(Self {
            both: &ingress & &egress,
            any: &(&ingress | &egress) | &any,
        })
    }

    /// The links that have them, or may.
    pub fn any(&self) -> &BTreeSet<u32> {
        &self.any
    }

    /// Whether these links have both, and no others any.
    pub fn are(&self, wanted: &BTreeSet<u32>) -> bool {
        self.any == *wanted && self.both == *wanted
    }
}

/// Makes the programs be at an uplink, by its index and name.
pub fn ensure_uplink(ifindex: u32, name: &str) -> Result<(), BpfError> {
    if !hook::has_links() {
        clsact::ensure_qdisc_marked(ifindex, &pin_path(ifindex, QDISC))?;
    }
    // What comes out of the firewall is noted before anything is sent past it.
    for egress in [true, false] {
        let program = &mut pins::uplink_program(egress)?;
        hook::ensure_attached(program, place(name, egress), &link_path(ifindex, egress))?;
        fault::step();
    }
    Ok(())
}

/// Makes them be gone from there, if the link is there at all.
pub fn ensure_uplink_absent(ifindex: u32) -> Result<(), BpfError> {
    let name = if_indextoname(ifindex).unwrap_or_default();
    for egress in [false, true] {
        let name = name.to_string_lossy();
        hook::ensure_detached(place(&name, egress), &link_path(ifindex, egress))?;
        fault::step();
    }
    clsact::ensure_marked_qdisc_absent(ifindex, &pin_path(ifindex, QDISC))
}

/// Makes them be gone from everywhere.
pub(super) fn ensure_all_absent() -> Result<(), BpfError> {
    for ifindex in AtUplinks::look(&Pinned::look(), |_| false)?.any {
        ensure_uplink_absent(ifindex)?;
    }
    Ok(())
}

/// Puts the pinned programs behind all links there are.
pub(super) fn replace_all() -> Result<(), BpfError> {
    let pins = pins::link_pins()?;
    for (egress, end) in [(true, EGRESS), (false, INGRESS)] {
        let there = pins
            .iter()
            .filter(|pin| is_link(pin) && pins::ends_in(pin, end));
        let mut program = pins::uplink_program(egress)?;
        if hook::has_links() {
            hook::replace_all(&mut program, there.cloned())?;
        } else {
            clsact::replace_all(&mut program, egress, true)?;
        }
    }
    Ok(())
}

fn place(link: &str, egress: bool) -> Place<'_> {
    Place {
        link,
        egress,
        uplink: true,
    }
}

fn link_path(ifindex: u32, egress: bool) -> PathBuf {
    pin_path(ifindex, ENDS[usize::from(egress)])
}

fn pin_path(ifindex: u32, end: &str) -> PathBuf {
    pins::link_path(&format!("{LINK}{ifindex}{end}"))
}

/// Whether a pin is one of these.
pub(super) fn is_link(pin: &Path) -> bool {
    pin.file_name().and_then(ifindex_of).is_some()
}

/// The index of the uplink that a pin is of, by its name.
pub(super) fn ifindex_of(name: &OsStr) -> Option<u32> {
    let rest = name.to_str()?.strip_prefix(LINK)?;
    let mut ends = [INGRESS, EGRESS, QDISC].into_iter();
    let ifindex = ends.find_map(|end| rest.strip_suffix(end))?;
    ifindex.parse().ok()
}
