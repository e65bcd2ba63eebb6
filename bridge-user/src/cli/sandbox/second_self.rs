//! What this program is when `run` starts it under another name: a keeper, or a launcher.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser};

use super::EXIT_FAILED;
use crate::kernel::launch::{self, KEEPER, LAUNCHER, Surroundings};
use crate::model::Id;
use crate::ops::{self, Paths};

#[derive(Debug, Parser)]
struct Keeper {
    state: PathBuf,
    run: Id,
    #[arg(long)]
    config: Option<PathBuf>,
    #[command(flatten)]
    launcher: LauncherArguments,
}

#[derive(Debug, Parser)]
struct Launcher {
    #[command(flatten)]
    launcher: LauncherArguments,
}

#[derive(Debug, Args)]
struct LauncherArguments {
    /// Number of the socket that says when to begin.
    socket: i32,
    surroundings: Surroundings,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Runs the keeper or launcher that this process was started to be; `None` where it is neither.
pub(in crate::cli) fn second_self(arguments: &[OsString]) -> Option<ExitCode> {
    let code = match arguments.first()?.to_str()? {
        KEEPER => keep(&Keeper::parse_from(arguments)),
        LAUNCHER => become_command(&Launcher::parse_from(arguments)),
        _ => return None,
    };
    Some(code.unwrap_or(EXIT_FAILED).into())
}

/// Says nothing of its own: that would stand in the log of the command.
fn keep(keeper: &Keeper) -> io::Result<u8> {
    let LauncherArguments {
        socket,
        surroundings,
        command,
    } = &keeper.launcher;
    let paths = Paths {
        state: keeper.state.clone(),
        config: keeper.config.clone(),
    };
    let run = keeper.run.clone();
    ops::keep(&paths, run, *socket, surroundings, command)?;
    Ok(0)
}

/// Comes back only when it cannot.
fn become_command(Launcher { launcher }: &Launcher) -> io::Result<u8> {
    super::super::tell(0);
    let socket = launch::inherited(launcher.socket)?;
    Ok(launch::launch(
        socket,
        &launcher.surroundings,
        &launcher.command,
    ))
}
