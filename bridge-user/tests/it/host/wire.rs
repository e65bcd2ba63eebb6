//! A packet socket at a container leg: frames as they are, in and out.

use std::fs::File;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendto,
    setsockopt, socket, sockopt,
};

use super::{Endpoint, Host, wait_until};

/// Room for the frames of a burst, in bytes.
const BUFFER_BYTES: usize = 64 << 20;

/// `PACKET_OUTGOING` (include/uapi/linux/if_packet.h, v6.18): what the leg itself sends.
const OUTGOING: u8 = 4;

/// A leg, seen from inside its sandbox.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: OwnedFd,
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
}

impl Wire {
    fn open(endpoint: &Endpoint) -> nix::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let protocol = SockProtocol::EthAll;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, protocol)?;
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES)?;
        let index = if_nametoindex(endpoint.interface.as_str())?;
        // The kernel tells the address of a link with each frame, so let the leg say something.
        let own: Ipv4Addr = endpoint.ipv4.parse().expect("an endpoint has IPv4");
        let other = Ipv4Addr::from_bits(own.to_bits() ^ 1);
        let said = UdpSocket::bind((own, 0)).and_then(|udp| udp.send_to(b"", (other, 9)));
        said.expect("the own subnet has a route");
        let mut leg = None;
        wait_until("the leg said something", || {
            let found = receive(&socket).and_then(|(_, from)| from);
            leg = found.filter(|from| from.ifindex() == index as usize);
            leg.is_some()
        });
        let leg = leg.expect("it was waited for");
        Ok(Self { socket, leg })
    }

    /// Sends a frame, Ethernet header and all.
    #[track_caller]
    pub(crate) fn send(&self, frame: &[u8]) {
        let flags = MsgFlags::empty();
        let sent = sendto(self.socket.as_raw_fd(), frame, &self.leg, flags);
        assert_eq!(sent, Ok(frame.len()), "a raw frame is taken as it is");
    }

    /// The frames that have arrived at the leg since the last call.
    pub(crate) fn arrived(&self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some((frame, from)) = receive(&self.socket) {
            let from = from.expect("packet sockets tell the link");
            if from.ifindex() == self.leg.ifindex() && from.pkttype() != OUTGOING {
                frames.push(frame);
            }
        }
        frames
    }
}

/// The next frame and where it came from; `None` where there is none yet.
fn receive(socket: &OwnedFd) -> Option<(Vec<u8>, Option<LinkAddr>)> {
    let mut buffer = [0; 2048];
    match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) {
        Ok((length, from)) => Some((buffer[..length].to_vec(), from)),
        Err(Errno::EAGAIN) => None,
        Err(error) => panic!("a packet socket is readable: {error}"),
    }
}
