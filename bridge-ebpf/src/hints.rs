//! The slots that an endpoint with a MAC address may have: found without a hash table, and only
//! guessed.

use bridge_common::{HINT_BUCKETS, NO_SLOT};

use crate::Tables;
use crate::address::Mac;

const _: () = assert!(HINT_BUCKETS.is_power_of_two());

/// Bits of a slot in a bucket.
const SLOT_BITS: u32 = 16;

/// What `right` makes of the first slot that is right: of the one that the address ends in, as those
/// that we assign do, and of the hints.
#[inline(always)]
pub(crate) fn find<T: Tables, R>(
    mac: Mac,
    tables: &T,
    right: impl Fn(u16) -> Option<R>,
) -> Option<R> {
    if let Some(found) = right(mac.slot()) {
        return Some(found);
    }
    let mut slots = tables.hints(hint_bucket(mac.units()));
    while slots != 0 {
        if let Some(found) = right(first(slots)) {
            return Some(found);
        }
        slots >>= SLOT_BITS;
    }
    None
}

/// The bucket of the map `HINTS` that a MAC address is in ([`bridge_common::wire_mac`]).
#[inline(always)]
pub fn hint_bucket(mac: [u16; 3]) -> u32 {
    let [a, b, c] = mac;
    let mac = u64::from(a) | u64::from(b) << 16 | u64::from(c) << 32;
    // The golden ratio's fraction spreads numbers that are close (Knuth, TAOCP 3, 6.4).
    let hash = mac.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    #[expect(clippy::cast_possible_truncation, reason = "as many bits as buckets")]
    let bucket = (hash >> (u64::BITS - HINT_BUCKETS.trailing_zeros())) as u32;
    bucket
}

/// A bucket's slots with one more; `None` where there is no room.
pub fn with_hint(slots: u64, slot: u16) -> Option<u64> {
    let there = without_hint(slots, slot);
    (there >> (u64::BITS - SLOT_BITS) == 0).then_some(there << SLOT_BITS | u64::from(slot))
}

/// A bucket's slots without one.
pub fn without_hint(slots: u64, slot: u16) -> u64 {
    let (mut slots, mut kept, mut at) = (slots, 0, 0);
    while slots != 0 {
        let this = first(slots);
        if this != slot && this != NO_SLOT {
            kept |= u64::from(this) << at;
            at += SLOT_BITS;
        }
        slots >>= SLOT_BITS;
    }
    kept
}

#[inline(always)]
fn first(slots: u64) -> u16 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the first is in the lowest bits"
    )]
    let slot = slots as u16;
    slot
}

#[cfg(test)]
mod tests {
    //! Buckets as they fill and empty, and how addresses spread over them.

    use bridge_common::wire_mac;

    use super::{hint_bucket, with_hint, without_hint};

    #[test]
    fn a_bucket_takes_four_slots_each_once() {
        let mut slots = 0;
        for slot in [7, 8, 9, 8, 10] {
            slots = with_hint(slots, slot).expect("there is room");
        }
        assert_eq!(slots, 0x0007_0009_0008_000a);
        assert_eq!(with_hint(slots, 11), None);
        assert_eq!(with_hint(slots, 7), Some(0x0009_0008_000a_0007));
    }

    #[test]
    fn what_goes_leaves_no_gap() {
        assert_eq!(without_hint(0x0007_0009_0008_000a, 8), 0x0007_0009_000a);
        assert_eq!(without_hint(0x0007, 8), 0x0007);
        assert_eq!(without_hint(0x0007, 7), 0);
    }

    #[test]
    fn addresses_that_follow_each_other_find_room() {
        let mut full = 0;
        let mut buckets = vec![0_u64; bridge_common::HINT_BUCKETS as usize];
        for slot in 1..=4096_u16 {
            let [high, low] = slot.to_be_bytes();
            // The end is nobody's slot, as with Docker's addresses of old.
            let mac = wire_mac([0x02, 0x42, high, low, 0xff, 0xff]);
            let bucket = &mut buckets[hint_bucket(mac) as usize];
            match with_hint(*bucket, slot) {
                Some(slots) => *bucket = slots,
                None => full += 1,
            }
        }
        assert_eq!(full, 0);
    }
}
