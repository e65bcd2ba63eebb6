//! The hooks at the root of the cgroups: calls on the host's sockets that are about published ports.
//! They hold no policy: that is `bridge_ebpf::{translate, is_taken}`.

use aya_ebpf::programs::SockAddrContext;
use bridge_common::{Address, Peer, PublishedKey, SocketAddress};
use bridge_ebpf::{Publications, is_taken, translate};

use crate::{
    maps,
    packet::sock_addr::{self, Family},
};

/// The call goes on.
const ALLOWED: i32 = 1;
/// The call fails.
const REFUSED: i32 = 0;

/// The map, as the decision asks it.
pub(super) struct Published;

impl Publications for Published {
    #[inline(always)]
    fn publication(&self, asked: &PublishedKey) -> Option<SocketAddress> {
        maps::published::find(asked)
    }
}

/// Refuses a bind that would take a published port.
#[inline(always)]
pub(crate) fn bind<F: Family>(ctx: &SockAddrContext) -> i32 {
    let ipv6_only = || sock_addr::is_ipv6_only(ctx);
    if sock_addr::is_of_host(ctx) && is_taken(&F::asked(ctx), ipv6_only, &Published) {
        sock_addr::address_in_use();
        return REFUSED;
    }
    ALLOWED
}

/// Connects to the endpoint behind a published port.
#[inline(always)]
pub(crate) fn connect<F: Family>(ctx: &SockAddrContext) -> i32 {
    let is_of_host = || sock_addr::is_bound_to_host::<F>(ctx);
    if let Some(endpoint) = endpoint::<F>(ctx, F::bound, is_of_host) {
        let asked = F::socket_address(ctx);
        F::set(ctx, &endpoint);
        maps::peers::set(ctx, Peer { endpoint, asked });
    }
    ALLOWED
}

/// Sends a datagram to the endpoint behind a published port.
#[inline(always)]
pub(crate) fn sendmsg<F: Family>(ctx: &SockAddrContext) -> i32 {
    // The kernel tells connections alone.
    if let Some(endpoint) = endpoint::<F>(ctx, F::source, || false) {
        let asked = F::socket_address(ctx);
        F::set(ctx, &endpoint);
        maps::asked::set(sock_addr::socket_cookie(ctx), &endpoint, &asked);
    }
    ALLOWED
}

/// Tells who asks where a datagram came from, or with whom a socket is connected, the address and port
/// that it had asked for.
#[inline(always)]
pub(crate) fn answer<F: Family>(ctx: &SockAddrContext) -> i32 {
    if sock_addr::is_of_host(ctx) {
        let endpoint = F::socket_address(ctx);
        let asked = maps::peers::asked(ctx, &endpoint)
            .or_else(|| maps::asked::find(sock_addr::socket_cookie(ctx), &endpoint));
        if let Some(asked) = asked {
            F::set(ctx, &asked);
        }
    }
    ALLOWED
}

/// Where the call is to go instead.
#[inline(always)]
fn endpoint<F: Family>(
    ctx: &SockAddrContext,
    source: impl FnOnce(&SockAddrContext) -> Address,
    is_of_host: impl FnOnce() -> bool,
) -> Option<SocketAddress> {
    // Bound to an interface, lo among them, it could not reach the bridge.
    if !sock_addr::is_of_host(ctx) || sock_addr::is_bound_to_link(ctx) {
        return None;
    }
    translate(&F::asked(ctx), &source(ctx), is_of_host, &Published)
}
