//! How many entries each map has. They are given when maps are made; maps that are there keep
//! theirs.

use aya::maps::{MapError, MapInfo};

use super::pins;
use super::{BpfError, failed};
use crate::model::MapSizes;

/// A map that has another size than it would be made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherSize {
    /// The map.
    pub map: &'static str,
    /// What it has: entries, for the ring buffer bytes.
    pub has: u32,
    /// What it would be made with.
    pub wanted: u32,
}

/// Entries of the map `HAIRPINS` at least.
const HAIRPINS_MIN: u32 = 1024;

/// The maps whose sizes can be set, the key that sets each, and their entries.
pub(super) fn entries(sizes: &MapSizes) -> [(&'static str, &'static str, u32); 12] {
    const ENDPOINTS: &str = "endpoints";
    // Slot 0 is nobody's.
    let slots = sizes.endpoints.get() + 1;
    let subnets = sizes.subnets.get();
    [
        ("PORTS", ENDPOINTS, slots),
        ("ENDPOINTS", ENDPOINTS, slots),
        ("FDB", ENDPOINTS, slots),
        ("BUCKETS", ENDPOINTS, slots),
        ("STATS", ENDPOINTS, slots),
        // A link an endpoint, in both directions.
        ("LINKS", ENDPOINTS, 2 * slots),
        // Two addresses an endpoint, and a gateway a subnet: it is never full before the others.
        ("NEIGHBOURS", ENDPOINTS, 2 * slots + subnets),
        ("SUBNETS", "subnets", subnets),
        ("EVENTS", "events_bytes", sizes.events_bytes.get()),
        ("PUBLISHED", "published", sizes.published.get()),
        ("FLOWS", "flows", sizes.flows.get()),
        // A flow that made room for another one is not answered.
        ("HAIRPINS", "flows", sizes.flows.get().max(HAIRPINS_MIN)),
    ]
}

/// Endpoints that the pinned maps have room for; `None` where there are none.
pub fn endpoints_max() -> Result<Option<u32>, BpfError> {
    Ok(pinned("ENDPOINTS")?.map(|entries| entries - 1))
}

/// The pinned maps that have other sizes than these.
pub fn other_sizes(sizes: &MapSizes) -> Result<Vec<OtherSize>, BpfError> {
    let mut others = Vec::new();
    for (map, _, wanted) in entries(sizes) {
        if let Some(has) = pinned(map)?
            && has != wanted
        {
            others.push(OtherSize { map, has, wanted });
        }
    }
    Ok(others)
}

/// An error of writing an entry of a map: that it is full, or what else it is.
pub(super) fn write_failed(map: &'static str) -> impl FnOnce(MapError) -> BpfError {
    move |error| {
        let full = match &error {
            MapError::OutOfBounds { .. } => true,
            // Hash tables say E2BIG, the trie ENOSPC (kernel/bpf/{hashtab,lpm_trie}.c, v6.18).
            MapError::SyscallError(e) => {
                matches!(e.io_error.raw_os_error(), Some(libc::E2BIG | libc::ENOSPC))
            }
            _ => false,
        };
        let key = entries(&MapSizes::default()).into_iter();
        let key = key.filter(|_| full).find(|(name, ..)| *name == map);
        match (key, pinned(map)) {
            (Some((_, key, _)), Ok(Some(entries))) => BpfError::Full { map, entries, key },
            _ => failed("write an entry of", format!("map {map}"))(error),
        }
    }
}

/// Entries of a pinned map; `None` where there is no such pin.
fn pinned(map: &'static str) -> Result<Option<u32>, BpfError> {
    let path = pins::map_path(map);
    if !path.exists() {
        return Ok(None);
    }
    let info = MapInfo::from_pin(&path).map_err(failed("examine", path.display()))?;
    Ok(Some(info.max_entries()))
}

#[cfg(test)]
mod tests {
    use super::entries;
    use crate::kernel::bpf::object;
    use crate::model::MapSizes;

    #[test]
    fn the_embedded_object_has_the_default_sizes() {
        let object = aya_obj::Object::parse(object::OBJECT).expect("the embedded object is one");
        for (map, _, wanted) in entries(&MapSizes::default()) {
            assert_eq!(object.maps[map].max_entries(), wanted, "{map}");
        }
    }
}
