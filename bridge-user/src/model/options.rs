//! Driver options of a bridge network: `-o KEY=VALUE`, with Docker's keys.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::Deserialize;

use super::gateway::{
    ENABLE_IP_MASQUERADE, GATEWAY_MODE, GATEWAY_MODE_IPV4, GATEWAY_MODE_IPV6, GatewayOptions,
    HOST_IPV4, HOST_IPV6,
};
use super::name::{InterfaceName, NameError};
use super::network::Datapath;
use super::ports::host_address;

const ENABLE_ICC: &str = "com.docker.network.bridge.enable_icc";
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const HOST_BINDING_IPV4: &str = "com.docker.network.bridge.host_binding_ipv4";
const INHIBIT_IPV4: &str = "com.docker.network.bridge.inhibit_ipv4";
const CONTAINER_IFACE_PREFIX: &str = "com.docker.network.container_iface_prefix";
const MTU: &str = "com.docker.network.driver.mtu";
const PORT_SECURITY: &str = "bridge-user.port_security";
const STORM_PPS: &str = "bridge-user.storm_pps";
const DNS: &str = "bridge-user.dns";
const PUBLISH: &str = "bridge-user.publish";

const KEYS: [&str; 16] = [
    ENABLE_ICC,
    BRIDGE_NAME,
    HOST_BINDING_IPV4,
    INHIBIT_IPV4,
    ENABLE_IP_MASQUERADE,
    GATEWAY_MODE_IPV4,
    GATEWAY_MODE_IPV6,
    HOST_IPV4,
    HOST_IPV6,
    CONTAINER_IFACE_PREFIX,
    MTU,
    PORT_SECURITY,
    STORM_PPS,
    DNS,
    PUBLISH,
    GATEWAY_MODE,
];

/// Smallest MTU of a network: what IPv6 asks of every link (RFC 8200, section 5) is 1280, IPv4
/// gets by with 68 (RFC 791, section 3.2).
const MTU_MIN: u32 = 68;
/// Largest MTU of a veth: `ETH_MAX_MTU` (drivers/net/veth.c, v6.18).
const MTU_MAX: u32 = 65_535;

/// What a busy host sends of ARP, neighbour discovery, mDNS and the like is well below; most of the
/// first two the data plane answers anyway.
const STORM_PPS_DEFAULT: u32 = 1000;

/// What the options of a network say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Inter-container communication: whether endpoints of the network may reach each other.
    pub icc: bool,
    /// Name of the Linux bridge, where the user chose one.
    pub bridge_name: Option<InterfaceName>,
    /// The host's address that ports are published on where the user says none; `None` for all, of
    /// both families.
    pub host_binding: Option<IpAddr>,
    /// The gateway address is not put on the bridge.
    pub inhibit_ipv4: bool,
    /// What the host does with what leaves and what comes from outside.
    pub gateways: GatewayOptions,
    /// Container legs are called this and a number.
    pub interface_prefix: String,
    /// MTU of bridge and veth pairs, in bytes.
    pub mtu: u32,
    /// Whether endpoints may speak with their own addresses only.
    pub port_security: bool,
    /// Broadcast and multicast frames a second that an endpoint may send; 0 is no limit.
    pub storm_pps: u32,
    /// Whether endpoints find each other by name, where the user chose.
    pub dns: Option<bool>,
    /// Which road what comes from outside takes to published ports.
    pub publish: PublishRoad,
}

/// The road from outside to published ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishRoad {
    /// As `Bpf`, as long as no rule of others has to see each packet.
    Auto,
    /// Past the host's stack, once the firewall has let the flow through.
    Bpf,
    /// By the firewall, every packet.
    Nft,
}

impl FromStr for PublishRoad {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "bpf" => Ok(Self::Bpf),
            "nft" => Ok(Self::Nft),
            _ => Err("it is auto, bpf or nft".into()),
        }
    }
}

/// Options as they are given, of which [`Options::parse`] takes each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct NetworkOptions(BTreeMap<String, String>);

impl NetworkOptions {
    /// Keys and values.
    pub fn raw(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl TryFrom<BTreeMap<String, String>> for NetworkOptions {
    type Error = OptionError;

    fn try_from(raw: BTreeMap<String, String>) -> Result<Self, OptionError> {
        Options::parse(&raw).map(|_| Self(raw))
    }
}

/// Why an option is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// The key is none of ours.
    #[error("unknown option {key:?}: known are {known}", known = KEYS.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// The value does not fit the key.
    #[error("option {key} cannot be {value:?}: {expected}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is expected.
        expected: String,
    },
    /// It contradicts another option, or what the network is.
    #[error("option {key} cannot be given here: {reason}")]
    Clash {
        /// The key.
        key: &'static str,
        /// What it contradicts.
        reason: &'static str,
    },
}

impl Options {
    /// Refuses to publish past the firewall what such a network does not.
    pub fn check_publish(&self, internal: bool, datapath: Datapath) -> Result<(), OptionError> {
        let routed = [false, true].map(|ipv6| self.gateways.of_family(ipv6).routed);
        let reason = if self.publish != PublishRoad::Bpf {
            return Ok(());
        } else if internal {
            "an internal network publishes nothing"
        } else if datapath == Datapath::Off {
            "with the datapath off all goes by the firewall"
        } else if routed != [false; 2] {
            "endpoints of a routed network are reached by the firewall"
        } else {
            return Ok(());
        };
        let key = PUBLISH;
        Err(OptionError::Clash { key, reason })
    }

    /// Reads the options that a user gave, or that the state holds.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let mut parsed = Self {
            icc: true,
            bridge_name: None,
            host_binding: None,
            inhibit_ipv4: false,
            gateways: GatewayOptions::default(),
            interface_prefix: "eth".into(),
            mtu: 1500,
            port_security: true,
            storm_pps: STORM_PPS_DEFAULT,
            dns: None,
            publish: PublishRoad::Auto,
        };
        for (key, value) in options {
            let refuse = |expected: String| OptionError::Value {
                key: key.clone(),
                value: value.clone(),
                expected,
            };
            let flag = || flag(value).map_err(refuse);
            let name = |text: &str| -> Result<InterfaceName, OptionError> {
                text.parse().map_err(|e: NameError| refuse(e.to_string()))
            };
            match key.as_str() {
                ENABLE_ICC => parsed.icc = flag()?,
                INHIBIT_IPV4 => parsed.inhibit_ipv4 = flag()?,
                HOST_BINDING_IPV4 => {
                    let address = host_address(value);
                    let address = address.map_err(|e| refuse(e.to_string()))?;
                    parsed.host_binding = Some(address).filter(|a| *a != Ipv4Addr::UNSPECIFIED);
                }
                BRIDGE_NAME => parsed.bridge_name = Some(name(value)?),
                CONTAINER_IFACE_PREFIX => {
                    // Room for the number of up to four digits.
                    name(&format!("{value}9999"))?;
                    parsed.interface_prefix.clone_from(value);
                }
                MTU => {
                    parsed.mtu = value
                        .parse()
                        .ok()
                        .filter(|mtu| (MTU_MIN..=MTU_MAX).contains(mtu))
                        .ok_or_else(|| refuse(format!("it is {MTU_MIN} to {MTU_MAX} bytes")))?;
                }
                PORT_SECURITY => parsed.port_security = flag()?,
                DNS => parsed.dns = Some(flag()?),
                PUBLISH => parsed.publish = value.parse().map_err(refuse)?,
                STORM_PPS => {
                    parsed.storm_pps = value.parse().map_err(|_| {
                        refuse("it is a number of frames a second, 0 for no limit".into())
                    })?;
                }
                key if KEYS.contains(&key) => parsed.gateways.take(key, value).map_err(refuse)?,
                _ => return Err(OptionError::UnknownKey { key: key.clone() }),
            }
        }
        parsed.gateways.check()?;
        Ok(parsed)
    }
}

/// A value that is true or false, or what it should be.
pub(super) fn flag(value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("it is true or false".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, value: &str) -> Result<Options, OptionError> {
        Options::parse(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
    }

    #[test]
    fn options_are_read() {
        assert!(!parse(ENABLE_ICC, "false").unwrap().icc);
        for (value, expected) in [
            ("0.0.0.0", None),
            ("127.0.0.1", Some("127.0.0.1")),
            ("::", Some("::")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
        ] {
            let expected = expected.map(|address| address.parse().unwrap());
            let parsed = parse(HOST_BINDING_IPV4, value).unwrap();
            assert_eq!(parsed.host_binding, expected);
        }
        assert_eq!(parse(MTU, "9000").unwrap().mtu, 9000);
        assert_eq!(
            parse(BRIDGE_NAME, "br9")
                .unwrap()
                .bridge_name
                .unwrap()
                .as_str(),
            "br9"
        );
    }

    #[test]
    fn bad_options_are_refused() {
        assert!(matches!(
            parse("com.example", "1"),
            Err(OptionError::UnknownKey { .. })
        ));
        for (key, value) in [
            (ENABLE_ICC, "perhaps"),
            (DNS, "yes"),
            (HOST_BINDING_IPV4, "localhost"),
            (HOST_BINDING_IPV4, "224.0.0.1"),
            (HOST_BINDING_IPV4, "fe80::1"),
            (MTU, "67"),
            (MTU, "65536"),
            (MTU, "big"),
            (BRIDGE_NAME, "a/b"),
            (CONTAINER_IFACE_PREFIX, "much-too-long-it-is"),
        ] {
            assert!(
                matches!(parse(key, value), Err(OptionError::Value { .. })),
                "{key}={value}"
            );
        }
    }
}
