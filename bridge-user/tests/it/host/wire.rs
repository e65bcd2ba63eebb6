//! Packet sockets: frames as they are, in at any link of a host, in and out at a container leg.

use std::fs::File;
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType,
    recvmsg, sendto, setsockopt, socket, sockopt,
};
use socket2::{SockFilter, SockRef};

use super::{Endpoint, Host, wait_until};

/// Room for the frames of a burst, in bytes.
const BUFFER_BYTES: usize = 64 << 20;

/// `PACKET_OUTGOING` (include/uapi/linux/if_packet.h, v6.18): what the link itself sends.
const OUTGOING: u8 = 4;

/// A frame that came in at a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrival {
    /// Without its first VLAN tag: the kernel takes it off the bytes.
    pub(crate) frame: Vec<u8>,
    /// Whether it had a tag.
    pub(crate) tagged: bool,
    /// Whom the kernel takes it to be for: `PACKET_HOST` and so on.
    pub(crate) kind: u8,
}

/// A link, listened to from inside its namespace.
#[derive(Debug)]
pub(crate) struct Tap {
    plain: OwnedFd,
    tagged: OwnedFd,
}

/// A container leg, seen from inside its sandbox.
#[derive(Debug)]
pub(crate) struct Wire {
    tap: Tap,
    leg: LinkAddr,
}

impl Host {
    /// Opens the wire of an endpoint. Raw frames need `CAP_NET_RAW` only, which containers have.
    #[track_caller]
    pub(crate) fn wire(&self, endpoint: &Endpoint) -> Wire {
        self.inside(|| {
            let path = format!("/run/netns/{}", endpoint.sandbox);
            let netns = File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
            setns(netns, CloneFlags::CLONE_NEWNET).expect("root enters a namespace");
            Wire::open(endpoint).unwrap_or_else(|e| panic!("a packet socket in {path}: {e}"))
        })
    }

    /// Listens at one of the host's own links.
    #[track_caller]
    pub(crate) fn tap(&self, link: &str) -> Tap {
        let tap = self.inside(|| Tap::open(if_nametoindex(link)?));
        tap.unwrap_or_else(|e| panic!("a packet socket at {link}: {e}"))
    }
}

impl Wire {
    fn open(endpoint: &Endpoint) -> nix::Result<Self> {
        let index = if_nametoindex(endpoint.interface.as_str())?;
        let leg = address_of(index, endpoint)?;
        let tap = Tap::open(index)?;
        Ok(Self { tap, leg })
    }

    /// Sends a frame, Ethernet header and all.
    #[track_caller]
    pub(crate) fn send(&self, frame: &[u8]) {
        let socket = self.tap.plain.as_raw_fd();
        let sent = sendto(socket, frame, &self.leg, MsgFlags::empty());
        assert_eq!(sent, Ok(frame.len()), "a raw frame is taken as it is");
    }

    /// The frames that have arrived at the leg since the last call.
    pub(crate) fn arrived(&self) -> Vec<Arrival> {
        self.tap.arrived()
    }
}

/// The address of a container leg, for packet sockets. The kernel tells it with each frame, so let
/// the leg say something.
fn address_of(index: u32, endpoint: &Endpoint) -> nix::Result<LinkAddr> {
    let socket = packet_socket()?;
    let own: Ipv4Addr = endpoint.ipv4.parse().expect("an endpoint has IPv4");
    let other = Ipv4Addr::from_bits(own.to_bits() ^ 1);
    let said = UdpSocket::bind((own, 0)).and_then(|udp| udp.send_to(b"", (other, 9)));
    said.expect("the own subnet has a route");
    let mut leg = None;
    wait_until("the leg said something", || {
        let from = receive(&socket).map(|(_, from)| from);
        leg = from.filter(|from| from.ifindex() == index as usize);
        leg.is_some()
    });
    Ok(leg.expect("it was waited for"))
}

impl Tap {
    fn open(index: u32) -> nix::Result<Self> {
        let open = |tagged| {
            let socket = packet_socket()?;
            let attached = SockRef::from(&socket).attach_filter(&incoming(index, tagged));
            attached.expect("the filter is right");
            // What came in before the filter was there.
            while receive(&socket).is_some() {}
            Ok(socket)
        };
        Ok(Self {
            plain: open(false)?,
            tagged: open(true)?,
        })
    }

    /// The frames that have arrived since the last call: in their order those without a tag, then
    /// those with one.
    pub(crate) fn arrived(&self) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        for (socket, tagged) in [(&self.plain, false), (&self.tagged, true)] {
            while let Some((frame, from)) = receive(socket) {
                arrivals.push(Arrival {
                    frame,
                    tagged,
                    kind: from.pkttype(),
                });
            }
        }
        arrivals
    }
}

/// A filter for what comes in at a link, with a VLAN tag or without (Documentation/networking/
/// filter.rst, v6.18: `ifidx`, `type` and `vlan_avail`).
fn incoming(index: u32, tagged: bool) -> [SockFilter; 8] {
    let (load, is, answer) = (0x20, 0x15, 0x06);
    let ancillary = |offset: i32| (libc::SKF_AD_OFF + offset).cast_unsigned();
    [
        SockFilter::new(load, 0, 0, ancillary(libc::SKF_AD_IFINDEX)),
        SockFilter::new(is, 0, 5, index),
        SockFilter::new(load, 0, 0, ancillary(libc::SKF_AD_PKTTYPE)),
        SockFilter::new(is, 3, 0, OUTGOING.into()),
        SockFilter::new(load, 0, 0, ancillary(libc::SKF_AD_VLAN_TAG_PRESENT)),
        SockFilter::new(is, 0, 1, tagged.into()),
        SockFilter::new(answer, 0, 0, u32::MAX),
        SockFilter::new(answer, 0, 0, 0),
    ]
}

/// A socket for the frames of all links of the calling thread's namespace.
fn packet_socket() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let protocol = SockProtocol::EthAll;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, protocol)?;
    setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES)?;
    setsockopt(&socket, sockopt::RxqOvfl, &1)?;
    Ok(socket)
}

/// The next frame and where it came from; `None` where there is none yet. A test whose socket lost
/// frames has seen nothing.
fn receive(socket: &OwnedFd) -> Option<(Vec<u8>, LinkAddr)> {
    let mut buffer = [0; 2048];
    let mut control = cmsg_space!(u32);
    let (length, from) = {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::empty();
        match recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
            Ok(message) => {
                for told in message.cmsgs().expect("there is room for the one option") {
                    if let ControlMessageOwned::RxqOvfl(lost) = told {
                        panic!("a packet socket lost {lost} frames");
                    }
                }
                (message.bytes, message.address)
            }
            Err(Errno::EAGAIN) => return None,
            Err(error) => panic!("a packet socket is readable: {error}"),
        }
    };
    let from = from.expect("packet sockets tell the link");
    Some((buffer[..length].to_vec(), from))
}

/// The bytes of a MAC address, in wire order.
#[track_caller]
pub(crate) fn mac(text: &str) -> [u8; 6] {
    let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16));
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().expect("hexadecimal");
    bytes.try_into().expect("a MAC address is six bytes")
}

/// The link-local address of a MAC address (RFC 4291, appendix A).
pub(crate) fn link_local([a, b, c, d, e, f]: [u8; 6]) -> Ipv6Addr {
    let mut address = [0; 16];
    address[..2].copy_from_slice(&[0xfe, 0x80]);
    address[8..].copy_from_slice(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    address.into()
}
