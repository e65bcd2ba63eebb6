//! A frame as the decision reads it: integers at offsets, wherever the bytes are.

use crate::address::{Ip4, Ip6, Mac};

/// Bytes of a frame in which its headers have to be.
pub const HEADERS_MAX: usize = 256;

/// The bytes of a frame, from its Ethernet header on. Integers come as they lie in memory; `None`
/// is past the end, or past [`HEADERS_MAX`]: such a frame hides what it carries.
///
/// [`Frame::far`] apart, offsets are those that the program's text says: the verifier has to follow
/// each.
pub trait Frame {
    /// `N` bytes at an offset that the frame itself says.
    fn far<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    /// One byte, if there is another after it, as there is in every header.
    fn u8(&self, at: usize) -> Option<u8>;

    /// Two bytes.
    fn u16(&self, at: usize) -> Option<u16>;

    /// Four bytes.
    fn u32(&self, at: usize) -> Option<u32>;

    /// Eight bytes.
    fn u64(&self, at: usize) -> Option<u64>;

    /// The first units of two bytes.
    fn units<const N: usize>(&self) -> Option<[u16; N]>;

    /// A MAC address.
    #[inline(always)]
    fn mac(&self, at: usize) -> Option<Mac> {
        // The end first: it bounds the rest.
        let end = self.u16(at + 4)?;
        Some(Mac::new([self.u16(at)?, self.u16(at + 2)?, end]))
    }

    /// An IPv4 address.
    #[inline(always)]
    fn ip4(&self, at: usize) -> Option<Ip4> {
        self.u32(at).map(Ip4)
    }

    /// An IPv6 address.
    #[inline(always)]
    fn ip6(&self, at: usize) -> Option<Ip6> {
        let low = self.u64(at + 8)?;
        Some(Ip6::new([self.u64(at)?, low]))
    }
}

/// A frame in memory, for host tests and tools.
impl Frame for &[u8] {
    fn far<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        bytes(self, at)
    }

    fn u8(&self, at: usize) -> Option<u8> {
        bytes(self, at).map(|[byte, _]| byte)
    }

    fn u16(&self, at: usize) -> Option<u16> {
        bytes(self, at).map(u16::from_ne_bytes)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        bytes(self, at).map(u32::from_ne_bytes)
    }

    fn u64(&self, at: usize) -> Option<u64> {
        bytes(self, at).map(u64::from_ne_bytes)
    }

    fn units<const N: usize>(&self) -> Option<[u16; N]> {
        let mut units = [0; N];
        for (at, unit) in units.iter_mut().enumerate() {
            *unit = self.u16(2 * at)?;
        }
        Some(units)
    }
}

fn bytes<const N: usize>(frame: &[u8], at: usize) -> Option<[u8; N]> {
    if at > HEADERS_MAX {
        return None;
    }
    frame.get(at..at + N)?.try_into().ok()
}
