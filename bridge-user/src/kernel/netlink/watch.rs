//! What the kernel tells of links by itself: `RTNLGRP_LINK`. As `ip monitor link`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::NetlinkError;

/// A change of the host's links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkEvent {
    /// A link came or changed.
    Changed,
    /// A link went; the host leg of a namespace that ended, maybe.
    Gone,
    /// Some events were lost: whatever may have happened.
    Lost,
}

/// A socket that hears of every change of links; it never blocks.
#[derive(Debug)]
pub struct LinkWatch(Socket);

impl LinkWatch {
    /// Begins to listen in the namespace of this thread.
    pub fn open() -> Result<Self, NetlinkError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            // A legacy group bit: `RTMGRP_LINK` is that of group 1, `RTNLGRP_LINK`.
            socket.bind(&SocketAddr::new(
                0,
                u32::try_from(libc::RTMGRP_LINK).unwrap_or(1),
            ))?;
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
        Ok(match message.map(|message| message.payload) {
            Ok(NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(_))) => LinkEvent::Gone,
            _ => LinkEvent::Changed,
        })
    }
}

impl AsFd for LinkWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
