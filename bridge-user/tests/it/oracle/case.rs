//! A case: a topology and what happens in it, made from a seed, told as commands and frames.

use std::fmt;

use super::frames::Frames;
use super::play::{BURST, Step};
use super::topology::{SANDBOXES, Topology, gateway_mac};
use crate::fuzz::hex;
use crate::random::Random;

/// Frames between two moves, about.
const FRAMES_A_MOVE: usize = 2_000;

/// A topology and its steps.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) datapath: &'static str,
    pub(super) topology: Topology,
    pub(super) steps: Vec<Step>,
}

impl Case {
    /// The case of a seed, with so many frames.
    pub(super) fn random(seed: u64, datapath: &'static str, frames: usize) -> Self {
        let mut random = Random::new(seed);
        let topology = Topology::random(&mut random);
        Self::random_in(topology, random.bits(), datapath, frames)
    }

    /// The same in a topology.
    pub(super) fn random_in(
        topology: Topology,
        seed: u64,
        datapath: &'static str,
        frames: usize,
    ) -> Self {
        let steps = steps(&mut Random::new(seed), &topology, frames);
        Self {
            datapath,
            topology,
            steps,
        }
    }

    /// As it is, but for an endpoint that is not there at first.
    pub(super) fn without(&self, endpoint: usize) -> Self {
        let mut fewer = self.clone();
        fewer.topology.endpoints[endpoint].sandbox = None;
        fewer
    }

    /// As it is, with other steps.
    pub(super) fn with(&self, steps: &[Step]) -> Self {
        Self {
            steps: steps.to_vec(),
            ..self.clone()
        }
    }
}

/// Bursts of random endpoints; now and then one is taken away, and put back or elsewhere later.
fn steps(random: &mut Random, topology: &Topology, count: usize) -> Vec<Step> {
    let frames = Frames::new(topology);
    let mut steps = Vec::new();
    let (mut sent, mut moved) = (0, 0);
    let mut away = None;
    while sent < count {
        let from = random.below(topology.endpoints.len());
        if away == Some(from) {
            continue;
        }
        for _ in 0..(1 + random.below(BURST)).min(count - sent) {
            let frame = frames.frame(random, from);
            steps.push(Step::Send { from, frame });
            sent += 1;
        }
        if sent / (FRAMES_A_MOVE / 2) > moved {
            moved += 1;
            if let Some(endpoint) = away.take() {
                let sandbox = random.below(SANDBOXES);
                steps.push(Step::Connect { endpoint, sandbox });
            } else {
                away = Some(random.below(topology.endpoints.len()));
                steps.extend(away.map(Step::Disconnect));
            }
        }
    }
    steps
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            datapath, topology, ..
        } = self;
        for network in 0..topology.networks.len() {
            let words = topology.create_words(network, datapath);
            let mac = gateway_mac(network);
            writeln!(f, "  net create {words}    (bridge's MAC {})", hex(&mac))?;
        }
        for (number, endpoint) in topology.endpoints.iter().enumerate() {
            if let Some(sandbox) = endpoint.sandbox {
                let words = topology.connect_words(number, sandbox);
                writeln!(f, "  {number}: net connect {words}")?;
            }
        }
        for step in &self.steps {
            match step {
                Step::Send { from, frame } => writeln!(f, "  {from} sends {}", hex(frame))?,
                Step::Disconnect(endpoint) => writeln!(f, "  {endpoint}: net disconnect")?,
                Step::Connect { endpoint, sandbox } => {
                    let words = topology.connect_words(*endpoint, *sandbox);
                    writeln!(f, "  {endpoint}: net connect {words}")?;
                }
            }
        }
        Ok(())
    }
}
