//! What was counted at a port.

use aya::maps::PerCpuValues;
use bridge_common::{DropReason, PortStats};

use super::sizes::write_failed;
use super::{BpfError, DataPlane, failed};

/// What was counted at a port, the frames that came from its endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters(PortStats);

impl Counters {
    /// Packets redirected into the receiver's namespace, and their bytes.
    pub fn fast(&self) -> (u64, u64) {
        (self.0.fast_packets, self.0.fast_bytes)
    }

    /// Packets left to the Linux bridge or the host, and their bytes.
    pub fn slow(&self) -> (u64, u64) {
        (self.0.slow_packets, self.0.slow_bytes)
    }

    /// Requests that the program answered, and their bytes.
    pub fn answered(&self) -> (u64, u64) {
        (self.0.answered_packets, self.0.answered_bytes)
    }

    /// Packets dropped, by the reason's name; reasons that never occurred too.
    pub fn drops(&self) -> impl Iterator<Item = (&'static str, u64)> {
        DropReason::ALL
            .iter()
            .map(|reason| (reason.name(), self.0.drops[*reason as usize]))
    }

    /// Packets of every road, and dropped ones.
    pub fn packets(&self) -> u64 {
        let dropped: u64 = self.drops().map(|(_, count)| count).sum();
        self.fast().0 + self.slow().0 + self.answered().0 + dropped
    }
}

impl DataPlane {
    /// What was counted in a slot, over all CPUs: in one beyond the map nothing.
    pub fn counters(&self, slot: u16) -> Result<Counters, BpfError> {
        if u32::from(slot) >= self.stats.len() {
            return Ok(Counters::default());
        }
        let per_cpu = self.stats.get(&slot.into(), 0);
        let per_cpu = per_cpu.map_err(failed("read an entry of", "map STATS"))?;
        Ok(Counters(per_cpu.iter().fold(PortStats::default(), add)))
    }

    /// Sets a slot's counters to zero.
    pub fn reset_counters(&mut self, slot: u16) -> Result<(), BpfError> {
        let cpus = aya::util::nr_cpus().map_err(|(_, source)| BpfError::Cpus(source))?;
        let zero =
            PerCpuValues::try_from(vec![PortStats::default(); cpus]).map_err(BpfError::Cpus)?;
        let set = self.stats.set(slot.into(), zero, 0);
        set.map_err(write_failed("STATS"))
    }
}

fn add(mut sum: PortStats, cpu: &PortStats) -> PortStats {
    sum.fast_packets += cpu.fast_packets;
    sum.fast_bytes += cpu.fast_bytes;
    sum.slow_packets += cpu.slow_packets;
    sum.slow_bytes += cpu.slow_bytes;
    sum.answered_packets += cpu.answered_packets;
    sum.answered_bytes += cpu.answered_bytes;
    for (sum, cpu) in sum.drops.iter_mut().zip(cpu.drops) {
        *sum += cpu;
    }
    sum
}
