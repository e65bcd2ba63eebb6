//! Runs that nobody has in hand any more. Their namespaces have names, so that no link goes with them:
//! it is the end of their processes that tells.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::watch::Wakes;
use crate::kernel::process::Process;
use crate::model::{ProcessId, Run, RunState};
use crate::store::Reader;

/// How long a command may be at work on a run before we look whether it still is.
const AT_WORK: Duration = Duration::from_secs(1);

/// Waits for the ends of commands and keepers.
#[derive(Debug)]
pub(super) struct RunWatch {
    reader: Reader,
    boot_id: String,
    wakes: Arc<Wakes>,
    waiting: BTreeMap<ProcessId, JoinHandle<()>>,
    /// Looks at runs that were being made or ended.
    later: Option<JoinHandle<()>>,
}

impl RunWatch {
    pub(super) fn new(state_directory: &Path, boot_id: String, wakes: Arc<Wakes>) -> Self {
        Self {
            reader: Reader::new(state_directory),
            boot_id,
            wakes,
            waiting: BTreeMap::new(),
            later: None,
        }
    }

    /// Waits for those that there are now, and no longer for others.
    pub(super) fn ensure(&mut self) {
        let runs = self.reader.if_changed(|rows| match rows {
            Some(rows) => rows.runs(),
            None => Ok(Vec::new()),
        });
        // What cannot be read, the names tell of.
        let Ok(Some(mut runs)) = runs else { return };
        runs.retain(|run| run.state != RunState::Exited && run.boot_id == self.boot_id);
        let wanted: BTreeSet<ProcessId> = runs.iter().flat_map(processes_of).collect();
        self.waiting.retain(|process, waiting| {
            let stays = wanted.contains(process) && !waiting.is_finished();
            if !stays {
                waiting.abort();
            }
            stays
        });
        for run in &runs {
            let mut in_hand = false;
            for process in processes_of(run) {
                in_hand |= self.wait_for(process);
            }
            match run.state {
                RunState::Running if in_hand => {}
                RunState::Running => self.wakes.sweep.notify_one(),
                // The command that is at work on it, which no row knows of, may be killed.
                _ => self.look_later(),
            }
        }
    }

    fn look_later(&mut self) {
        if self.later.as_ref().is_none_or(JoinHandle::is_finished) {
            let wakes = Arc::clone(&self.wakes);
            self.later = Some(tokio::spawn(async move {
                sleep(AT_WORK).await;
                wakes.sweep.notify_one();
            }));
        }
    }

    /// Whether there is such a process to wait for.
    fn wait_for(&mut self, process: ProcessId) -> bool {
        if self.waiting.contains_key(&process) {
            return true;
        }
        let Ok(Some(held)) = Process::open(process) else {
            return false;
        };
        let Ok(end) = held.end() else {
            return false;
        };
        let wakes = Arc::clone(&self.wakes);
        let waiting = tokio::spawn(async move {
            end.await;
            wakes.sweep.notify_one();
        });
        self.waiting.insert(process, waiting);
        true
    }
}

fn processes_of(run: &Run) -> impl Iterator<Item = ProcessId> {
    [run.process, run.keeper].into_iter().flatten()
}
