//! The command `bridge-user`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    bridge_user::cli::run(std::env::args_os())
}
