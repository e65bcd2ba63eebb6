//! What the kernel tells of links and of default routes by itself: `RTNLGRP_LINK`, `RTNLGRP_IPV4_ROUTE`,
//! `RTNLGRP_IPV6_ROUTE`. As `ip monitor link route`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::NetlinkError;

/// A change of the host's links, or of its ways outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkEvent {
    /// A link came or changed.
    Changed,
    /// A link went; the host leg of a namespace that ended, maybe.
    Gone,
    /// A default route came or went, or hardware came or changed.
    Outside,
    /// Another route.
    Route,
    /// Some events were lost: whatever may have happened.
    Lost,
}

/// Legacy bits of groups (`RTMGRP_*`, include/uapi/linux/rtnetlink.h, v6.18).
const GROUPS: u32 = LINK_GROUP | IPV4_ROUTE_GROUP | IPV6_ROUTE_GROUP;
const LINK_GROUP: u32 = 1;
const IPV4_ROUTE_GROUP: u32 = 0x40;
const IPV6_ROUTE_GROUP: u32 = 0x400;

/// A socket that hears of every such change; it never blocks.
#[derive(Debug)]
pub struct LinkWatch(Socket);

impl LinkWatch {
    /// Begins to listen in the namespace of this thread.
    pub fn open() -> Result<Self, NetlinkError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind(&SocketAddr::new(0, GROUPS))?;
            socket.set_non_blocking(true)?;
            Ok(Self(socket))
        };
        open().map_err(NetlinkError::Socket)
    }

    /// The next event that waits.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when none does.
    pub fn event(&self) -> io::Result<LinkEvent> {
        let datagram = match self.0.recv_from_full() {
            Ok((datagram, _)) => datagram,
            Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => return Ok(LinkEvent::Lost),
            Err(e) => return Err(e),
        };
        // One event a datagram (`rtnl_notify`, net/core/rtnetlink.c, v6.18).
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&datagram);
        let Ok(NetlinkPayload::InnerMessage(message)) = message.map(|message| message.payload)
        else {
            return Ok(LinkEvent::Lost);
        };
        Ok(match message {
            RouteNetlinkMessage::DelLink(_) => LinkEvent::Gone,
            RouteNetlinkMessage::NewLink(link) if is_hardware(&link) => LinkEvent::Outside,
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
                if route.header.destination_prefix_length == 0 {
                    LinkEvent::Outside
                } else {
                    LinkEvent::Route
                }
            }
            _ => LinkEvent::Changed,
        })
    }
}

/// Whether a link is of no kind that software makes.
fn is_hardware(link: &LinkMessage) -> bool {
    let made = |attribute: &_| matches!(attribute, LinkAttribute::LinkInfo(_));
    // A bridge tells of its ports in its own family, without their kind.
    link.header.interface_family == AddressFamily::Unspec && !link.attributes.iter().any(made)
}

impl AsFd for LinkWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
