//! What the kernel tells of nf_tables by itself: `NFNLGRP_NFTABLES`. As `nft monitor`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

use super::look::{TABLE_NAME, message_type};
use crate::kernel::netlink::NetfilterMessage;

/// What changes rules, of any table, and what flows may pass by.
const RULES: [libc::c_int; 6] = [
    libc::NFT_MSG_NEWTABLE,
    libc::NFT_MSG_DELTABLE,
    libc::NFT_MSG_NEWCHAIN,
    libc::NFT_MSG_DELCHAIN,
    libc::NFT_MSG_NEWRULE,
    libc::NFT_MSG_DELRULE,
];

/// What else changes a table.
const CHANGES: [libc::c_int; 4] = [
    libc::NFT_MSG_NEWSET,
    libc::NFT_MSG_DELSET,
    libc::NFT_MSG_NEWSETELEM,
    libc::NFT_MSG_DELSETELEM,
];

/// A socket that hears of every change of tables; it never blocks.
#[derive(Debug)]
pub struct TableWatch(Socket);

impl TableWatch {
    /// Begins to listen in the namespace of this thread.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.add_membership(libc::NFNLGRP_NFTABLES.cast_unsigned())?;
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// The next event that waits: whether our table may have changed, or others' rules.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when none does.
    pub fn changed(&self) -> io::Result<bool> {
        let datagram = match self.0.recv_from_full() {
            Ok((datagram, _)) => datagram,
            // Some events were lost: whatever they were.
            Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => return Ok(true),
            Err(e) => return Err(e),
        };
        Ok(is_change(&datagram))
    }
}

impl AsFd for TableWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether one of a datagram's messages changes our table, or rules.
fn is_change(mut datagram: &[u8]) -> bool {
    while !datagram.is_empty() {
        let Ok(message) = NetlinkMessage::<NetfilterMessage>::deserialize(datagram) else {
            // Whatever it is.
            return true;
        };
        let length = (message.header.length as usize).next_multiple_of(4);
        datagram = datagram.get(length.max(4)..).unwrap_or_default();
        let NetlinkPayload::InnerMessage(message) = message.payload else {
            continue;
        };
        let is_ours = || {
            let name = message.attributes.first(TABLE_NAME);
            name.is_some_and(|name| name.text() == Some("bridge_user"))
        };
        if RULES.map(message_type).contains(&message.kind)
            || CHANGES.map(message_type).contains(&message.kind) && is_ours()
        {
            return true;
        }
    }
    false
}
