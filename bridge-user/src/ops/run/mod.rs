//! Runs: commands in sandboxes of their own, as Docker's containers, for plain processes.
//!
//! ```text
//! run:    row (creating) -> namespace, its name, hosts -> endpoints -> launcher, its process
//!         written down -> the command is executed -> row (running)
//! end:    row (stopping, exit code) -> endpoints -> files, name, namespace -> row (exited, or gone)
//! ```
//! Who waits for the command is its keeper: `run` itself in the foreground, a process of its own
//! with `-d`. It holds no lock and no state while it waits, and nothing depends on it but the exit
//! code: a run that neither its process nor its keeper is left of is ended by the next command.

mod end;
mod error;
mod files;
mod keep;
mod plan;
mod show;
mod start;

pub use error::RunError;
pub(super) use files::RUNS;
pub use keep::{Ended, Keeper, keep};
pub use show::{LogReader, RunDetails, execute_in_run};
pub use start::{RunSpec, Started};

use super::{Context, Error};
use crate::kernel::process;
use crate::model::{Id, Run, SandboxRef};

/// Fewer digits may well be a name.
const SHORT_ID: usize = 12;

impl Context {
    /// The run that a user names: by name, id, or the first digits of its id.
    pub(super) fn find_run(&self, text: &str) -> Result<Run, Error> {
        if let Some(run) = self.store.rows().run_named(text)? {
            return Ok(run);
        }
        let mut runs = self.store.rows().runs()?;
        runs.retain(|run| !text.is_empty() && run.id.as_str().starts_with(text));
        if runs.len() > 1 {
            return Err(RunError::Ambiguous(text.into()).into());
        }
        let found = runs.pop();
        found.ok_or_else(|| RunError::NotFound(text.into()).into())
    }

    /// The sandbox that a user names: a run by its id, or 12 digits of it or more, too.
    pub fn sandbox_called(&self, text: &str) -> Result<SandboxRef, Error> {
        if text.len() >= SHORT_ID {
            let runs = self.store.rows().runs()?;
            if let Some(run) = runs.iter().find(|run| run.id.as_str().starts_with(text)) {
                return Ok(SandboxRef::Named(run.name.clone()));
            }
        }
        Ok(text.parse()?)
    }

    /// Refuses to connect what is not running, or has the network of another.
    pub(super) fn check_connectable(&self, reference: &SandboxRef) -> Result<(), Error> {
        let Some(name) = reference.netns_name() else {
            return Ok(());
        };
        match self.store.rows().run_named(name.as_str())? {
            Some(run) if !run.is_live() => Err(RunError::NotRunning(name.to_string()).into()),
            Some(run) if !run.has_sandbox() => Err(RunError::Shared(name.to_string()).into()),
            _ => Ok(()),
        }
    }

    /// Whether the run's command runs, or somebody is there to note its end.
    fn is_in_hand(&self, run: &Run) -> Result<bool, Error> {
        if run.boot_id != self.boot_id {
            return Ok(false);
        }
        for process in [run.process, run.keeper].into_iter().flatten() {
            let runs = process::runs(process)
                .map_err(RunError::process("look at the process", &run.name))?;
            if runs {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a sandbox is that of a run that is over: it goes, even where its name still leads to
    /// its namespace.
    pub(super) fn is_over(&self, sandbox: &Id) -> Result<bool, Error> {
        let run = self.store.rows().run(sandbox)?;
        Ok(run.is_some_and(|run| !run.is_live()))
    }

    /// Whether a sandbox is that of a run that is not over: it stays, also without endpoints.
    pub(super) fn is_run_in(&self, sandbox: &Id) -> Result<bool, Error> {
        let run = self.store.rows().run(sandbox)?;
        Ok(run.is_some_and(|run| run.is_live()))
    }
}
