//! What the program does with a frame.

use bridge_common::DropReason;

/// The decision about one frame.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Hand the frame to the container leg whose host leg has this index: the fast path.
    Redirect {
        /// Index of the receiver's host leg.
        ifindex: u32,
    },
    /// Leave the frame to the next program and then to the Linux bridge: the slow path.
    Next,
    /// Drop the frame.
    Drop(DropReason),
}
