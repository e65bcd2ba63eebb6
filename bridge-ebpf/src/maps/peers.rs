//! `PEERS`: what a connected socket asked for. It is a part of the socket, and goes with it. Written by
//! the programs, which run one at a time on a socket: the kernel holds its lock
//! (`BPF_CGROUP_RUN_SA_PROG_LOCK`, include/linux/bpf-cgroup.h, v6.18).

use aya_ebpf::{btf_maps::SkStorage, macros::btf_map, programs::SockAddrContext};
use bridge_common::{Peer, SocketAddress};

#[btf_map]
static PEERS: SkStorage<Peer> = SkStorage::new();

/// Keeps what the socket asked for and what it got, in place of what it had before. Without memory it
/// is not kept, and the socket is told the endpoint's address.
#[inline(always)]
pub(crate) fn set(ctx: &SockAddrContext, peer: Peer) {
    // SAFETY: the socket is the context's own; the kernel returned a valid value, or null.
    if let Some(value) = unsafe { PEERS.get_or_insert_ptr_mut(ctx, None).as_mut() } {
        *value = peer;
    }
}

/// What the socket had asked for when it got this endpoint.
#[inline(always)]
pub(crate) fn asked(ctx: &SockAddrContext, endpoint: &SocketAddress) -> Option<SocketAddress> {
    // SAFETY: as in `set`.
    let peer = unsafe { PEERS.get_ptr_mut(ctx).as_ref() }?;
    (peer.endpoint == *endpoint).then_some(peer.asked)
}
