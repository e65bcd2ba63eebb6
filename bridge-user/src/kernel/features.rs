//! Offload features of single interfaces (ethtool(8), `-k` and `-K`).

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;

use super::netns::NetNs;
use super::sys::{self, ETHTOOL_WORDS};

/// Commands of `SIOCETHTOOL` (include/uapi/linux/ethtool.h, v6.18).
const GET_STRINGS: u32 = 0x1b;
const GET_FEATURES: u32 = 0x3a;
const SET_FEATURES: u32 = 0x3b;
/// The names of features, in a request for strings (`ETH_SS_FEATURES`).
const FEATURE_NAMES: u32 = 4;
/// Bytes of a name (`ETH_GSTRING_LEN`).
const NAME_BYTES: usize = 32;

/// Features, by the names that ethtool has for them (net/ethtool/common.c, v6.18), and how the
/// container leg of a port with the XDP datapath has to have them.
///
/// A frame that is redirected by XDP carries neither an unfinished checksum nor a tag beside its
/// bytes, so the sender must finish them; without GRO the receiver takes no such frame
/// (`veth_xdp_xmit`, drivers/net/veth.c, v6.18).
const XDP_FEATURES: [(&str, bool); 5] = [
    ("rx-gro", true),
    ("tx-checksum-ip-generic", false),
    ("tx-checksum-sctp", false),
    ("tx-vlan-hw-insert", false),
    ("tx-vlan-stag-hw-insert", false),
];

/// Features cannot be set.
#[derive(Debug, thiserror::Error)]
#[error("failed to set the features of {interface} for XDP")]
pub struct FeaturesError {
    /// The interface.
    interface: String,
    /// Why not.
    source: io::Error,
}

/// Makes a container leg fit for XDP at the other end. As `ethtool -K IF gro on tx off txvlan off
/// tx-vlan-stag-hw-insert off` inside.
pub fn prepare_for_xdp(namespace: &NetNs, interface: &str) -> Result<(), FeaturesError> {
    namespace
        .within(|| {
            let socket = UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))?;
            set(&socket, interface)
        })
        .map_err(|source| FeaturesError {
            interface: interface.to_owned(),
            source,
        })
}

fn set(socket: &UdpSocket, interface: &str) -> io::Result<()> {
    let names = names(socket, interface)?;
    let words = names.len().div_ceil(32);
    let mut features = [0_u32; ETHTOOL_WORDS];
    features[..2].copy_from_slice(&[GET_FEATURES, word(words)]);
    sys::ethtool(socket.as_fd(), interface, &mut features)?;
    let mut request = [0_u32; ETHTOOL_WORDS];
    request[..2].copy_from_slice(&[SET_FEATURES, word(words)]);
    let mut right = true;
    for (name, on) in XDP_FEATURES {
        let Some(bit) = names.iter().position(|other| other == name) else {
            return Err(io::Error::other(format!("there is no feature {name}")));
        };
        let (index, mask) = (bit / 32, 1 << (bit % 32));
        // Four words of what is available, wanted, active and never changed; two of what is
        // meant and how it should be.
        let active = features[2 + 4 * index + 2] & mask != 0;
        right &= active == on;
        request[2 + 2 * index] |= mask;
        request[2 + 2 * index + 1] |= if on { mask } else { 0 };
    }
    if right {
        return Ok(());
    }
    tracing::info!("ethtool -K {interface} gro on tx off txvlan off tx-vlan-stag-hw-insert off");
    match sys::ethtool(socket.as_fd(), interface, &mut request)? {
        0 => Ok(()),
        // ETHTOOL_F_UNSUPPORTED, ETHTOOL_F_WISH.
        _ => Err(io::Error::other("the kernel did not take all of them")),
    }
}

/// The names of all features of this kernel, by bit.
fn names(socket: &UdpSocket, interface: &str) -> io::Result<Vec<String>> {
    let mut strings = [0_u32; ETHTOOL_WORDS];
    strings[..2].copy_from_slice(&[GET_STRINGS, FEATURE_NAMES]);
    sys::ethtool(socket.as_fd(), interface, &mut strings)?;
    let [_, _, count, names @ ..] = &strings;
    let words = (*count as usize * NAME_BYTES / 4).min(names.len());
    let bytes: &[u8] = bytemuck::cast_slice(&names[..words]);
    let name = |bytes: &[u8]| {
        let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    };
    Ok(bytes.chunks(NAME_BYTES).map(name).collect())
}

fn word(number: usize) -> u32 {
    u32::try_from(number).expect("features have few words")
}
