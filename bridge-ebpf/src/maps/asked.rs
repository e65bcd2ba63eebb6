//! `ASKED`: what sockets asked for that send without being connected, by socket and endpoint. Written by
//! the programs; the entries that were not used for the longest time make room for others.

use aya_ebpf::{btf_maps::LruHashMap, macros::btf_map};
use bridge_common::{AskedKey, MAX_ASKED, SocketAddress};

#[btf_map]
static ASKED: LruHashMap<AskedKey, SocketAddress, { MAX_ASKED as usize }> = LruHashMap::new();

/// Keeps what a socket asked for when it got an endpoint. What cannot be kept is not translated back.
#[inline(always)]
pub(crate) fn set(socket: u64, endpoint: &SocketAddress, asked: &SocketAddress) {
    let _ = ASKED.insert(key(socket, endpoint), asked, 0);
}

/// What the socket had asked for when it got this endpoint.
#[inline(always)]
pub(crate) fn find(socket: u64, endpoint: &SocketAddress) -> Option<SocketAddress> {
    // SAFETY: the value is copied at once and the reference does not leave this function. Only calls
    // on the same socket write it, under its lock; an entry that is evicted meanwhile would be
    // another socket's when it is read, which no lock prevents and the kernel makes rare.
    unsafe { ASKED.get(key(socket, endpoint)) }.copied()
}

#[inline(always)]
fn key(socket: u64, endpoint: &SocketAddress) -> AskedKey {
    AskedKey {
        socket,
        endpoint: *endpoint,
    }
}
