//! Programs as filters at the clsact qdisc, for kernels before 6.6. Nothing has to hold a filter: it stays
//! until somebody takes it away, or its link goes.

use std::collections::BTreeSet;
use std::io;
use std::mem;
use std::path::Path;

use aya::maps::MapData;
use aya::programs::links::Link as _;
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact,
};
use aya::programs::{ProgramError, SchedClassifier};
use nix::net::if_::if_nameindex;

use super::super::BpfError;
use super::super::error::failed;
use super::super::pins::{ensure_file_absent, file_failed, map_path};
use super::Place;
use crate::fault;
use crate::kernel::netlink::{self, Netlink, NetlinkError};

/// Priorities of our filters, by which we find them again: at links of ours, and at uplinks. Before those
/// that tools choose themselves (from 49152 down, `tcf_auto_prio`, net/sched/cls_api.c, v6.1).
const PRIORITY: u16 = 0x2f00;
const UPLINK_PRIORITY: u16 = 0x2f01;
/// Their handle.
const HANDLE: TcHandle = TcHandle::new(0, 1);

fn priority(place: Place<'_>) -> u16 {
    if place.uplink {
        UPLINK_PRIORITY
    } else {
        PRIORITY
    }
}

/// A filter is made, or the one of ours that is there replaced: in no moment is there none.
pub(super) fn attach(program: &mut SchedClassifier, place: Place<'_>) -> Result<(), BpfError> {
    let priority = priority(place);
    tracing::info!("tc filter add dev {place} prio {priority} handle 1 bpf direct-action");
    match qdisc_add_clsact(place.link) {
        Err(TcError::NetlinkError(e)) if e.raw_os_error() == Some(libc::EEXIST) => {}
        added => {
            added
                .map_err(ProgramError::from)
                .map_err(failed("add clsact to", place.link))?;
        }
    }
    fault::step();
    let options = TcAttachOptions::Netlink(NlOptions {
        priority,
        handle: HANDLE,
        classid: None,
    });
    let attached = match program.attach_with_options(place.link, place.attach_type(), options) {
        Err(ProgramError::TcError(TcError::NetlinkError(e)))
            if e.raw_os_error() == Some(libc::EEXIST) =>
        {
            program.attach_to_link(filter(place)?)
        }
        attached => attached,
    };
    let id = attached.map_err(failed("attach the program to", place))?;
    // Dropped, it would detach.
    mem::forget(
        program
            .take_link(id)
            .map_err(failed("take the filter of", place))?,
    );
    Ok(())
}

fn filter(place: Place<'_>) -> Result<SchedClassifierLink, BpfError> {
    let attached = SchedClassifierLink::attached(
        place.link,
        place.attach_type(),
        priority(place),
        HANDLE,
        None,
    );
    attached.map_err(|e| failed("find", place)(ProgramError::from(TcError::from(e))))
}

pub(super) fn ensure_detached(place: Place<'_>) -> Result<(), BpfError> {
    if has_filter(place)? {
        tracing::info!("tc filter del dev {place} prio {}", priority(place));
        let detached = filter(place)?.detach();
        detached.map_err(failed("detach the program from", place))?;
    }
    Ok(())
}

/// Puts the program in the place of every filter of ours in this namespace, at uplinks or at our own links.
pub(in super::super) fn replace_all(
    program: &mut SchedClassifier,
    egress: bool,
    uplink: bool,
) -> Result<(), BpfError> {
    let links = if_nameindex().map_err(|e| file_failed("list", Path::new("links"))(e.into()))?;
    for link in &links {
        let place = Place {
            link: &link.name().to_string_lossy(),
            egress,
            uplink,
        };
        if has_filter(place)? {
            attach(program, place)?;
        }
    }
    Ok(())
}

pub(super) fn has_filter(place: Place<'_>) -> Result<bool, BpfError> {
    let look = || {
        let mut netlink = Netlink::open()?;
        let Some(link) = netlink::link(&mut netlink, place.link)? else {
            return Ok(false);
        };
        let there = netlink::filter_priorities(&mut netlink, link.index, place.egress)?;
        Ok(there.contains(&priority(place)))
    };
    look().map_err(|e: NetlinkError| failed("query the filters of", place)(e))
}

/// The links that have a filter of ours for uplinks, at their ingress and at their egress; of those links
/// that `may_be`.
pub(in super::super) fn uplinks(
    may_be: impl Fn(u32) -> bool,
) -> Result<[BTreeSet<u32>; 2], NetlinkError> {
    let mut netlink = Netlink::open()?;
    let mut found = [BTreeSet::new(), BTreeSet::new()];
    for link in netlink::clsact_links(&mut netlink)? {
        if !may_be(link) {
            continue;
        }
        for (at, egress) in found.iter_mut().zip([false, true]) {
            let there = netlink::filter_priorities(&mut netlink, link, egress)?;
            if there.contains(&UPLINK_PRIORITY) {
                at.insert(link);
            }
        }
    }
    Ok(found)
}

/// Marks a link that has no qdisc for our filters yet, by a pin: the one that it gets is ours.
pub(in super::super) fn ensure_qdisc_marked(link: u32, mark: &Path) -> Result<(), BpfError> {
    let has_one = Netlink::open().and_then(|mut netlink| netlink::clsact_links(&mut netlink));
    if mark.exists() || has_one.map_err(failed("list", "qdiscs"))?.contains(&link) {
        return Ok(());
    }
    // Any map will do: what a pin is of lives as long as it.
    let path = map_path("PASSING");
    let map = MapData::from_pin(&path).map_err(failed("open", path.display()))?;
    map.pin(mark).map_err(failed("pin", mark.display()))?;
    fault::step();
    Ok(())
}

/// Makes the qdisc of a marked link be gone, unless others have filters there now.
pub(in super::super) fn ensure_marked_qdisc_absent(link: u32, mark: &Path) -> Result<(), BpfError> {
    if !mark.exists() {
        return Ok(());
    }
    let remove = || {
        let mut netlink = Netlink::open()?;
        let is_there = netlink::clsact_links(&mut netlink)?.contains(&link);
        let mut is_empty = true;
        for egress in [false, true] {
            is_empty &= netlink::filter_priorities(&mut netlink, link, egress)?.is_empty();
        }
        if is_there && is_empty {
            netlink::delete_clsact(&mut netlink, link)?;
        }
        Ok(())
    };
    match remove() {
        // It went meanwhile, or its link.
        Err(NetlinkError::Request { source, .. }) if is_gone(&source) => {}
        removed => removed.map_err(failed("remove a qdisc of", "an uplink"))?,
    }
    fault::step();
    ensure_file_absent(mark)
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENODEV | libc::ENOENT | libc::EINVAL)
    )
}
