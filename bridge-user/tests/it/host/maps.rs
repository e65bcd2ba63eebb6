//! Pinned maps, as bpftool prints them.

use bridge_common::{FdbEntry, FdbKey, Hints, Meta, PortEntry, PortStats};
use bytemuck::{AnyBitPattern, bytes_of, pod_read_unaligned};
use serde_json::Value;

use super::call::Running;
use super::kernel::{array, number};
use super::{Host, PINS, wait_until};

impl Host {
    /// Entries of the map `FDB`; none before it exists.
    pub(crate) fn fdb(&self) -> Vec<(FdbKey, FdbEntry)> {
        let dump = self.dump("FDB");
        let entry = |e: &Value| (value_of(&e["key"]), value_of(&e["value"]));
        dump.iter().map(entry).collect()
    }

    /// Entries of the map `PORTS`, by ifindex; none before it exists.
    pub(crate) fn ports(&self) -> Vec<(u32, PortEntry)> {
        let dump = self.dump("PORTS");
        let entry = |e: &Value| (value_of(&e["key"]), value_of(&e["value"]));
        dump.iter().map(entry).collect()
    }

    /// Values of the map `HINTS` that say something.
    pub(crate) fn hints(&self) -> Vec<u64> {
        let dump = self.dump("HINTS");
        let slots = dump.iter().map(|e| value_of::<Hints>(&e["value"]).slots);
        slots.filter(|slots| *slots != 0).collect()
    }

    /// Empties the map `HINTS`.
    pub(crate) fn clear_hints(&self) {
        for entry in self.dump("HINTS") {
            if value_of::<Hints>(&entry["value"]).slots != 0 {
                let bytes: Vec<&str> = array(&entry["key"])
                    .iter()
                    .filter_map(Value::as_str)
                    .collect();
                let key = bytes.join(" ");
                self.call(&format!(
                    "bpftool map update pinned {PINS}/maps/HINTS key {key} value 0 0 0 0 0 0 0 0"
                ))
                .ok();
            }
        }
    }

    /// A pinned map's entries as bpftool's JSON; none where there is no such pin.
    pub(crate) fn dump(&self, map: &str) -> Vec<Value> {
        let path = format!("{PINS}/maps/{map}");
        if self.files(&path).is_empty() {
            return Vec::new();
        }
        array(
            &self
                .call(&format!("bpftool -j map dump pinned {path}"))
                .json(),
        )
        .to_vec()
    }

    /// Whether the program is asked for events.
    pub(crate) fn is_traced(&self) -> bool {
        let is_asked = |entry: &Value| number(&entry["formatted"]["value"]["until_ns"]) != 0;
        self.dump("TRACE").iter().any(is_asked)
    }

    /// Begins a trace in JSON with these words, and waits until the program is asked for events.
    #[track_caller]
    pub(crate) fn trace(&self, words: &str) -> Running {
        let trace = self.bridge_user(&format!("trace --format json {words}"));
        let trace = trace.spawn();
        wait_until("the program is asked for events", || self.is_traced());
        trace
    }

    /// Changes the one value of the map `META`, as another version would have written it.
    #[track_caller]
    pub(crate) fn change_meta(&self, change: impl FnOnce(&mut Meta)) {
        let mut meta: Meta = value_of(&self.dump("META")[0]["value"]);
        change(&mut meta);
        let bytes: Vec<String> = bytes_of(&meta).iter().map(ToString::to_string).collect();
        let value = format!("key 0 0 0 0 value {}", bytes.join(" "));
        self.call(&format!(
            "bpftool map update pinned {PINS}/maps/META {value}"
        ))
        .ok();
    }

    /// Counters of a slot, summed over the CPUs.
    #[track_caller]
    pub(crate) fn slot_stats(&self, slot: u16) -> PortStats {
        let [low, high] = slot.to_le_bytes();
        let key = format!("key {low} {high} 0 0");
        let found = self.call(&format!(
            "bpftool -j map lookup pinned {PINS}/maps/STATS {key}"
        ));
        let found = found.json();
        let mut sum = PortStats::default();
        for cpu in array(&found["values"]) {
            let stats: PortStats = value_of(&cpu["value"]);
            sum.fast_packets += stats.fast_packets;
            sum.fast_bytes += stats.fast_bytes;
            sum.slow_packets += stats.slow_packets;
            sum.slow_bytes += stats.slow_bytes;
            sum.answered_packets += stats.answered_packets;
            sum.answered_bytes += stats.answered_bytes;
            for (sum, drops) in sum.drops.iter_mut().zip(stats.drops) {
                *sum += drops;
            }
        }
        sum
    }

    /// The entry of `PORTS` for a link, by its name.
    pub(crate) fn port(&self, link: &str) -> Option<PortEntry> {
        let ifindex = self.ifindex(link);
        self.ports()
            .into_iter()
            .find(|(key, _)| *key == ifindex)
            .map(|(_, port)| port)
    }

    /// Counters of the port that a link is.
    #[track_caller]
    pub(crate) fn stats(&self, link: &str) -> PortStats {
        let port = self
            .port(link)
            .unwrap_or_else(|| panic!("{link} is not in PORTS"));
        self.slot_stats(port.slot)
    }
}

/// A value out of bpftool's array of `"0x.."`, which it may round up to eight bytes.
#[track_caller]
fn value_of<T: AnyBitPattern>(value: &Value) -> T {
    let byte = |byte: &Value| {
        let digits = byte.as_str().and_then(|text| text.strip_prefix("0x"));
        digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())
    };
    let bytes: Option<Vec<u8>> = array(value).iter().map(byte).collect();
    let bytes = bytes.unwrap_or_else(|| panic!("bpftool printed no bytes: {value}"));
    pod_read_unaligned(&bytes[..size_of::<T>()])
}
