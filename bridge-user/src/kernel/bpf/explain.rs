//! The pinned program, asked about one made frame (`BPF_PROG_TEST_RUN`).

use aya::TestRunOptions;
use aya::maps::{Array, MapData};
use aya::programs::TestRun as _;
use bridge_common::{DecisionRecord, DropReason, EXPLAIN_MARK, verdict};
use bridge_ebpf::Check;

use super::lookups::{self, Lookup};
use super::{BpfError, DataPlane, failed, pins};

/// `mark` and `ifindex` in `struct __sk_buff` (include/uapi/linux/bpf.h, v6.18).
const MARK_OFFSET: usize = 8;
const IFINDEX_OFFSET: usize = 40;

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Road {
    /// Redirected into the namespace behind the host leg with this index.
    Fast {
        /// The host leg.
        ifindex: u32,
    },
    /// Left to the Linux bridge.
    Slow,
    /// Handed to the host's stack, past the bridge.
    Host,
    /// Answered by the program.
    Answered,
    /// Dropped, for the reason of this name.
    Dropped(&'static str),
}

/// What the program decided about a made frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explained {
    /// What becomes of it.
    pub road: Road,
    /// The check that said so.
    pub check: Check,
}

impl Explained {
    /// `None` for a record of no version of ours.
    pub(super) fn of(record: &DecisionRecord) -> Option<Self> {
        let reason = DropReason::ALL
            .iter()
            .find(|reason| **reason as u16 == record.reason);
        let road = match record.verdict {
            verdict::DROP => Road::Dropped(reason?.name()),
            verdict::REDIRECT => Road::Fast {
                ifindex: record.target,
            },
            verdict::NEXT => Road::Slow,
            verdict::ANSWER => Road::Answered,
            verdict::HOST => Road::Host,
            _ => return None,
        };
        let check = *Check::ALL.get(usize::from(record.check))?;
        Some(Self { road, check })
    }
}

/// What the program decided about a made frame, and on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The decision.
    pub explained: Explained,
    /// What this bridge-user's own copy of the decision makes of the same maps, where that is
    /// something else: the pinned program is another build's, or the maps changed meanwhile.
    pub differs: Option<Explained>,
    /// The checks that were made, in order.
    pub checks: Vec<Check>,
    /// The entries that were looked up, in order.
    pub lookups: Vec<Lookup>,
}

impl DataPlane {
    /// Runs the program on a frame as if it came in on the host leg `ifindex`, and takes the same
    /// decision in user space to see what it asks for. No counter, limit or event is touched. One
    /// caller at a time: the decision is left in a map.
    pub fn explain(&self, ifindex: u32, frame: &[u8]) -> Result<Trial, BpfError> {
        let record = self.run(ifindex, frame)?;
        let asked = lookups::ask(self, ifindex, frame)?;
        let known = |record: &DecisionRecord| {
            Explained::of(record).ok_or(BpfError::Missing("decision that this bridge-user knows"))
        };
        let own = asked.decision.record(ifindex);
        Ok(Trial {
            explained: known(&record)?,
            differs: if own == record {
                None
            } else {
                Some(known(&own)?)
            },
            checks: asked.checks,
            lookups: asked.lookups,
        })
    }

    fn run(&self, ifindex: u32, frame: &[u8]) -> Result<DecisionRecord, BpfError> {
        let mut context = [0; IFINDEX_OFFSET + 4];
        context[MARK_OFFSET..MARK_OFFSET + 4].copy_from_slice(&EXPLAIN_MARK.to_ne_bytes());
        context[IFINDEX_OFFSET..].copy_from_slice(&ifindex.to_ne_bytes());
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        };
        let ran = self.program.test_run(options);
        ran.map_err(failed("run", "the program on a made frame"))?;
        let decision: Array<MapData, DecisionRecord> = pins::map("DECISION")?;
        let record = decision.get(&0, 0);
        record.map_err(failed("read", "map DECISION"))
    }
}
