//! The pinned program, asked about one made frame (`BPF_PROG_TEST_RUN`), and the entries that it
//! reads for it.

use aya::TestRunOptions;
use aya::maps::lpm_trie::Key;
use aya::maps::{Array, MapData};
use aya::programs::TestRun as _;
use bridge_common::{
    DecisionRecord, DropReason, EXPLAIN_MARK, FdbKey, NEIGHBOUR_GATEWAY, SubnetKey, verdict,
    wire_mac,
};
use bridge_ebpf::Check;

use super::port::{address_of, neighbour_key};
use super::{BpfError, DataPlane, failed, pins};
use crate::model::mac_text;

/// `mark` and `ifindex` in `struct __sk_buff` (include/uapi/linux/bpf.h, v6.18).
const MARK_OFFSET: usize = 8;
const IFINDEX_OFFSET: usize = 40;

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Road {
    /// Redirected into the namespace behind the host leg with this index.
    Fast {
        /// The host leg.
        ifindex: u32,
    },
    /// Left to the Linux bridge.
    Slow,
    /// Handed to the host's stack, past the bridge.
    Host,
    /// Answered by the program.
    Answered,
    /// Dropped, for the reason of this name.
    Dropped(&'static str),
}

/// What the program decided about a made frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explained {
    /// What becomes of it.
    pub road: Road,
    /// The check that said so.
    pub check: Check,
}

impl Explained {
    /// `None` for a record of no version of ours.
    pub(super) fn of(record: &DecisionRecord) -> Option<Self> {
        let reason = DropReason::ALL
            .iter()
            .find(|reason| **reason as u16 == record.reason);
        let road = match record.verdict {
            verdict::DROP => Road::Dropped(reason?.name()),
            verdict::REDIRECT => Road::Fast {
                ifindex: record.target,
            },
            verdict::NEXT => Road::Slow,
            verdict::ANSWER => Road::Answered,
            verdict::HOST => Road::Host,
            _ => return None,
        };
        let check = *Check::ALL.get(usize::from(record.check))?;
        Some(Self { road, check })
    }
}

/// An entry that the program looks up for a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The map.
    pub map: &'static str,
    /// The key.
    pub key: String,
    /// The value; `None` where there is none.
    pub value: Option<String>,
}

impl DataPlane {
    /// Runs the program on a frame as if it came in on the host leg `ifindex`. No counter, limit or
    /// event is touched. One caller at a time: the decision is left in a map.
    pub fn explain(&self, ifindex: u32, frame: &[u8]) -> Result<Explained, BpfError> {
        let mut context = [0; IFINDEX_OFFSET + 4];
        context[MARK_OFFSET..MARK_OFFSET + 4].copy_from_slice(&EXPLAIN_MARK.to_ne_bytes());
        context[IFINDEX_OFFSET..].copy_from_slice(&ifindex.to_ne_bytes());
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        };
        let ran = self.program.test_run(options);
        ran.map_err(failed("run", "the program on a made frame"))?;
        let decision: Array<MapData, DecisionRecord> = pins::map("DECISION")?;
        let record = decision
            .get(&0, 0)
            .map_err(failed("read", "map DECISION"))?;
        Explained::of(&record).ok_or(BpfError::Missing("decision that this bridge-user knows"))
    }

    /// The entry of a port, and of the endpoint behind it.
    pub fn look_up_port(&self, ifindex: u32) -> Result<Vec<Lookup>, BpfError> {
        let port = found(self.ports.get(&ifindex, 0)).map_err(failed("read", "map PORTS"))?;
        let mut lookups = vec![Lookup {
            map: "PORTS",
            key: format!("ifindex {ifindex}"),
            value: port.map(|port| format!("network {}, slot {}", port.network, port.slot)),
        }];
        if let Some(port) = port {
            let entry = self.endpoint(port.slot)?;
            lookups.push(Lookup {
                map: "ENDPOINTS",
                key: format!("slot {}", port.slot),
                value: (entry.ifindex != 0).then(|| {
                    let flags = flags(entry.flags);
                    format!(
                        "ifindex {}, network {}{flags}",
                        entry.ifindex, entry.network
                    )
                }),
            });
        }
        Ok(lookups)
    }

    /// What tells the port that a MAC address is behind: the endpoint of the slot that the address
    /// ends in, else the FDB entry.
    pub fn look_up_station(&self, network: u16, mac: [u8; 6]) -> Result<Lookup, BpfError> {
        let [.., high, low] = mac;
        let slot = u16::from_be_bytes([high, low]);
        let entry = self.endpoint(slot)?;
        if entry.mac == wire_mac(mac) && entry.network == network && entry.ifindex != 0 {
            return Ok(Lookup {
                map: "ENDPOINTS",
                key: format!("slot {slot}, of {}", mac_text(mac)),
                value: Some(format!("ifindex {}{}", entry.ifindex, flags(entry.flags))),
            });
        }
        let entry = found(self.fdb.get(&FdbKey { mac, network }, 0));
        let entry = entry.map_err(failed("read", "map FDB"))?;
        Ok(Lookup {
            map: "FDB",
            key: format!("network {network}, {}", mac_text(mac)),
            value: entry.map(|entry| format!("ifindex {}", entry.ifindex)),
        })
    }

    /// The neighbour that has an address.
    pub fn look_up_neighbour(
        &self,
        network: u16,
        address: std::net::IpAddr,
    ) -> Result<Lookup, BpfError> {
        let key = neighbour_key(network, address_of(address));
        let entry =
            found(self.neighbours.get(&key, 0)).map_err(failed("read", "map NEIGHBOURS"))?;
        Ok(Lookup {
            map: "NEIGHBOURS",
            key: format!("network {network}, {address}"),
            value: entry.map(|entry| {
                let router = entry.flags & NEIGHBOUR_GATEWAY != 0;
                format!(
                    "{}{}",
                    mac_text(entry.mac),
                    if router { ", gateway" } else { "" }
                )
            }),
        })
    }

    /// The subnet that an address is in.
    pub fn look_up_subnet(&self, address: std::net::IpAddr) -> Result<Lookup, BpfError> {
        let key = Key::new(
            160,
            SubnetKey {
                reserved: [0; 4],
                address: address_of(address),
            },
        );
        let entry = found(self.subnets.get(&key, 0)).map_err(failed("read", "map SUBNETS"))?;
        Ok(Lookup {
            map: "SUBNETS",
            key: address.to_string(),
            value: entry.map(|entry| format!("network {}", entry.network)),
        })
    }
}

fn found<T>(result: Result<T, aya::maps::MapError>) -> Result<Option<T>, aya::maps::MapError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(aya::maps::MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

fn flags(flags: u16) -> String {
    use bridge_common::{
        ENDPOINT_ICC_OFF, ENDPOINT_INTERNAL, ENDPOINT_REACHABLE, ENDPOINT_REDIRECT_OFF,
        ENDPOINT_TRUSTED,
    };
    let names = [
        (ENDPOINT_ICC_OFF, ", icc off"),
        (ENDPOINT_REDIRECT_OFF, ", redirect off"),
        (ENDPOINT_INTERNAL, ", internal"),
        (ENDPOINT_TRUSTED, ", trusted"),
        (ENDPOINT_REACHABLE, ", reachable"),
    ];
    let set = names.iter().filter(|(flag, _)| flags & flag != 0);
    set.map(|(_, name)| *name).collect()
}
