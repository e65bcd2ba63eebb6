//! Published ports for the host's own processes: the map `PUBLISHED`, and the programs at the root of the
//! cgroups that read it.
//!
//! They are there from the first published port to the last network's end: a host that publishes
//! nothing pays nothing. Without cgroup v2 there are none, and the firewall is alone.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::maps::{HashMap, MapData, MapError};
use aya::programs::links::FdLink;
use aya::programs::{CgroupAttachMode, CgroupSockAddr, ProgramError};
use aya_obj::generated::{BPF_ANY, BPF_NOEXIST};
use bridge_common::{PublishedKey, SocketAddress};

use super::port::address_of;
use super::sizes::write_failed;
use super::{BpfError, DataPlane, absent_is_fine, failed};
use super::{lost, object, pins};
use crate::fault;
use crate::kernel::{cgroup, sys};
use crate::model::{MapSizes, Published};

/// Maps that are there with the first published port.
pub(super) const MAPS: [&str; 2] = ["PEERS", "ASKED"];

/// Calls that a program is attached to. Those that only tell come first: what is translated is
/// translated back from the beginning.
const CALLS: [&str; 10] = [
    "getpeername4",
    "getpeername6",
    "recvmsg4",
    "recvmsg6",
    "sendmsg4",
    "sendmsg6",
    "connect4",
    "connect6",
    "bind4",
    "bind6",
];

/// Beginning of the names of their links' pins.
const LINK: &str = "cgroup-";

fn key(port: &Published) -> PublishedKey {
    let publication = &port.publication;
    PublishedKey {
        address: address_of(publication.host),
        port: publication.host_port,
        protocol: publication.protocol.number(),
        reserved: [0; 5],
    }
}

fn leads_to(port: &Published) -> SocketAddress {
    SocketAddress {
        address: address_of(port.address),
        port: port.publication.port,
        reserved: [0; 3],
    }
}

/// The key of all addresses of a key's family.
fn of_all(key: &PublishedKey) -> PublishedKey {
    let unspecified = if host_of(key).is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    PublishedKey {
        address: address_of(unspecified),
        ..*key
    }
}

fn host_of(key: &PublishedKey) -> IpAddr {
    Ipv6Addr::from(key.address).to_canonical()
}

type PublishedMap = HashMap<MapData, PublishedKey, SocketAddress>;

impl DataPlane {
    /// Makes these ports of the host lead to their endpoints for its own processes, and nobody else
    /// bind to them. The caller holds what all share.
    pub fn ensure_published(
        &mut self,
        sizes: &MapSizes,
        ports: &[Published],
    ) -> Result<(), BpfError> {
        if ports.is_empty() {
            return Ok(());
        }
        ensure_hooks(sizes)?;
        let mut map: PublishedMap = pins::map("PUBLISHED")?;
        for port in ports {
            let key = key(port);
            set(&mut map, &key, &leads_to(port), BPF_ANY)?;
            fault::step();
            if !port.publication.host.is_unspecified() {
                set(
                    &mut map,
                    &of_all(&key),
                    &SocketAddress::default(),
                    BPF_NOEXIST,
                )?;
                fault::step();
            }
        }
        Ok(())
    }

    /// Makes these ports lead nowhere, and free. The caller holds what all share.
    pub fn ensure_published_absent(&mut self, ports: &[Published]) -> Result<(), BpfError> {
        if ports.is_empty() {
            return Ok(());
        }
        let mut map: PublishedMap = pins::map("PUBLISHED")?;
        let gone: BTreeSet<PublishedKey> = ports.iter().map(key).collect();
        let left = map
            .keys()
            .filter(|key| !matches!(key, Ok(key) if gone.contains(key)));
        let left: Result<Vec<PublishedKey>, MapError> = left.collect();
        let left = left.map_err(failed("read the entries of", "map PUBLISHED"))?;
        let single = left.iter().filter(|key| !host_of(key).is_unspecified());
        let held: BTreeSet<PublishedKey> = single.map(of_all).collect();
        for key in &gone {
            let all = of_all(key);
            if *key != all || !held.contains(key) {
                remove(&mut map, key)?;
                fault::step();
            }
            if held.contains(&all) {
                // It may have led somewhere, or does.
                let flags = if *key == all { BPF_ANY } else { BPF_NOEXIST };
                set(&mut map, &all, &SocketAddress::default(), flags)?;
            } else if map.get(&all, 0).is_ok_and(|to| to.port == 0) {
                remove(&mut map, &all)?;
            }
            fault::step();
        }
        Ok(())
    }
}

/// An entry that is to be new, and is there, is right.
fn set(
    map: &mut PublishedMap,
    key: &PublishedKey,
    to: &SocketAddress,
    flags: u32,
) -> Result<(), BpfError> {
    tracing::info!("map PUBLISHED: {key:?} -> {to:?}");
    match map.insert(key, to, flags.into()) {
        Err(MapError::SyscallError(e)) if e.io_error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        set => set.map_err(write_failed("PUBLISHED")),
    }
}

fn remove(map: &mut PublishedMap, key: &PublishedKey) -> Result<(), BpfError> {
    tracing::info!("map PUBLISHED: {key:?} -> nothing");
    absent_is_fine(map.remove(key)).map_err(failed("remove an entry of", "map PUBLISHED"))
}

/// Makes maps and programs be there, where this host has cgroup v2.
fn ensure_hooks(sizes: &MapSizes) -> Result<(), BpfError> {
    if is_attached() {
        return Ok(());
    }
    let Some((path, root)) = cgroup::root() else {
        tracing::info!("no cgroup v2: host processes reach published ports by the firewall");
        return Ok(());
    };
    let _lock = pins::lock()?;
    tracing::info!(
        "attaching the programs of published ports to {}",
        path.display()
    );
    lost::restore_maps(&MAPS)?;
    let mut object = object::load_over_pins(sizes)?;
    pin_maps(&object)?;
    for call in CALLS {
        if !holds(call) {
            attach(&mut object, call, &root)?;
        }
    }
    Ok(())
}

/// Puts an object's programs in the place of those that are attached. For a moment both are: a call
/// that one translated is no longer for a published port.
pub(super) fn replace_hooks(object: &mut Ebpf) -> Result<(), BpfError> {
    let Some((_, root)) = cgroup::root() else {
        return Ok(());
    };
    for call in CALLS.into_iter().filter(|call| link_path(call).exists()) {
        pin_maps(object)?;
        attach(object, call, &root)?;
    }
    Ok(())
}

/// Pins the maps that are there with the first published port, unless they are.
fn pin_maps(object: &Ebpf) -> Result<(), BpfError> {
    for name in MAPS {
        if !pins::map_path(name).exists() {
            pins::pin_map(object, name)?;
            fault::step();
        }
    }
    Ok(())
}

/// A link that is not pinned yet ends with us: a crash in between leaves nothing.
fn attach(object: &mut Ebpf, call: &str, root: &File) -> Result<(), BpfError> {
    let name = format!("cgroup_{call}");
    let program = object::loaded_program(object, &name)?;
    let program: &mut CgroupSockAddr = program
        .try_into()
        .map_err(|error: ProgramError| failed("use program", &name)(error))?;
    // A link is always one of several, without a flag that says so (`cgroup_bpf_link_attach`,
    // kernel/bpf/cgroup.c, v6.1).
    let id = program
        .attach(root, CgroupAttachMode::Single)
        .map_err(failed("attach program", &name))?;
    let link = program
        .take_link(id)
        .map_err(failed("take the link of", &name))?;
    let link = FdLink::try_from(link).map_err(failed("take the link of", &name))?;
    let new = pins::new_pin()?;
    link.pin(&new).map_err(failed("pin", new.display()))?;
    fault::step();
    pins::put_in_place(&new, &link_path(call))
}

/// Whether all programs are attached, and all maps pinned.
pub(super) fn is_attached() -> bool {
    MAPS.iter().all(|name| pins::map_path(name).exists()) && CALLS.iter().all(|call| holds(call))
}

/// Whether the link of a call holds its program there: one that was detached stays pinned.
fn holds(call: &str) -> bool {
    sys::bpf_link(&link_path(call)).is_ok_and(|link| link.cgroup != 0)
}

fn link_path(call: &str) -> PathBuf {
    pins::link_path(&format!("{LINK}{call}"))
}

/// Whether the pin of a link is one of these.
pub(super) fn is_link(pin: &Path) -> bool {
    let name = pin.file_name().unwrap_or_default();
    name.as_bytes().starts_with(LINK.as_bytes())
}
