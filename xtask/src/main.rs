//! Automation of this repository: `cargo xtask help`. One module a subcommand; this file only
//! dispatches.

mod bench;
mod beside;
mod build;
mod debian;
mod ebpf;
mod fuzz;
mod process;
mod run;
mod source;
mod test;
mod tidy;
mod toolchain;
mod vm;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use workspace::Workspace;

/// Build, run, test and check bridge-user.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the BPF object and bridge-user with it; installs what the build needs
    Build(build::Arguments),
    /// Build, then run bridge-user as root; without arguments its demo
    Run(run::Arguments),
    /// Run every ring of tests that this machine can; installs what they need
    Test(test::Arguments),
    /// The same as `test` with CI=true: a ring that cannot run is a failure
    Ci(test::Arguments),
    /// Run the integration tests on another kernel, in a virtual machine
    VmTest(vm::Arguments),
    /// Measure commands, traffic and the program, in namespaces of its own
    Bench(bench::Arguments),
    /// Compare the program with the function that it is made of, on random frames
    Fuzz(fuzz::Arguments),
    /// Check the house rules that neither rustc nor clippy can
    Tidy(tidy::Arguments),
}

fn main() -> ExitCode {
    match dispatch(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(task: Task) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    let done = |()| ExitCode::SUCCESS;
    match task {
        Task::Build(arguments) => build::main(&workspace, &arguments).map(done),
        Task::Run(arguments) => run::main(&workspace, &arguments),
        Task::Test(arguments) => test::main(&workspace, &arguments, test::in_ci()).map(done),
        Task::Ci(arguments) => test::main(&workspace, &arguments, true).map(done),
        Task::VmTest(arguments) => vm::main(&workspace, &arguments).map(done),
        Task::Bench(arguments) => bench::main(&workspace, &arguments).map(done),
        Task::Fuzz(arguments) => fuzz::main(&workspace, &arguments).map(done),
        Task::Tidy(arguments) => tidy::main(&workspace, &arguments).map(done),
    }
}
