//! The pinned program, run on made frames by the kernel's `BPF_PROG_TEST_RUN`.

use std::collections::BTreeMap;
use std::io;
use std::thread;
use std::time::Instant;

use aya::TestRunOptions;
use aya::maps::lpm_trie::Key;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData};
use aya::programs::{ProgramError, SchedClassifier, TestRun as _};
use bridge_common::{
    DecisionRecord, DropReason, EXPLAIN_MARK, EndpointEntry, FdbEntry, FdbKey, FlowKey,
    HINT_BUCKETS, Hints, LinkKey, NO_SLOT, NeighbourEntry, NeighbourKey, PortEntry, SubnetEntry,
    SubnetKey, verdict,
};
use bridge_ebpf::testing::{Row, World, rows};
use bridge_ebpf::{Answer, Check, NA_LENGTH, Verdict, arp_reply, neighbour_advertisement};
use bridge_user::kernel::probe;

use crate::host::{Host, PINS, number};

/// Return codes of classifiers (`include/uapi/linux/pkt_cls.h`, `bpf.h`, v6.18).
const NEXT: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;

/// `mark` and `ifindex` in `struct __sk_buff` (`include/uapi/linux/bpf.h`, v6.18).
const MARK_OFFSET: usize = 8;
const IFINDEX_OFFSET: usize = 40;

/// Index of the loopback link of every namespace: never a port of ours.
pub(crate) const LOOPBACK: u32 = 1;

/// The pinned program, and where it leaves decisions. To be opened inside a host.
pub(crate) struct Runner {
    program: SchedClassifier,
    decision: Array<MapData, DecisionRecord>,
}

impl Runner {
    pub(crate) fn open() -> Self {
        let program = SchedClassifier::from_pin(format!("{PINS}/programs/port_ingress"));
        Self {
            program: program.expect("the program is pinned"),
            decision: map("DECISION"),
        }
    }

    /// Runs the program on a frame that comes in on a link; gives its verdict and the frame as the
    /// program left it.
    pub(crate) fn run(&self, ifindex: u32, mark: u32, frame: &[u8]) -> io::Result<(i32, Vec<u8>)> {
        // Room for an answer that is longer than its request.
        let mut out = vec![0; frame.len() + 64];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context(ifindex, mark)),
            ..TestRunOptions::default()
        };
        match self.program.test_run(options) {
            Ok(result) => {
                out.truncate(result.data_size_out as usize);
                Ok((result.return_value.cast_signed(), out))
            }
            Err(ProgramError::SyscallError(e)) => Err(e.io_error),
            Err(error) => panic!("{error}"),
        }
    }

    /// Runs the program on the same frame again and again.
    fn run_often(&self, ifindex: u32, frame: &[u8], times: u32) {
        let ran = self.program.test_run(TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context(ifindex, 0)),
            repeat: times,
            ..TestRunOptions::default()
        });
        ran.expect("the kernel runs the program");
    }

    /// What the last marked frame left.
    pub(crate) fn decision(&self) -> DecisionRecord {
        self.decision.get(&0, 0).expect("it has one value")
    }
}

/// The `struct __sk_buff` of a frame that comes in on a link.
fn context(ifindex: u32, mark: u32) -> [u8; IFINDEX_OFFSET + 4] {
    let mut context = [0; IFINDEX_OFFSET + 4];
    context[MARK_OFFSET..MARK_OFFSET + 4].copy_from_slice(&mark.to_ne_bytes());
    context[IFINDEX_OFFSET..].copy_from_slice(&ifindex.to_ne_bytes());
    context
}

fn run(host: &Host, ifindex: u32, frame: &[u8]) -> (i32, Vec<u8>) {
    host.inside(|| Runner::open().run(ifindex, 0, frame))
        .expect("the kernel runs the program")
}

pub(crate) fn map<M: TryFrom<Map>>(name: &str) -> M {
    let data = MapData::from_pin(format!("{PINS}/maps/{name}")).expect("the map is pinned");
    let map = Map::from_map_data(data).expect("aya knows its kind");
    map.try_into().ok().expect("it is of this kind")
}

/// Puts a world into the maps.
fn load(world: &World) {
    let mut endpoints: Array<MapData, EndpointEntry> = map("ENDPOINTS");
    for (slot, entry) in &world.endpoints {
        endpoints
            .set((*slot).into(), entry, 0)
            .expect("there is room");
    }
    load_hints(&world.hints);
    let mut ports: HashMap<MapData, u32, PortEntry> = map("PORTS");
    for (ifindex, entry) in &world.ports {
        ports.insert(ifindex, entry, 0).expect("there is room");
    }
    let mut fdb: HashMap<MapData, FdbKey, FdbEntry> = map("FDB");
    for (key, entry) in &world.fdb {
        fdb.insert(key, entry, 0).expect("there is room");
    }
    let mut links: HashMap<MapData, LinkKey, u32> = map("LINKS");
    for key in &world.links {
        links.insert(key, 1, 0).expect("there is room");
    }
    let mut hairpins: HashMap<MapData, FlowKey, u32> = map("HAIRPINS");
    for key in &world.hairpins {
        hairpins.insert(key, 1, 0).expect("there is room");
    }
    let mut neighbours: HashMap<MapData, NeighbourKey, NeighbourEntry> = map("NEIGHBOURS");
    for (key, entry) in &world.neighbours {
        neighbours.insert(key, entry, 0).expect("there is room");
    }
    let mut subnets: LpmTrie<MapData, SubnetKey, SubnetEntry> = map("SUBNETS");
    for (address, length, entry) in &world.subnets {
        let key = Key::new(
            32 + length,
            SubnetKey {
                reserved: [0; 4],
                address: *address,
            },
        );
        subnets.insert(&key, entry, 0).expect("there is room");
    }
}

fn load_hints(hints: &BTreeMap<u32, u64>) {
    let mut map: Array<MapData, Hints> = map("HINTS");
    for bucket in 0..HINT_BUCKETS {
        let slots = hints.get(&bucket).copied().unwrap_or_default();
        map.set(bucket, Hints { slots }, 0).expect("there is room");
    }
}

/// A host with the world of the rows in its maps, and links with the indices of its ports.
pub(crate) fn host_of_rows() -> (Host, World) {
    let host = Host::new();
    host.create("n");
    let world = World::standard();
    for ifindex in world.ports.keys() {
        let (peer, index) = (ifindex + 1000, ifindex);
        host.call(&format!(
            "ip link add t{index} index {index} type veth peer name p{index} index {peer}"
        ))
        .ok();
    }
    host.inside(|| load(&world));
    (host, world)
}

fn ifindex_of(row: &Row) -> u32 {
    if row.from == NO_SLOT {
        LOOPBACK
    } else {
        World::ifindex(row.from)
    }
}

/// TEST_RUN itself looks into IP headers, and takes no frame that ends in one.
fn is_refused_by_the_kernel(row: &Row) -> bool {
    ["IPv4 cut short", "IPv6 cut short"].contains(&row.name)
}

#[test]
fn every_row_comes_out_of_the_program_as_it_says() {
    let (host, world) = host_of_rows();
    // Hints are for speed: the verdicts are the same without, and with wrong ones.
    let [none, wrong] = World::odd_hints();
    for hints in [world.hints, none, wrong] {
        host.inside(|| load_hints(&hints));
        every_row(&host);
    }
}

fn every_row(host: &Host) {
    let mut refused = 0;
    for row in rows() {
        let ran = host.inside(|| Runner::open().run(ifindex_of(&row), 0, &row.frame));
        let (code, frame) = match ran {
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) && is_refused_by_the_kernel(&row) => {
                refused += 1;
                continue;
            }
            ran => ran.unwrap_or_else(|e| panic!("{}: {e}", row.name)),
        };
        let expected = match row.verdict {
            Verdict::Drop(_) => DROP,
            Verdict::Next => NEXT,
            Verdict::Redirect { .. }
            | Verdict::Host { .. }
            | Verdict::Route { .. }
            | Verdict::Answer(_) => REDIRECT,
        };
        assert_eq!(code, expected, "{}", row.name);
        assert_eq!(frame, left(&row), "{}: the frame afterwards", row.name);
    }
    assert!(refused <= 2, "TEST_RUN refused {refused} frames");
}

/// The frame that a row leaves: itself, its answer, or itself for the gateway.
pub(crate) fn left(row: &Row) -> Vec<u8> {
    let request = row.frame.as_slice();
    match row.verdict {
        Verdict::Answer(Answer::Arp { mac }) => {
            let reply = arp_reply(&request, mac).expect("a request is whole");
            let mut frame = request.to_vec();
            frame[..12].copy_from_slice(&reply.ethernet);
            frame[20..42].copy_from_slice(&reply.message);
            frame
        }
        Verdict::Answer(Answer::Neighbour { mac, router }) => {
            let mut reply = [0; NA_LENGTH];
            neighbour_advertisement(&request, mac, router, &mut reply).expect("a request is whole");
            reply.to_vec()
        }
        Verdict::Route { ifindex } => {
            let mut frame = request.to_vec();
            let network = (1..6).find(|network| World::bridge(*network) == ifindex);
            let gateway = World::gateway_mac(network.expect("it is a bridge"));
            frame[..6].copy_from_slice(&gateway);
            frame
        }
        _ => request.to_vec(),
    }
}

#[test]
fn a_marked_frame_leaves_its_decision_and_nothing_else() {
    let (host, _) = host_of_rows();
    for row in rows().iter().filter(|row| !is_refused_by_the_kernel(row)) {
        let before = host.slot_stats(row.from);
        let ifindex = ifindex_of(row);
        let (frame, record) = host.inside(|| {
            let runner = Runner::open();
            let ran = runner.run(ifindex, EXPLAIN_MARK, &row.frame);
            (ran.expect("it runs").1, runner.decision())
        });
        let (kind, reason, target) = match row.verdict {
            Verdict::Drop(reason) => (verdict::DROP, reason as u16, 0),
            Verdict::Redirect { ifindex } => (verdict::REDIRECT, 0, ifindex),
            Verdict::Host { ifindex } | Verdict::Route { ifindex } => (verdict::HOST, 0, ifindex),
            Verdict::Next => (verdict::NEXT, 0, 0),
            Verdict::Answer(_) => (verdict::ANSWER, 0, 0),
        };
        let check = row.check as u16;
        let expected = DecisionRecord {
            ifindex,
            target,
            slot: row.from,
            verdict: kind,
            reason,
            check,
        };
        assert_eq!(record, expected, "{}", row.name);
        assert_eq!(frame, row.frame, "{}", row.name);
        assert_eq!(host.slot_stats(row.from), before, "{}", row.name);
    }
}

#[test]
fn storms_are_limited_by_the_second() {
    let (host, _) = host_of_rows();
    let broadcast = rows()
        .into_iter()
        .find(|row| row.name == "broadcast")
        .expect("a row");
    let ifindex = ifindex_of(&broadcast);
    let before = host.slot_stats(1);
    // By two CPUs at once, in the kernel's own loop: there is little else between two frames.
    let frames = 5_000_000;
    let start = Instant::now();
    let send = || host.inside(|| Runner::open().run_often(ifindex, &broadcast.frame, frames));
    thread::scope(|scope| {
        let other = scope.spawn(send);
        send();
        other.join().expect("it ended well");
    });
    let elapsed = u64::try_from(start.elapsed().as_millis()).expect("it is soon over");
    let after = host.slot_stats(1);
    let storm = DropReason::Storm as usize;
    let dropped = after.drops[storm] - before.drops[storm];
    let passed = after.slow_packets - before.slow_packets;
    assert_eq!(passed + dropped, 2 * u64::from(frames));
    // A second's worth at once, and one a millisecond meanwhile, the last of them begun.
    let most = 1000 + elapsed + 1;
    assert!(
        passed >= 1000 && passed <= most,
        "{passed} passed in {elapsed} ms"
    );
    assert_eq!(Check::Storm as u16, 6, "its number is part of the layout");
}

/// An Ethernet frame of a type for experiments (IEEE 802-2014, 9.2.4): TEST_RUN itself looks into
/// IP packets and refuses short ones.
fn frame(destination: &str, source: &str, length: usize) -> Vec<u8> {
    let mac = |text: &str| -> Vec<u8> {
        let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16));
        bytes
            .collect::<Result<_, _>>()
            .expect("a MAC address is six bytes")
    };
    let mut frame = [mac(destination), mac(source), vec![0x88, 0xb5]].concat();
    frame.resize(length, 0x5a);
    frame
}

#[test]
fn every_verdict_is_counted_once() {
    let host = Host::new();
    host.create("n");
    let [a, b] = ["a", "b"].map(|name| host.join("n", name));
    let ifindex = host.ifindex(&a.host_leg);
    // Nothing but these frames: the leg says nothing of its own any more.
    host.call("ip -n a link set eth0 down").ok();
    let before = host.stats(&a.host_leg);
    run(&host, ifindex, &frame(&b.mac, &a.mac, 1000));
    let fast = host.stats(&a.host_leg);
    assert_eq!(fast.fast_packets - before.fast_packets, 1);
    assert_eq!(fast.fast_bytes - before.fast_bytes, 1000);
    assert_eq!(fast.slow_packets, before.slow_packets);
    run(&host, ifindex, &frame("ff:ff:ff:ff:ff:ff", &a.mac, 100));
    let slow = host.stats(&a.host_leg);
    assert_eq!(
        (slow.fast_packets, slow.fast_bytes),
        (fast.fast_packets, fast.fast_bytes)
    );
    assert_eq!(slow.slow_packets - fast.slow_packets, 1);
    assert_eq!(slow.slow_bytes - fast.slow_bytes, 100);
    let of_nobody = host.slot_stats(NO_SLOT).drops[DropReason::NoPort as usize];
    run(&host, LOOPBACK, &frame(&b.mac, &a.mac, 60));
    assert_eq!(
        host.slot_stats(NO_SLOT).drops[DropReason::NoPort as usize] - of_nobody,
        1
    );
    assert_eq!(host.stats(&a.host_leg), slow);
}

#[test]
fn the_receivers_type_is_set_where_the_kernel_does_not() {
    let host = Host::new();
    host.create("n");
    let program = format!("{PINS}/programs/port_ingress");
    let dump = host
        .call(&format!("bpftool prog dump xlated pinned {program}"))
        .ok();
    assert!(dump.contains("call bpf_redirect_peer"), "{dump}");
    assert_eq!(
        dump.contains("call bpf_skb_change_type"),
        !probe::peer_scrubs(),
        "{dump}"
    );
}

#[test]
fn maps_take_little_memory() {
    let host = Host::new();
    host.create("n");
    let maps = host.files(&format!("{PINS}/maps"));
    let bytes = |map: &String| {
        let shown = host
            .call(&format!("bpftool -j map show pinned {map}"))
            .json();
        number(&shown["bytes_memlock"])
    };
    let total: u64 = maps.iter().map(bytes).sum();
    let cpus = std::thread::available_parallelism().expect("there is a CPU");
    let limit = (15 << 20) + (3 << 20) * cpus.get() as u64;
    assert!(
        total > 1 << 20 && total <= limit,
        "{total} bytes in {maps:?}"
    );
}
