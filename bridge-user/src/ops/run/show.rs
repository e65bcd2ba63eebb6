//! Reading: runs with their endpoints, their logs, and the way into them.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::RunError;
use crate::kernel::launch;
use crate::kernel::process::{self, Process};
use crate::model::{Endpoint, Network, Publication, Run};
use crate::ops::file::failed;
use crate::ops::{Context, Error};

/// How often a log is looked at for more.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);

/// A run with what it is connected to.
#[derive(Debug, Clone)]
pub struct RunDetails {
    /// The run.
    pub run: Run,
    /// Its endpoints and their networks.
    pub endpoints: Vec<(Network, Endpoint)>,
    /// The published ports of all of them.
    pub publications: Vec<Publication>,
    /// Its log, where it has one.
    pub log: Option<PathBuf>,
}

/// What a run in the background has written.
#[derive(Debug)]
pub struct LogReader {
    file: File,
    /// The command, while it runs.
    process: Option<Process>,
}

impl Context {
    /// Every run, the newest first.
    pub fn list_runs(&self) -> Result<Vec<RunDetails>, Error> {
        let runs = self.store.rows().runs()?.into_iter();
        runs.map(|run| self.run_details(run)).collect()
    }

    /// One run.
    pub fn inspect_run(&self, text: &str) -> Result<RunDetails, Error> {
        self.run_details(self.find_run(text)?)
    }

    fn run_details(&self, run: Run) -> Result<RunDetails, Error> {
        let (mut endpoints, mut publications) = (Vec::new(), Vec::new());
        for endpoint in self.store.rows().endpoints_in_sandbox(&run.id)? {
            if let Some(network) = self.store.rows().network(&endpoint.network)? {
                publications.extend(self.publications_of(&endpoint)?);
                endpoints.push((network, endpoint));
            }
        }
        let log = run.config.detached.then(|| self.log_path(&run.id));
        Ok(RunDetails {
            run,
            endpoints,
            publications,
            log,
        })
    }

    /// The log of a run in the background.
    pub fn open_log(&self, text: &str) -> Result<LogReader, Error> {
        let run = self.find_run(text)?;
        if !run.config.detached {
            return Err(RunError::NoLog(run.name.to_string()).into());
        }
        let process = match self.running_process(&run)? {
            Some(process) => Process::open(process)
                .map_err(RunError::process("look at the process", &run.name))?,
            None => None,
        };
        let path = self.log_path(&run.id);
        let file = File::open(&path).map_err(failed("open", &path))?;
        Ok(LogReader { file, process })
    }
}

impl LogReader {
    /// Copies what is there; with `follow`, and what comes until the command ends.
    pub fn copy_to(&mut self, out: &mut impl Write, follow: bool) -> io::Result<()> {
        io::copy(&mut self.file, out)?;
        out.flush()?;
        let Some(process) = self.process.as_ref().filter(|_| follow) else {
            return Ok(());
        };
        loop {
            let ended = process.wait(FOLLOW_EVERY)?;
            io::copy(&mut self.file, out)?;
            out.flush()?;
            if ended {
                return Ok(());
            }
        }
    }
}

/// Executes a command in the namespaces of a run, in place of this program. Comes back only when it
/// cannot. The state is closed before: nobody waits for the command.
pub fn execute_in_run(context: Context, text: &str, command: &[OsString]) -> Error {
    let found = context.find_run(text).and_then(|run| {
        let name = run.name.to_string();
        let process = context.running_process(&run)?;
        let process = process.ok_or_else(|| RunError::NotRunning(name.clone()))?;
        let network = context.network_of(&run)?;
        Ok((name, process, network))
    });
    drop(context);
    match found {
        Ok((name, process, network)) => {
            let still = || process::runs(process).unwrap_or(false);
            let cause = launch::execute_in(network.as_ref(), process.pid, still, command);
            RunError::Launch { name, cause }.into()
        }
        Err(error) => error,
    }
}
