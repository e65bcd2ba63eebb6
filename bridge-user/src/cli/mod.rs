//! The command line: parses, calls `ops`, prints. One file a noun; data goes to stdout, messages
//! to stderr; exit codes are 0 done, 1 refused or failed, 2 wrong usage.

mod daemon;
mod doctor;
mod explain;
mod net;
mod output;
mod publish;
mod sandbox;
mod stats;
mod system;
mod template;
mod trace;
mod usage;
mod view;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory as _, Parser, Subcommand};
use tracing::Level;

use crate::ops::{self, Config, Context, Paths};
use crate::service::ServiceError;

const DEFAULT_STATE_DIRECTORY: &str = "/var/lib/bridge-user";

/// Container networks on one Linux host, with an eBPF fast path.
#[derive(Debug, Parser)]
#[command(
    name = "bridge-user",
    disable_version_flag = true,
    arg_required_else_help = true
)]
struct Arguments {
    /// Directory of the state.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "BRIDGE_USER_STATE_DIR",
        default_value = DEFAULT_STATE_DIRECTORY
    )]
    state_dir: PathBuf,
    /// Configuration; without the option /etc/bridge-user/config.toml, where it is there.
    #[arg(long, global = true, value_name = "FILE", env = "BRIDGE_USER_CONFIG")]
    config: Option<PathBuf>,
    /// Say on standard error what is changed in the kernel, as the shell commands that would do it;
    /// -vv says more.
    #[arg(long, short, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Print the version of the tool, its BPF object and the kernel.
    #[arg(long, short = 'V')]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Manage networks.
    #[command(visible_alias = "network", subcommand)]
    Net(net::NetCommand),
    /// Run a command in a sandbox of its own: network, host name, hosts and resolver files.
    Run(sandbox::RunArguments),
    /// List sandboxes of `run`.
    Ps(sandbox::ListArguments),
    /// Run a command in a sandbox that runs.
    Exec(sandbox::ExecArguments),
    /// Remove sandboxes of `run`.
    Rm(sandbox::RemoveArguments),
    /// Print sandboxes of `run` in detail, as a JSON array.
    Inspect(sandbox::InspectArguments),
    /// Print where ports of a sandbox are published.
    Port(sandbox::PortArguments),
    /// Print what a sandbox of `run -d` has written.
    Logs(sandbox::LogsArguments),
    /// Show what was counted at ports: packets and bytes by road, and drops by reason.
    Stats(stats::StatsArguments),
    /// Show the forwarding database of the program.
    Fdb(stats::FdbArguments),
    /// Ask the program what it does with a frame, and why.
    Explain(explain::ExplainArguments),
    /// Show frames that the program drops or leaves to the bridge, as they come.
    Trace(trace::TraceArguments),
    /// Serve names, and remove what died, until SIGTERM.
    Daemon(daemon::DaemonArguments),
    /// Make two networks and four sandboxes, measure both datapaths, and remove everything.
    Demo,
    /// Make the kernel be as the state says: repair, restore, finish what was cut off.
    Reconcile,
    /// Remove everything of ours: namespaces that we made, links, pins, firewall table, state.
    Purge(system::PurgeArguments),
    /// Check this host's requirements and known dangers.
    Doctor(doctor::DoctorArguments),
    /// Print a completion script.
    Completions(system::CompletionsArguments),
}

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// The operation failed.
    #[error(transparent)]
    Operation(ops::Error),
    /// The template of `--format` cannot be used.
    #[error(transparent)]
    Template(#[from] template::TemplateError),
    /// Standard output cannot be written.
    #[error("failed to write the output")]
    Output(#[from] io::Error),
    /// The daemon does not run.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Options without a command.
    #[error("no command is given: see --help")]
    NoCommand,
    /// Prune was not confirmed.
    #[error("nothing was removed: it was not confirmed")]
    NotConfirmed,
    /// Docker's words for a port that is not published.
    #[error("no public port '{port}' published for {sandbox}")]
    NoPublicPort {
        /// The port.
        port: String,
        /// Whose.
        sandbox: String,
    },
    /// Purge was given without `--yes`.
    #[error("purge removes every network: confirm with --yes")]
    NoYes,
    /// Doctor found a failure.
    #[error("this host is not ready: see the failures above")]
    NotReady,
    /// Everything was said already: only the exit code is left.
    #[error("failed")]
    Reported,
    /// As `Reported`, with a command's exit code, or Docker's for one that could not be started.
    #[error("exit code {0}")]
    Exit(u8),
}

impl CliError {
    /// What Docker exits with for a command that could not be executed.
    fn command_code(&self) -> Option<u8> {
        match self {
            Self::Operation(error) => error.exit_code(),
            _ => None,
        }
    }
}

impl From<ops::Error> for CliError {
    fn from(error: ops::Error) -> Self {
        match error {
            ops::Error::Output(error) => Self::Output(error),
            error => Self::Operation(error),
        }
    }
}

/// Runs the command line `arguments`, the program's name first, and gives the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(code) = sandbox::second_self(&arguments) {
        return code;
    }
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors; clap knows which.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            match usage::message(&error) {
                Some(message) => say(&message),
                None => drop(error.print()),
            }
            return ExitCode::from(code);
        }
    };
    match &arguments.command {
        Some(Command::Daemon(daemon)) => {
            // A configuration that cannot be read is an error of the command itself.
            let config = Config::read(arguments.config.as_deref());
            let log = config.map(|config| config.log).unwrap_or_default();
            daemon::tell(daemon, arguments.verbose, log);
        }
        _ => tell(arguments.verbose),
    }
    // Printed only here: rendering functions take a writer.
    let mut stdout = io::stdout().lock();
    match dispatch(&arguments, &mut stdout).and_then(|()| Ok(stdout.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(CliError::Reported) => ExitCode::FAILURE,
        Err(CliError::Exit(code)) => ExitCode::from(code),
        Err(error @ CliError::NoCommand) => {
            report(&error);
            ExitCode::from(2)
        }
        Err(error) => {
            report(&error);
            error.command_code().map_or(ExitCode::FAILURE, Into::into)
        }
    }
}

/// Sends what the layers below have to tell to standard error.
fn tell(verbose: u8) {
    let level = match verbose {
        0 => Level::WARN,
        1 => Level::INFO,
        _ => Level::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .without_time()
        .with_level(false)
        .with_target(false)
        .init();
}

/// Opens the state. What could not be made right then is no reason to refuse the command.
fn open(paths: &Paths) -> Result<Context, CliError> {
    let context = Context::open(paths)?;
    if let Some(error) = context.left_wrong() {
        warn(&ops::chain(error));
    }
    Ok(context)
}

fn dispatch(arguments: &Arguments, out: &mut impl Write) -> Result<(), CliError> {
    let paths = &Paths {
        state: arguments.state_dir.clone(),
        config: arguments.config.clone(),
    };
    if arguments.version {
        return system::version(out);
    }
    match &arguments.command {
        Some(Command::Net(command)) => net::run(command, paths, out),
        Some(Command::Run(arguments)) => sandbox::run(arguments, paths, out),
        Some(Command::Ps(arguments)) => sandbox::list(arguments, paths, out),
        Some(Command::Exec(arguments)) => Err(sandbox::exec(arguments, paths)),
        Some(Command::Rm(arguments)) => sandbox::remove(arguments, paths, out),
        Some(Command::Inspect(arguments)) => sandbox::inspect(arguments, paths, out),
        Some(Command::Port(arguments)) => sandbox::port(arguments, paths, out),
        Some(Command::Logs(arguments)) => sandbox::logs(arguments, paths, out),
        Some(Command::Stats(arguments)) => stats::stats(arguments, paths, out),
        Some(Command::Fdb(arguments)) => stats::fdb(arguments, paths, out),
        Some(Command::Explain(arguments)) => explain::run(arguments, paths, out),
        Some(Command::Trace(arguments)) => trace::run(arguments, paths, out),
        Some(Command::Daemon(arguments)) => daemon::run(arguments, paths),
        Some(Command::Demo) => Ok(ops::demo(paths, out)?),
        Some(Command::Reconcile) => system::reconcile(paths),
        Some(Command::Purge(purge)) => system::purge(purge, paths),
        Some(Command::Doctor(doctor)) => doctor::run(doctor, paths, out),
        Some(Command::Completions(shell)) => {
            Ok(system::completions(shell, &mut Arguments::command(), out)?)
        }
        None => Err(CliError::NoCommand),
    }
}

/// Objects of one command that failed while the others went on: each is reported at once.
#[derive(Debug, Default)]
struct Failures(bool);

impl Failures {
    fn report(&mut self, error: &CliError) {
        self.0 = true;
        report(error);
    }

    fn into_result(self) -> Result<(), CliError> {
        if self.0 {
            Err(CliError::Reported)
        } else {
            Ok(())
        }
    }
}

/// Tells of what stands in nobody's way.
fn warn(text: &str) {
    let text = text.replace('\n', " ");
    say(&format!(
        "warning: not everything is as it should be: {text}\n"
    ));
}

/// Writes lines to standard error at once: several commands may write to one terminal or file.
fn say(lines: &str) {
    let _ = io::stderr().lock().write_all(lines.as_bytes());
}

/// One line for the error and its causes, one for the way out.
fn report(error: &CliError) {
    let hint = match error {
        CliError::Operation(error) => error.hint(),
        CliError::Service(error) => error.hint(),
        _ => None,
    };
    let text = ops::chain(error).replace('\n', " ");
    let hint = hint.map_or_else(String::new, |hint| format!("hint: {hint}\n"));
    say(&format!("error: {text}\n{hint}"));
}
