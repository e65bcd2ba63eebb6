//! Random and mutated frames through the pinned program: it decides as the pure function does, and
//! redirects into no other network.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bridge_common::{DecisionRecord, EXPLAIN_MARK, verdict};
use bridge_ebpf::decide;
use bridge_ebpf::testing::{World, mac, rows};

use crate::program::{LOOPBACK, Runner, host_of_rows};
use crate::random::{Random, number, seed};

/// Frames in a normal run.
const FRAMES: u64 = 100_000;

/// The longest frame that is made, in bytes: past `HEADERS_MAX` in every case.
const LONGEST: usize = 400;

/// EtherTypes worth trying: IPv4, ARP, IPv6, tags, IPv4's length of 802.3, and nobody's.
const TYPES: [u16; 7] = [0x0800, 0x0806, 0x86dd, 0x8100, 0x88a8, 0x002e, 0x88b5];

/// Bytes on which parsers turn: extension headers, protocols, ICMPv6 types, edges.
const BYTES: [u8; 20] = [
    0, 1, 2, 4, 5, 6, 17, 43, 44, 45, 51, 58, 60, 67, 68, 133, 134, 135, 136, 255,
];

/// A frame and the port that it comes in on.
#[derive(Debug, Clone)]
struct Case {
    ifindex: u32,
    frame: Vec<u8>,
}

/// Makes cases out of the rows, and out of nothing.
struct Generator {
    random: Random,
    frames: Vec<Vec<u8>>,
    ports: Vec<u32>,
}

impl Generator {
    fn new(seed: u64, world: &World) -> Self {
        let mut ports: Vec<u32> = world.ports.keys().copied().collect();
        ports.push(LOOPBACK);
        Self {
            random: Random::new(seed),
            frames: rows().into_iter().map(|row| row.frame).collect(),
            ports,
        }
    }

    fn case(&mut self) -> Case {
        let ifindex = *self.random.of(&self.ports);
        let mut frame = if self.random.below(8) == 0 {
            self.noise()
        } else {
            self.random.of(&self.frames).clone()
        };
        // Mostly the port's own MAC address: what is spoofed is refused before all else.
        if self.random.below(8) != 0 && ifindex != LOOPBACK && frame.len() >= 12 {
            let slot = u16::try_from(ifindex - World::ifindex(0)).expect("slots are small");
            frame[6..12].copy_from_slice(&Self::address_of(slot));
        }
        for _ in 0..self.random.below(5) {
            self.mutate(&mut frame);
        }
        frame.truncate(LONGEST);
        Case { ifindex, frame }
    }

    fn address_of(slot: u16) -> [u8; 6] {
        match slot {
            3 => World::CHOSEN,
            6 => World::mac(2),
            slot => World::mac(slot),
        }
    }

    /// Random bytes after a MAC address of somebody's and a type of some use.
    fn noise(&mut self) -> Vec<u8> {
        let slot = u16::from(self.random.byte() % 15);
        let mut frame = Self::address_of(slot).to_vec();
        frame.extend(mac(self.random.byte()));
        frame.extend(self.random.of(&TYPES).to_be_bytes());
        let length = self.random.below(LONGEST - 14);
        frame.extend((0..length).map(|_| self.random.byte()));
        frame
    }

    fn mutate(&mut self, frame: &mut Vec<u8>) {
        let at = self.random.below(frame.len().max(1));
        match self.random.below(9) {
            0 if !frame.is_empty() => frame[at] ^= 1 << self.random.below(8),
            1 if !frame.is_empty() => frame[at] = *self.random.of(&BYTES),
            2 => frame.truncate(at),
            3 => {
                let more = self.random.below(LONGEST);
                let byte = *self.random.of(&BYTES);
                frame.resize(frame.len() + more, byte);
            }
            4 if frame.len() >= 14 => {
                let tag = *self.random.of(&[0x8100_u16, 0x88a8]);
                let [high, low] = tag.to_be_bytes();
                frame.splice(12..12, [high, low, 0, 7]);
            }
            5 if frame.len() >= 54 => self.extend_headers(frame),
            6 => {
                // The head of this one, the tail of another.
                let other = self.random.of(&self.frames);
                let tail = other.get(at..).unwrap_or_default().to_vec();
                frame.truncate(at);
                frame.extend(tail);
            }
            7 if frame.len() >= 6 => {
                let slot = u16::from(self.random.byte() % 15);
                let address = Self::address_of(slot);
                frame[..6].copy_from_slice(&address);
            }
            8 if frame.len() >= 14 => {
                let kind = *self.random.of(&TYPES);
                frame[12..14].copy_from_slice(&kind.to_be_bytes());
            }
            _ => {}
        }
    }

    /// Puts an extension header behind the fixed header of IPv6 (RFC 8200, 4).
    fn extend_headers(&mut self, frame: &mut Vec<u8>) {
        let kind = *self.random.of(&[0_u8, 43, 44, 51, 60]);
        let words = u8::try_from(self.random.below(4)).expect("it is below four");
        let mut header = vec![frame[20], words];
        let bytes = match kind {
            44 => 8,
            51 => 4 * (usize::from(words) + 2),
            _ => 8 * (usize::from(words) + 1),
        };
        header.resize(bytes, 0);
        frame[20] = kind;
        frame.splice(54..54, header);
    }
}

/// What the program did with a case, where it did not do as it should; `Ok(false)` where the kernel
/// does not take the frame.
fn check(runner: &Runner, world: &World, case: &Case) -> Result<bool, String> {
    let Case { ifindex, frame } = case;
    match runner.run(*ifindex, EXPLAIN_MARK, frame) {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) && is_cut_short(frame) => {
            return Ok(false);
        }
        ran => ran.map_err(|e| format!("the kernel does not run it: {e}"))?,
    };
    let program = runner.decision();
    let pure = decide(&frame.as_slice(), *ifindex, false, world).record(*ifindex);
    if program != pure {
        return Err(format!("the program: {program:?}, the function: {pure:?}"));
    }
    if let Some(away) = leaves_its_network(world, &program) {
        return Err(format!("redirected into network {away}: {program:?}"));
    }
    Ok(true)
}

/// The other network that a frame is redirected into, from the tables and not by the function.
fn leaves_its_network(world: &World, record: &DecisionRecord) -> Option<u16> {
    if record.verdict != verdict::REDIRECT {
        return None;
    }
    let own = world.ports.get(&record.ifindex).map(|port| port.network);
    let target = world.ports.get(&record.target).map(|port| port.network);
    (target.is_none() || own != target).then_some(target.unwrap_or(0))
}

/// TEST_RUN reads the Ethernet header and the fixed IP header, and takes no frame without them
/// (net/bpf/test_run.c, bpf_prog_test_run_skb, v6.18).
fn is_cut_short(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        None => true,
        Some([0x08, 0x00]) => frame.len() <= 14 + 20,
        Some([0x86, 0xdd]) => frame.len() <= 14 + 40,
        Some(_) => frame.len() <= 14,
    }
}

/// A smaller case that fails too: shorter, and with as many zeroes as can be.
fn shrink(case: &Case, fails: impl Fn(&Case) -> bool) -> Case {
    let mut least = case.clone();
    let mut step = least.frame.len();
    while step > 0 {
        let mut shorter = least.clone();
        shorter
            .frame
            .truncate(least.frame.len().saturating_sub(step));
        if fails(&shorter) {
            least = shorter;
        } else {
            step /= 2;
        }
    }
    for at in 0..least.frame.len() {
        let mut plainer = least.clone();
        plainer.frame[at] = 0;
        if fails(&plainer) {
            least = plainer;
        }
    }
    least
}

pub(crate) fn hex(frame: &[u8]) -> String {
    frame.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// How many frames of which verdict; the kernel's refusals are the last.
#[derive(Debug, Default)]
struct Tally {
    frames: u64,
    refused: u64,
    verdicts: [u64; 8],
}

/// Runs cases until there are enough of them, or the time is over if one is set.
fn fuzz(runner: &Runner, world: &World, seed: u64, time: Option<Duration>) -> Tally {
    let mut generator = Generator::new(seed, world);
    let mut tally = Tally::default();
    let (start, mut told) = (Instant::now(), 0);
    while time.map_or(tally.frames < FRAMES, |time| start.elapsed() < time) {
        let case = generator.case();
        match check(runner, world, &case) {
            Ok(true) => tally.verdicts[usize::from(runner.decision().verdict)] += 1,
            Ok(false) => tally.refused += 1,
            Err(error) => {
                let least = shrink(&case, |case| check(runner, world, case).is_err());
                let why = check(runner, world, &least).expect_err("it fails, as it was shrunk");
                panic!(
                    "seed {seed}, frame {}: {error}\nshrunk: port {}, {}\n{why}",
                    tally.frames,
                    least.ifindex,
                    hex(&least.frame)
                );
            }
        }
        tally.frames += 1;
        if start.elapsed().as_secs() / 10 > told {
            told = start.elapsed().as_secs() / 10;
            eprintln!("{} frames in {} s", tally.frames, told * 10);
        }
    }
    tally
}

#[test]
fn no_frame_parts_the_program_from_the_pure_function() {
    let (host, world) = host_of_rows();
    let seed = seed();
    let time = number("BRIDGE_USER_FUZZ_SECONDS").map(Duration::from_secs);
    eprintln!("BRIDGE_USER_TEST_SEED={seed}");
    let tally = host.inside(|| fuzz(&Runner::open(), &world, seed, time));
    eprintln!("{tally:?}");
    assert!(tally.refused * 4 < tally.frames, "most are run: {tally:?}");
    let kinds = [verdict::DROP, verdict::NEXT, verdict::REDIRECT];
    for kind in kinds.into_iter().chain([verdict::HOST, verdict::ANSWER]) {
        assert!(tally.verdicts[usize::from(kind)] > 0, "{kind}: {tally:?}");
    }
}

#[test]
fn a_program_with_other_tables_is_found_out() {
    let (host, mut world) = host_of_rows();
    let mut generator = Generator::new(seed(), &world);
    let other = world.endpoints.get_mut(&1).expect("it is there");
    other.network = 2;
    let found = host.inside(|| {
        let runner = Runner::open();
        (0..FRAMES).any(|_| check(&runner, &world, &generator.case()).is_err())
    });
    assert!(found, "a program that decides otherwise is not noticed");
}

#[test]
fn a_failing_frame_is_shrunk_to_what_fails() {
    let case = Case {
        ifindex: 101,
        frame: (1..=200).collect(),
    };
    let least = shrink(&case, |case| case.frame.get(20) == Some(&21));
    assert_eq!(hex(&least.frame), format!("{}15", "00".repeat(20)));
}
