//! What is pinned under /sys/fs/bpf/bridge-user, and how it comes to be there.
//!
//! ```text
//! maps/PORTS  maps/FDB  ...             made by the first command that needs them
//! programs/port_ingress  programs/port_ingress_xdp  programs/bridge_egress  programs/uplink_ingress  ...
//! maps/META                             written last: without it the rest is what a crash left
//! links/ENDPOINT-ID                     one a port, on kernels with tcx
//! links/ENDPOINT-ID-xdp                 one more where the datapath is xdp
//! links/NETWORK-ID-egress               one a bridge, on kernels with tcx
//! maps/PEERS  links/cgroup-bind4  ...   with the first published port: `publish.rs`
//! links/uplink-IFINDEX-ingress  ...     as long as ports are published: `uplinks.rs`
//! ```

mod files;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::maps::{Array, Map, MapData, MapError};
use aya::programs::{ProgramError, ProgramInfo, SchedClassifier, Xdp};
use aya_obj::programs::XdpAttachType;
use bridge_common::{LAYOUT_VERSION, Meta};
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use files::{ensure_directory_absent, remove_all};
pub(super) use files::{ensure_file_absent, file_failed};

use super::error::failed;
use super::hook::{self, clsact};
use super::object::{load_over_pins, loaded_program, object_hash};
use super::{BpfError, lost, publish, uplinks, xdp};
use crate::fault;
use crate::model::MapSizes;

/// Where the kernel wants a BPF file system (Documentation/bpf, v6.18: "/sys/fs/bpf").
const BPFFS: &str = "/sys/fs/bpf";
const ROOT: &str = "/sys/fs/bpf/bridge-user";
const PROGRAM: &str = "port_ingress";
const XDP_PROGRAM: &str = "port_ingress_xdp";
const BRIDGE_PROGRAM: &str = "bridge_egress";
const UPLINK_PROGRAMS: [&str; 2] = ["uplink_ingress", "uplink_egress"];
pub(super) const PROGRAMS: [&str; 5] = [
    PROGRAM,
    XDP_PROGRAM,
    BRIDGE_PROGRAM,
    UPLINK_PROGRAMS[0],
    UPLINK_PROGRAMS[1],
];
/// Ends of the names of links' pins, for the XDP program and for bridges.
const XDP_LINK: &str = "-xdp";
const BRIDGE_LINK: &str = "-egress";
/// `META` is not among them: it is pinned when they all are.
pub(super) const MAPS: [&str; 17] = [
    "PORTS",
    "ENDPOINTS",
    "HINTS",
    "FDB",
    "LINKS",
    "NEIGHBOURS",
    "SUBNETS",
    "BUCKETS",
    "STATS",
    "EVENTS",
    "LOST",
    "TRACE",
    "DECISION",
    "PUBLISHED",
    "FLOWS",
    "HAIRPINS",
    "PASSING",
];

fn root(part: &str) -> PathBuf {
    Path::new(ROOT).join(part)
}

/// Mounts a BPF file system where there is none.
fn mount_bpffs() -> Result<(), BpfError> {
    if is_bpffs() {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let mounted = mount(Some("bpf"), BPFFS, Some("bpf"), flags, Some("mode=0700"));
    mounted.map_err(|errno| BpfError::Mount {
        path: BPFFS.into(),
        source: errno.into(),
    })
}

/// Whether a BPF file system is mounted where it should be.
pub fn is_bpffs() -> bool {
    statfs(BPFFS).is_ok_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC)
}

/// Makes the pins be there, of this object. The state's number is `owner`.
pub(super) fn ensure(owner: u64, sizes: &MapSizes) -> Result<(), BpfError> {
    if own_meta(owner)?.is_some_and(is_current) {
        return Ok(());
    }
    mount_bpffs()?;
    for part in ["", "maps", "programs", "links"] {
        let path = root(part);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(file_failed("create", &path))?;
    }
    let _lock = lock()?;
    lost::restore_maps(&MAPS)?;
    // Another command may have done it while we waited.
    match own_meta(owner)? {
        Some(meta) if is_current(meta) => Ok(()),
        Some(_) => replace(owner, sizes),
        None => create(owner, sizes),
    }
}

/// Refuses pins of another layout or another state.
pub fn check_owner(owner: u64) -> Result<(), BpfError> {
    own_meta(owner).map(drop)
}

/// Refuses any pins: they are of no state that is yet to be made.
pub fn check_unowned() -> Result<(), BpfError> {
    match meta()? {
        Some(_) => Err(BpfError::Owner { path: ROOT.into() }),
        None => Ok(()),
    }
}

/// Whether there are pins, complete, of our layout and our state.
pub(super) fn present(owner: u64) -> Result<bool, BpfError> {
    Ok(own_meta(owner)?.is_some())
}

/// Layout version of the pins, where there are any; another than ours is an error.
pub fn layout() -> Result<Option<u32>, BpfError> {
    Ok(readable_meta()?.map(|meta| meta.layout_version))
}

/// What the pins are; those of another state or another layout are refused.
fn own_meta(owner: u64) -> Result<Option<Meta>, BpfError> {
    match meta()? {
        Some(meta) if meta.owner != owner => Err(BpfError::Owner { path: ROOT.into() }),
        _ => readable_meta(),
    }
}

/// What the pins are; those of another layout are refused.
fn readable_meta() -> Result<Option<Meta>, BpfError> {
    match meta()? {
        Some(meta) if meta.layout_version != LAYOUT_VERSION => Err(BpfError::Layout {
            path: ROOT.into(),
            found: meta.layout_version,
        }),
        meta => Ok(meta),
    }
}

/// `None` where nothing is pinned, or not all of it.
fn meta() -> Result<Option<Meta>, BpfError> {
    let path = map_path("META");
    let data = match MapData::from_pin(&path) {
        Err(MapError::SyscallError(e)) if e.io_error.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(MapError::SyscallError(e)) if e.io_error.raw_os_error() == Some(libc::ENOSYS) => {
            return Err(BpfError::NotInKernel);
        }
        data => data.map_err(failed("open", path.display()))?,
    };
    let map = Map::from_map_data(data).map_err(failed("use", path.display()))?;
    let array: Array<MapData, Meta> = map.try_into().map_err(failed("use", path.display()))?;
    let meta = array.get(&0, 0).map_err(failed("read", "map META"))?;
    Ok((meta.layout_version != 0).then_some(meta))
}

/// Whether all pins are there, and of the embedded object.
fn is_current(meta: Meta) -> bool {
    meta.object_hash == object_hash() && is_complete()
}

/// Loads and pins everything. What a crash left of an earlier attempt goes first.
fn create(owner: u64, sizes: &MapSizes) -> Result<(), BpfError> {
    tracing::info!("loading the BPF object and pinning it in {ROOT}");
    for part in ["maps", "programs"] {
        remove_all(&root(part))?;
    }
    let mut object = load_over_pins(sizes)?;
    for name in MAPS {
        pin_map(&object, name)?;
        fault::step();
    }
    for name in PROGRAMS {
        let path = program_path(name);
        let pinned = loaded_program(&mut object, name)?.pin(&path);
        pinned.map_err(failed("pin", path.display()))?;
        fault::step();
    }
    // Attached to what others own, they may have outlived the pins, with the maps of then.
    publish::replace_hooks(&mut object)?;
    uplinks::replace_all()?;
    let mut meta = take_meta(&mut object)?;
    write_meta(&mut meta, owner)?;
    let path = map_path("META");
    meta.pin(&path).map_err(failed("pin", path.display()))
}

/// Puts the embedded object's programs in the place of those that are pinned or attached, over the
/// maps that are there. Ports keep forwarding meanwhile.
fn replace(owner: u64, sizes: &MapSizes) -> Result<(), BpfError> {
    tracing::info!("replacing the pinned programs wherever they are attached");
    let mut object = load_over_pins(sizes)?;
    for name in PROGRAMS {
        let new = new_pin()?;
        let program = loaded_program(&mut object, name)?;
        program.pin(&new).map_err(failed("pin", new.display()))?;
        fault::step();
        put_in_place(&new, &program_path(name))?;
    }
    publish::replace_hooks(&mut object)?;
    let mut links = link_pins()?;
    links.retain(|pin| !publish::is_link(pin) && !uplinks::is_link(pin));
    let (xdp_links, links): (Vec<_>, Vec<_>) =
        links.into_iter().partition(|pin| ends_in(pin, XDP_LINK));
    let (bridge_links, links): (Vec<_>, Vec<_>) =
        links.into_iter().partition(|pin| ends_in(pin, BRIDGE_LINK));
    if hook::has_links() {
        hook::replace_all(&mut program()?, links)?;
        fault::step();
        hook::replace_all(&mut bridge_program()?, bridge_links)?;
    } else {
        clsact::replace_all(&mut program()?, false, false)?;
        fault::step();
        clsact::replace_all(&mut bridge_program()?, true, false)?;
    }
    fault::step();
    xdp::replace_all(&mut xdp_program()?, &xdp_links)?;
    fault::step();
    uplinks::replace_all()?;
    fault::step();
    let mut pinned = map("META")?;
    write_meta(&mut pinned, owner)
}

pub(super) fn pin_map(object: &Ebpf, name: &str) -> Result<(), BpfError> {
    let path = map_path(name);
    let map = object
        .map(name)
        .ok_or(BpfError::Missing("map that the loader needs"))?;
    map.pin(&path).map_err(failed("pin", path.display()))
}

/// A free name for a pin that is to take another one's place.
pub(super) fn new_pin() -> Result<PathBuf, BpfError> {
    let new = root("programs").join("new");
    ensure_file_absent(&new)?;
    Ok(new)
}

/// Puts a new pin in the place of another.
pub(super) fn put_in_place(new: &Path, place: &Path) -> Result<(), BpfError> {
    fs::rename(new, place).map_err(file_failed("rename", new))?;
    fault::step();
    Ok(())
}

fn take_meta(object: &mut Ebpf) -> Result<Array<MapData, Meta>, BpfError> {
    let map = object
        .take_map("META")
        .ok_or(BpfError::Missing("map META"))?;
    map.try_into().map_err(failed("use", "map META"))
}

fn write_meta(array: &mut Array<MapData, Meta>, owner: u64) -> Result<(), BpfError> {
    let meta = Meta {
        layout_version: LAYOUT_VERSION,
        reserved: 0,
        object_hash: object_hash(),
        owner,
    };
    array.set(0, meta, 0).map_err(failed("write", "map META"))
}

/// The pinned map of this name, as a map of a kind.
pub(super) fn map<M: TryFrom<Map, Error = MapError>>(name: &str) -> Result<M, BpfError> {
    let path = map_path(name);
    let data = MapData::from_pin(&path).map_err(failed("open", path.display()))?;
    let map = Map::from_map_data(data).map_err(failed("use", path.display()))?;
    map.try_into().map_err(failed("use", path.display()))
}

pub(super) fn map_path(name: &str) -> PathBuf {
    root("maps").join(name)
}

pub(super) fn program_path(name: &str) -> PathBuf {
    root("programs").join(name)
}

pub(super) fn program() -> Result<SchedClassifier, BpfError> {
    let open = |info| SchedClassifier::from_program_info(info, PROGRAM.into());
    pinned(PROGRAM, open)
}

pub(super) fn bridge_program() -> Result<SchedClassifier, BpfError> {
    let open = |info| SchedClassifier::from_program_info(info, BRIDGE_PROGRAM.into());
    pinned(BRIDGE_PROGRAM, open)
}

pub(super) fn uplink_program(egress: bool) -> Result<SchedClassifier, BpfError> {
    let name = UPLINK_PROGRAMS[usize::from(egress)];
    pinned(name, |info| {
        SchedClassifier::from_program_info(info, name.into())
    })
}

pub(super) fn xdp_program() -> Result<Xdp, BpfError> {
    let interface = XdpAttachType::Interface;
    let open = |info| Xdp::from_program_info(info, XDP_PROGRAM.into(), interface);
    pinned(XDP_PROGRAM, open)
}

/// The pinned program of this name. Not by `from_pin`: to read the name that we know, aya 0.14
/// first finds out what the kernel can do, with 17 calls that load programs.
fn pinned<P>(
    name: &str,
    open: impl FnOnce(ProgramInfo) -> Result<P, ProgramError>,
) -> Result<P, BpfError> {
    let path = program_path(name);
    ProgramInfo::from_pin(&path)
        .and_then(open)
        .map_err(failed("open", path.display()))
}

/// Path of the pin of a link, which has the name of what it is for.
pub(super) fn link_path(name: &str) -> PathBuf {
    root("links").join(name)
}

pub(super) fn xdp_link_path(endpoint: &str) -> PathBuf {
    root("links").join(format!("{endpoint}{XDP_LINK}"))
}

pub(super) fn bridge_link_path(network: &str) -> PathBuf {
    root("links").join(format!("{network}{BRIDGE_LINK}"))
}

pub(super) fn ends_in(pin: &Path, end: &str) -> bool {
    pin.as_os_str().as_encoded_bytes().ends_with(end.as_bytes())
}

pub(super) fn link_pins() -> Result<Vec<PathBuf>, BpfError> {
    let links = root("links");
    let entries = fs::read_dir(&links).map_err(file_failed("read", &links))?;
    let pins: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    pins.map_err(file_failed("read", &links))
}

pub(super) fn remove_links(endpoint: &str) -> Result<(), BpfError> {
    ensure_file_absent(&xdp_link_path(endpoint))?;
    fault::step();
    ensure_file_absent(&link_path(endpoint))
}

/// Whether the programs are pinned; without them the maps are not there, or not filled.
pub fn is_pinned() -> bool {
    PROGRAMS.iter().all(|name| program_path(name).exists())
}

/// Whether all maps are pinned, and all programs.
pub(super) fn is_complete() -> bool {
    let mut maps = MAPS.iter().chain(&["META"]);
    is_pinned() && maps.all(|name| map_path(name).exists())
}

/// Removes every pin, so that programs, maps and links end; filters at uplinks before.
pub fn purge() -> Result<(), BpfError> {
    let absent_from_uplinks = uplinks::ensure_all_absent();
    for part in ["links", "programs", "maps"] {
        remove_all(&root(part))?;
        ensure_directory_absent(&root(part))?;
    }
    ensure_directory_absent(Path::new(ROOT))?;
    absent_from_uplinks
}

/// Holds the directory against other commands that load.
pub(super) fn lock() -> Result<Flock<File>, BpfError> {
    let path = Path::new(ROOT);
    let directory = File::open(path).map_err(file_failed("open", path))?;
    Flock::lock(directory, FlockArg::LockExclusive)
        .map_err(|(_, errno)| file_failed("lock", path)(errno.into()))
}
