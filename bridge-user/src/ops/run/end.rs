//! The end of a run: noted, everything of it freed, and forgotten where that was asked for.

use std::time::{Duration, SystemTime};

use super::RunError;
use super::plan::netns_path;
use crate::fault;
use crate::kernel::netns::NetNs;
use crate::kernel::process::{self, Process};
use crate::model::{Id, Run, RunState};
use crate::ops::error::Errors;
use crate::ops::lock::Object;
use crate::ops::{Context, Error};

/// How long a process may take to end after SIGKILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// How often what was started meanwhile is looked for.
const KILL_ROUNDS: u32 = 100;

impl Context {
    /// Forgets a run. One whose command runs is refused, or ended first with `force`; one that is
    /// not there is an error unless `force`. Tells whether it was there.
    pub fn remove_run(&mut self, text: &str, force: bool) -> Result<bool, Error> {
        let found = match self.find_run(text) {
            Err(Error::Run(RunError::NotFound(_))) if force => return Ok(false),
            found => found?,
        };
        let _lock = self.lock(Object::Id(&found.id))?;
        let Some(run) = self.store.rows().run(&found.id)? else {
            // It went by itself while we waited.
            return Ok(true);
        };
        if !force && self.running_process(&run)?.is_some() {
            return Err(RunError::Running(run.name.to_string()).into());
        }
        self.discard(&run.id).map(|()| true)
    }

    /// Notes the exit code of a run's command, and frees what the run had.
    pub(super) fn end_run(&mut self, id: &Id, code: u8) -> Result<(), Error> {
        let _lock = self.lock(Object::Id(id))?;
        match self.store.rows().run(id)? {
            None => Ok(()),
            // Who was to start it was killed.
            Some(run) if run.state == RunState::Creating => self.discard(id),
            Some(run) => self.finish(run, Some(code)),
        }
    }

    /// Makes a run right whose command, keeper or creation was cut off. With `wait` unset, a run
    /// that a command is at work on is left to it.
    pub(in crate::ops) fn reconcile_run(&mut self, id: &Id, wait: bool) -> Result<(), Error> {
        let Some(_lock) = self.lock_or_leave(id, wait)? else {
            return Ok(());
        };
        self.settle_run(id)
    }

    /// The same for who holds it.
    pub(in crate::ops) fn settle_run(&mut self, id: &Id) -> Result<(), Error> {
        let Some(run) = self.store.rows().run(id)? else {
            return Ok(());
        };
        match run.state {
            RunState::Exited => Ok(()),
            RunState::Creating => self.discard(id),
            RunState::Running if self.is_in_hand(&run)? => {
                self.ensure_netns_name(&run)?;
                self.ensure_files(&run)
            }
            RunState::Running | RunState::Stopping => self.finish(run, None),
        }
    }

    /// A cheap look, that a full one follows where it says no.
    pub(in crate::ops) fn run_is_right(&self, run: &Run) -> bool {
        match run.state {
            RunState::Exited => true,
            RunState::Running => {
                let is_named = !run.has_sandbox() || netns_path(&run.name).exists();
                is_named && self.is_in_hand(run).unwrap_or(false)
            }
            RunState::Creating | RunState::Stopping => false,
        }
    }

    /// What a run has of its own in /etc: a write may have been cut off.
    fn ensure_files(&mut self, run: &Run) -> Result<(), Error> {
        if let Some(sandbox) = self.store.rows().sandbox(&run.id)? {
            self.write_names(&sandbox)?;
        }
        self.write_files(run)
    }

    /// Gives a run's namespace its name again, where somebody took it.
    fn ensure_netns_name(&self, run: &Run) -> Result<(), Error> {
        let sandbox = self.store.rows().sandbox(&run.id)?;
        let process = self.running_process(run)?;
        let (Some(sandbox), Some(process)) = (sandbox, process) else {
            return Ok(());
        };
        if netns_path(&run.name).exists() {
            return Ok(());
        }
        let namespace = NetNs::open(&process::namespace_path(process.pid, "net"))?;
        if namespace.id().cookie == sandbox.cookie {
            namespace.bind(run.name.as_str())?;
        }
        Ok(())
    }

    /// Makes a run gone, whatever it is at. The caller holds it.
    pub(in crate::ops) fn discard(&mut self, id: &Id) -> Result<(), Error> {
        let Some(mut run) = self.store.rows().run(id)? else {
            return Ok(());
        };
        run.remove = true;
        self.finish(run, None)
    }

    /// Ends the command, where it has not ended, and with it all that is in the run's own namespaces:
    /// what it started, and what `exec` did.
    fn kill(&self, run: &Run) -> Result<(), Error> {
        let Some(id) = run.process.filter(|_| run.boot_id == self.boot_id) else {
            return Ok(());
        };
        let failed = || RunError::process("end a process", &run.name);
        let Some(process) = Process::open(id).map_err(failed())? else {
            return Ok(());
        };
        let network = self.store.rows().sandbox(&run.id)?.map(|is| is.inode);
        let namespaces = network.zip(process::namespace_inode(id.pid, "mnt"));
        end(run, id.pid, &process)?;
        let Some((network, mounts)) = namespaces else {
            return Ok(());
        };
        for _ in 0..KILL_ROUNDS {
            let others = process::in_namespaces(network, mounts).map_err(failed())?;
            if others.is_empty() {
                return Ok(());
            }
            for other in others {
                if let Some(process) = Process::open(other).map_err(failed())? {
                    end(run, other.pid, &process)?;
                }
            }
        }
        Err(RunError::Breeding(run.name.to_string()).into())
    }

    /// Ends a run, whose row says so before anything is done, so that whoever comes after a crash goes
    /// on. The caller holds it.
    fn finish(&mut self, mut run: Run, code: Option<u8>) -> Result<(), Error> {
        if run.state != RunState::Exited {
            run.exit_code = run.exit_code.or(code);
            run.finished = run.finished.or(Some(SystemTime::now()));
        }
        run.state = RunState::Stopping;
        self.store.write(|rows| rows.put_run(&run))?;
        fault::step();
        self.kill(&run)?;
        fault::step();
        self.free(&run)?;
        fault::step();
        if run.remove {
            self.remove_run_directory(&run.id)?;
            fault::step();
            return Ok(self.store.write(|rows| rows.delete_run(&run.id))?);
        }
        run.state = RunState::Exited;
        Ok(self.store.write(|rows| rows.put_run(&run))?)
    }

    /// Endpoints, files and namespace. Goes on after an error.
    fn free(&mut self, run: &Run) -> Result<(), Error> {
        let mut errors = Errors::default();
        for endpoint in self.store.rows().endpoints_in_sandbox(&run.id)? {
            if let Some(network) = self.store.rows().network(&endpoint.network)? {
                errors.note(self.remove_endpoint(&network, &endpoint.id));
            }
        }
        errors.note(self.remove_files(run));
        fault::step();
        errors.note(self.release_sandbox(&run.id));
        errors.into_result()
    }
}

fn end(run: &Run, pid: u32, process: &Process) -> Result<(), RunError> {
    let failed = || RunError::process("end a process", &run.name);
    process.signal(libc::SIGKILL).map_err(failed())?;
    if process.wait(KILL_TIMEOUT).map_err(failed())? {
        return Ok(());
    }
    let name = run.name.to_string();
    Err(RunError::Stubborn { name, pid })
}
