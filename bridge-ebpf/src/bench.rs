//! What `cargo xtask bench` needs beside the datapath: a source of XDP frames, and a sink.

#![no_std]
#![no_main]

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_TX},
    macros::xdp,
    programs::XdpContext,
};

/// Sends a frame out of the interface that it came in on. Run with BPF_F_TEST_XDP_LIVE_FRAMES, it makes
/// an interface send frames that are born in XDP (Linux 5.18).
#[xdp]
fn source(_ctx: XdpContext) -> u32 {
    XDP_TX
}

/// Takes a frame, which the link counts.
#[xdp]
fn sink(_ctx: XdpContext) -> u32 {
    XDP_DROP
}

/// Never reached, as in `main.rs`.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
