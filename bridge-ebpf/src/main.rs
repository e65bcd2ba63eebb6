//! The eBPF programs: their licence, their panic handler and their hooks.
//!
//! Gathering and acting are in `hooks/`, the decision is the library's (`lib.rs`).

#![no_std]
#![no_main]
#![allow(
    clippy::inline_always,
    reason = "one program without calls: aya loads no function that was not inlined"
)]

mod hooks;
mod maps;
mod packet;

use aya_ebpf::{
    macros::{cgroup_sock_addr, classifier, xdp},
    programs::{SockAddrContext, TcContext, XdpContext},
};
use packet::sock_addr::{V4, V6};

/// Entry point of every port: ingress of the host leg of its veth pair (tcx, or clsact).
#[expect(clippy::needless_pass_by_value, reason = "the signature is aya's")]
#[classifier]
fn port_ingress(ctx: TcContext) -> i32 {
    hooks::tc::port_ingress(&ctx)
}

/// Entry point of every bridge: egress, what the host sends into the network (tcx, or clsact).
#[expect(clippy::needless_pass_by_value, reason = "the signature is aya's")]
#[classifier]
fn bridge_egress(ctx: TcContext) -> i32 {
    hooks::bridge::bridge_egress(&ctx)
}

/// Entry point of the ports of networks with the XDP datapath, before `port_ingress`: native XDP of
/// the host leg. Frames may have fragments, so that no MTU is too large (Linux 5.18).
#[expect(clippy::needless_pass_by_value, reason = "the signature is aya's")]
#[xdp(frags)]
fn port_ingress_xdp(ctx: XdpContext) -> u32 {
    hooks::xdp::port_ingress(&ctx)
}

/// Entry point of every uplink: ingress, what comes from outside (tcx).
#[expect(clippy::needless_pass_by_value, reason = "the signature is aya's")]
#[classifier]
fn uplink_ingress(ctx: TcContext) -> i32 {
    hooks::uplink::ingress(&ctx)
}

/// Its egress, what leaves the host (tcx).
#[expect(clippy::needless_pass_by_value, reason = "the signature is aya's")]
#[classifier]
fn uplink_egress(ctx: TcContext) -> i32 {
    hooks::uplink::egress(&ctx)
}

/// Entry points of calls on sockets, at the root of the cgroups: each with its hook.
macro_rules! socket_calls {
    ($($name:ident, $attach:ident: $hook:path;)*) => {$(
        #[cgroup_sock_addr($attach)]
        fn $name(ctx: SockAddrContext) -> i32 {
            $hook(&ctx)
        }
    )*};
}

socket_calls! {
    cgroup_bind4, bind4: hooks::cgroup::bind::<V4>;
    cgroup_bind6, bind6: hooks::cgroup::bind::<V6>;
    cgroup_connect4, connect4: hooks::cgroup::connect::<V4>;
    cgroup_connect6, connect6: hooks::cgroup::connect::<V6>;
    cgroup_sendmsg4, sendmsg4: hooks::cgroup::sendmsg::<V4>;
    cgroup_sendmsg6, sendmsg6: hooks::cgroup::sendmsg::<V6>;
    cgroup_recvmsg4, recvmsg4: hooks::cgroup::answer::<V4>;
    cgroup_recvmsg6, recvmsg6: hooks::cgroup::answer::<V6>;
    cgroup_getpeername4, getpeername4: hooks::cgroup::answer::<V4>;
    cgroup_getpeername6, getpeername6: hooks::cgroup::answer::<V6>;
}

/// The kernel reads the licence here; some helpers are for GPL-compatible programs only
/// (`license_is_gpl_compatible` in `include/linux/license.h`).
#[allow(
    unsafe_code,
    reason = "the section's name is what the loader looks for"
)]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Never reached: the verifier refuses a program that could come here, for it does not end.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
