//! How a frame is counted on the port that sent it.

use bridge_common::{DROP_REASONS, PortStats};

use crate::Verdict;

const _: () = assert!(DROP_REASONS.is_power_of_two());

/// What a frame weighs in the counters.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    /// Length of the frame in bytes, Ethernet header included.
    pub bytes: u32,
    /// Segments that a GSO frame stands for; 0 for a frame that is none.
    pub gso_segs: u32,
}

/// Adds a frame to the counters of the road that it takes.
#[inline(always)]
pub fn count(stats: &mut PortStats, verdict: Verdict, weight: Weight) {
    let bytes = u64::from(weight.bytes);
    let packets = u64::from(weight.gso_segs.max(1));
    match verdict {
        Verdict::Redirect { .. } => {
            stats.fast_packets = stats.fast_packets.wrapping_add(packets);
            stats.fast_bytes = stats.fast_bytes.wrapping_add(bytes);
        }
        Verdict::Answer(_) => {
            stats.answered_packets = stats.answered_packets.wrapping_add(packets);
            stats.answered_bytes = stats.answered_bytes.wrapping_add(bytes);
        }
        Verdict::Next | Verdict::Host { .. } | Verdict::Route { .. } => {
            stats.slow_packets = stats.slow_packets.wrapping_add(packets);
            stats.slow_bytes = stats.slow_bytes.wrapping_add(bytes);
        }
        Verdict::Drop(reason) => {
            // The mask tells the verifier what the type tells the compiler, which would leave it out
            // but for the black box.
            let index = core::hint::black_box(reason as usize) & (DROP_REASONS - 1);
            stats.drops[index] = stats.drops[index].wrapping_add(packets);
        }
    }
}

#[cfg(test)]
mod tests {
    //! One frame, one road.

    use bridge_common::{DropReason, PortStats};

    use super::{Weight, count};
    use crate::Verdict;

    const PLAIN: Weight = Weight {
        bytes: 98,
        gso_segs: 0,
    };

    fn counted(verdict: Verdict, weight: Weight) -> PortStats {
        let mut stats = PortStats::default();
        count(&mut stats, verdict, weight);
        stats
    }

    #[test]
    fn each_road_has_its_counters() {
        let none = PortStats::default();
        assert_eq!(
            counted(Verdict::Redirect { ifindex: 3 }, PLAIN),
            PortStats {
                fast_packets: 1,
                fast_bytes: 98,
                ..none
            }
        );
        assert_eq!(
            counted(Verdict::Next, PLAIN),
            PortStats {
                slow_packets: 1,
                slow_bytes: 98,
                ..none
            }
        );
    }

    #[test]
    fn every_drop_reason_has_its_own_counter() {
        for &reason in DropReason::ALL {
            let mut expected = PortStats::default();
            expected.drops[reason as usize] = 1;
            assert_eq!(
                counted(Verdict::Drop(reason), PLAIN),
                expected,
                "{reason:?}"
            );
        }
    }

    #[test]
    fn a_gso_frame_counts_as_its_segments() {
        let stats = counted(
            Verdict::Next,
            Weight {
                bytes: 65_226,
                gso_segs: 45,
            },
        );
        assert_eq!((stats.slow_packets, stats.slow_bytes), (45, 65_226));
    }

    #[test]
    fn frames_add_up() {
        let mut stats = PortStats::default();
        count(&mut stats, Verdict::Next, PLAIN);
        count(
            &mut stats,
            Verdict::Next,
            Weight {
                bytes: 2,
                gso_segs: 2,
            },
        );
        assert_eq!((stats.slow_packets, stats.slow_bytes), (3, 100));
    }
}
