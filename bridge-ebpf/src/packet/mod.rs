//! Everything that reads or writes a frame, or a context, by raw pointer, and the helpers on it.
//!
//! A pointer into the frame is used up inside one function, so none outlives a helper that
//! can move the data.

#![allow(unsafe_code, reason = "raw pointers to frames and contexts")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "offsets and lengths are within the headers, ports in the lower half of their field"
)]

pub(crate) mod nat;
pub(crate) mod skb;
pub(crate) mod sock_addr;
pub(crate) mod xdp;

use bridge_common::{EVENT_BYTES, Event};
use bridge_ebpf::{Frame, HEADERS_MAX};

/// The context of a program: where its frame is.
pub(crate) trait Context {
    /// Address of the first byte.
    fn start(&self) -> usize;

    /// Address past the last byte of the linear part.
    fn end(&self) -> usize;

    /// Length of the whole frame. As wide as a register: of the bounds of less the verifier would not
    /// know.
    fn length(&self) -> u64;

    /// Copies `length` bytes at `at`, of the linear part or beyond it, to `to`; whether there are
    /// as many.
    ///
    /// # Safety
    /// `to` has room for `length` bytes.
    unsafe fn load(&self, at: u32, to: *mut u8, length: u32) -> bool;
}

/// A frame in a context, plain headers in the linear part.
pub(crate) struct Packet<'c, C>(pub(crate) &'c C);

impl<C: Context> Frame for Packet<'_, C> {
    /// By a helper: the length of a copy is a constant, its place is not, and it may be past the
    /// linear part.
    #[inline(always)]
    fn far<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        if at > HEADERS_MAX {
            return None;
        }
        let mut bytes = [0_u8; N];
        // SAFETY: `bytes` has room for `N` bytes.
        unsafe { self.0.load(at as u32, bytes.as_mut_ptr(), N as u32) }.then_some(bytes)
    }

    #[inline(always)]
    fn u8(&self, at: usize) -> Option<u8> {
        // SAFETY: two bytes are there. One would do, but the verifier learns nothing from a check that
        // the place is just before the end (`find_good_pkt_pointers`, kernel/bpf/verifier.c, v6.18).
        self.place(at, 2).map(|place| unsafe { *place })
    }

    #[inline(always)]
    fn u16(&self, at: usize) -> Option<u16> {
        // SAFETY: as in `units_at`.
        self.place(at, 2).map(|place| unsafe { *place.cast() })
    }

    #[inline(always)]
    fn u32(&self, at: usize) -> Option<u32> {
        let [a, b] = self.units_at::<2>(at)?;
        Some(u32::from(a) | u32::from(b) << 16)
    }

    #[inline(always)]
    fn u64(&self, at: usize) -> Option<u64> {
        let [a, b, c, d] = self.units_at::<4>(at)?;
        Some(u64::from(a) | u64::from(b) << 16 | u64::from(c) << 32 | u64::from(d) << 48)
    }

    #[inline(always)]
    fn units<const N: usize>(&self) -> Option<[u16; N]> {
        self.units_at(0)
    }
}

impl<C: Context> Packet<'_, C> {
    /// Units of two bytes, little endian as the target is. Larger ones would need an alignment that
    /// frames do not have, and LLVM would load byte by byte.
    #[inline(always)]
    fn units_at<const N: usize>(&self, at: usize) -> Option<[u16; N]> {
        let place = self.place(at, 2 * N)?;
        // SAFETY: the bytes are there, any are a value, and frames begin at even addresses: network
        // drivers and the kernel's own protocols align the IP header, which is 14 bytes on
        // (NET_IP_ALIGN, include/linux/skbuff.h, v6.18).
        Some(unsafe { *place.cast() })
    }

    /// Where `length` bytes are, if the linear part has them all. The verifier asks for this check.
    #[inline(always)]
    fn place(&self, at: usize, length: usize) -> Option<*const u8> {
        let place = self.0.start() + at;
        (place + length <= self.0.end()).then_some(place as *const u8)
    }
}

/// Copies the frame's first bytes into an event.
#[inline(always)]
pub(crate) fn head<C: Context>(ctx: &C, event: &mut Event) {
    // The verifier wants to see the bounds of the length. Of a comparison it keeps what it learns for
    // the compared register alone, not for a 32-bit copy of it (`check_alu_op`,
    // kernel/bpf/verifier.c, v6.1); of a mask it keeps it in the result, and the black box keeps the
    // compiler from leaving out the mask.
    let length = if ctx.length() >= EVENT_BYTES as u64 {
        EVENT_BYTES as u32
    } else {
        let length = core::hint::black_box(ctx.length() as u32);
        (length.wrapping_sub(1) & (EVENT_BYTES as u32 - 1)) + 1
    };
    // SAFETY: `head` has room for `EVENT_BYTES` bytes, as many as are copied at most.
    if unsafe { ctx.load(0, event.head.as_mut_ptr(), length) } {
        event.head_length = length;
    }
}
