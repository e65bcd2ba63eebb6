//! Waiting for a run's command: signals in, exit code out, and then everything of it is freed.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::fault;
use crate::kernel::launch::{self, Surroundings};
use crate::kernel::process::Signals;
use crate::model::Id;
use crate::ops::{Context, Error, Paths};

/// How often, and after what time, a keeper in the background tries again.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);

/// Who waits for a run's command.
#[derive(Debug)]
pub struct Keeper {
    run: Id,
    paths: Paths,
    child: Child,
    signals: Signals,
}

/// A command that ended.
#[derive(Debug)]
pub struct Ended {
    /// What it exited with, or 128 and the number of the signal that ended it.
    pub code: u8,
    /// What could not be freed; the next command tries again.
    pub left_wrong: Option<Error>,
}

impl Keeper {
    pub(super) fn new(run: Id, paths: Paths, child: Child, signals: Signals) -> Self {
        Self {
            run,
            paths,
            child,
            signals,
        }
    }

    /// Waits for the command's end, then notes it and frees what the run had.
    ///
    /// # Errors
    ///
    /// The process could not be waited for.
    pub fn keep(mut self) -> io::Result<Ended> {
        let code = self.signals.wait_for(&mut self.child)?;
        fault::step();
        let left_wrong = self.free(code).err();
        Ok(Ended { code, left_wrong })
    }

    /// The same in the background: nobody else knows the exit code, and nobody waits, so what fails is
    /// tried again for some time.
    fn keep_on(mut self) -> io::Result<()> {
        let code = self.signals.wait_for(&mut self.child)?;
        fault::step();
        for _ in 0..TRIES {
            if self.free(code).is_ok() {
                break;
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn free(&self, code: u8) -> Result<(), Error> {
        // Without a state, it was purged: there is nothing left to free.
        match Context::open_existing(&self.paths)? {
            Some(mut context) => context.end_run(&self.run, code),
            None => Ok(()),
        }
    }
}

/// The keeper of a run in the background: starts the launcher, which is told what to do by the other
/// end of `socket`, waits for the command, and frees what the run had. What it cannot, a later command
/// does, which does not know the exit code.
pub fn keep(
    paths: &Paths,
    run: Id,
    socket: i32,
    surroundings: &Surroundings,
    command: &[OsString],
) -> io::Result<()> {
    let socket = launch::inherited_alone(socket)?;
    // The terminal's signals and its end are for the foreground.
    nix::unistd::setsid()?;
    launch::be_called(c"bu-keeper");
    let signals = Signals::block()?;
    let child = spawn_launcher(&socket, surroundings, command)?;
    drop(socket);
    Keeper::new(run, paths.clone(), child, signals).keep_on()
}

pub(super) fn spawn_launcher(
    socket: &UnixStream,
    surroundings: &Surroundings,
    command: &[OsString],
) -> io::Result<Child> {
    let launcher = launch::this_program(launch::LAUNCHER);
    hand_over(launcher, socket, surroundings, command)?.spawn()
}

pub(super) fn spawn_keeper(
    paths: &Paths,
    run: &Id,
    log: File,
    socket: &UnixStream,
    surroundings: &Surroundings,
    command: &[OsString],
) -> io::Result<Child> {
    let mut keeper = launch::this_program(launch::KEEPER);
    keeper.arg(&paths.state).arg(run.as_str());
    if let Some(config) = &paths.config {
        keeper.arg("--config").arg(config);
    }
    keeper.stdin(Stdio::null());
    keeper.stdout(log.try_clone()?).stderr(log);
    fault::hand_on(&mut keeper);
    hand_over(keeper, socket, surroundings, command)?.spawn()
}

fn hand_over(
    mut program: Command,
    socket: &UnixStream,
    surroundings: &Surroundings,
    command: &[OsString],
) -> io::Result<Command> {
    program.arg(launch::leave_open(socket)?.to_string());
    program.arg(surroundings.to_argument()?);
    program.arg("--").args(command);
    Ok(program)
}
