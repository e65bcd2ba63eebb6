//! A case's steps on a stage, and what came of them.
//!
//! Frames of one sender in a row are a burst. Ends behind it, a broadcast and a request that the
//! program answers, tell that all of it has arrived: the playing thread stays on one CPU, in whose
//! backlog frames stay in order. XDP has a queue for each leg beside it, and may hold frames of the
//! slow path back until its poll is over (`napi_complete_done`, net/core/dev.c, v6.18). So there ends
//! take the fast path to each neighbour too, and there are two rounds of them.

use std::thread;
use std::time::{Duration, Instant};

use bridge_ebpf::testing::raw;

use super::counted::Counted;
use super::stage::Stage;
use super::topology::ip4;
use crate::host::Arrival;

/// Frames in a burst at most: fewer copies of it than a CPU's backlog takes
/// (`net.core.netdev_max_backlog`, 1000) or a veth's XDP ring (`VETH_RING_SIZE`, 256).
pub(super) const BURST: usize = 100;

/// How long an end may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

const END: u16 = 0x88b6;
const ALL: [u8; 6] = [0xff; 6];

/// Something that happens in a topology. What cannot be in the state that it finds is nothing:
/// any part of a case is a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Send { from: usize, frame: Vec<u8> },
    Disconnect(usize),
    Connect { endpoint: usize, sandbox: usize },
}

/// What came of a burst.
#[derive(Debug)]
pub(super) struct Burst {
    pub(super) from: usize,
    /// Number of the last of its steps.
    pub(super) last: usize,
    /// At each endpoint, then at each bridge.
    pub(super) arrived: Vec<Vec<Arrival>>,
    pub(super) counted: Counted,
    /// Frames among them that the kernel drops before the TC program sees them.
    pub(super) unseen: u64,
    /// Whether every end arrived.
    pub(super) ended: bool,
}

/// Plays steps from the first on.
pub(super) fn play(stage: &mut Stage, steps: &[Step], patience: Duration) -> Vec<Burst> {
    stage.arrived();
    let mut bursts = Vec::new();
    let mut frames: Vec<&[u8]> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Disconnect(endpoint) => stage.disconnect(*endpoint),
            Step::Connect { endpoint, sandbox } => stage.connect(*endpoint, *sandbox),
            Step::Send { from, .. } if !stage.is_connected(*from) => {}
            Step::Send { from, frame } => {
                frames.push(frame);
                let goes_on = matches!(steps.get(number + 1), Some(Step::Send { from: next, .. }) if next == from);
                if frames.len() == BURST || !goes_on {
                    let mut burst = self::burst(stage, *from, &frames, bursts.len(), patience);
                    burst.last = number;
                    bursts.push(burst);
                    frames.clear();
                }
            }
        }
    }
    bursts
}

fn burst(stage: &Stage, from: usize, frames: &[&[u8]], number: usize, patience: Duration) -> Burst {
    let before = stage.counted(from);
    for frame in frames {
        stage.send(from, frame);
    }
    let mut arrived = stage.arrived();
    let rounds = if stage.queues { 2 } else { 1 };
    let ended = (0..rounds).all(|round| {
        let mark = [&b"end"[..], &number.to_be_bytes(), &[round]].concat();
        send_ends(stage, from, &mark);
        await_ends(stage, from, &mark, &mut arrived, patience)
    });
    let after = stage.counted(from);
    Burst {
        from,
        last: 0,
        arrived,
        counted: after - before,
        unseen: frames.iter().map(|frame| u64::from(is_unseen(frame))).sum(),
        ended,
    }
}

/// Whether a frame ends where the kernel takes off its tag: it drops one without tag and type
/// (`skb_vlan_untag`, net/core/skbuff.c, v6.18).
fn is_unseen(frame: &[u8]) -> bool {
    let is_tagged = [[0x81, 0x00], [0x88, 0xa8]]
        .iter()
        .any(|tag| frame[12..14] == *tag);
    is_tagged && frame.len() < 14 + 4 + 2
}

/// Sends an end by every road.
fn send_ends(stage: &Stage, from: usize, mark: &[u8]) {
    let own = &stage.topology.endpoints[from];
    stage.send(from, &end(raw(ALL, own.mac, END, &[]), mark));
    for peer in peers(stage, from).filter(|_| stage.queues) {
        let to = stage.topology.endpoints[peer].mac;
        stage.send(from, &end(raw(to, own.mac, END, &[]), mark));
    }
    let gateway = ip4(own.network, 1);
    let request = [
        &[0, 1, 8, 0, 6, 4, 0, 1],
        &own.mac[..],
        &own.ip4(),
        &[0; 6],
        &gateway,
    ];
    let request = raw(ALL, own.mac, 0x0806, &request.concat());
    stage.send(from, &end(request, mark));
}

/// A frame that ends with a mark. The program's answers keep what is behind a request.
fn end(mut frame: Vec<u8>, mark: &[u8]) -> Vec<u8> {
    frame.extend(mark);
    frame
}

/// Whom an end reaches.
fn peers(stage: &Stage, from: usize) -> impl Iterator<Item = usize> {
    let network = stage.topology.endpoints[from].network;
    let icc = stage.topology.networks[network].icc;
    let members = stage.topology.members(network);
    members.filter(move |&other| icc && other != from && stage.is_connected(other))
}

/// Listens until all ends are there; whether they came in time.
fn await_ends(
    stage: &Stage,
    from: usize,
    mark: &[u8],
    arrived: &mut [Vec<Arrival>],
    patience: Duration,
) -> bool {
    let mut missing = vec![0; arrived.len()];
    missing[from] = 1;
    for peer in peers(stage, from) {
        missing[peer] = if stage.queues { 2 } else { 1 };
    }
    let bridge = stage.topology.endpoints.len() + stage.topology.endpoints[from].network;
    missing[bridge] = 1;
    let start = Instant::now();
    loop {
        for (at, arrivals) in stage.arrived().into_iter().enumerate() {
            let ends = arrivals.iter().filter(|a| a.frame.ends_with(mark)).count();
            missing[at] -= ends.min(missing[at]);
            arrived[at].extend(arrivals);
        }
        if missing.iter().all(|&missing| missing == 0) {
            return true;
        }
        if start.elapsed() > patience {
            return false;
        }
        thread::yield_now();
    }
}
