//! `cargo xtask fuzz`: the test that fuzzes the program, for as long as is asked for.

use anyhow::Result;

use crate::{build, ebpf, test, workspace::Workspace};

/// The test, by its name in the integration crate.
const TEST: &str = "fuzz::no_frame_parts_the_program_from_the_pure_function";

/// Arguments of `fuzz`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long frames are made and run
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    minutes: u16,
    /// Begin at this seed, as a run printed it
    #[arg(long)]
    seed: Option<u64>,
}

/// Builds, then fuzzes; a disagreement is a failure.
pub(crate) fn main(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    build::object(workspace, ebpf::Object::Plain)?;
    let seconds = u32::from(arguments.minutes) * 60;
    let mut cargo = test::integration(workspace, test::FEATURES)?;
    cargo.env("BRIDGE_USER_FUZZ_SECONDS", seconds.to_string());
    if let Some(seed) = arguments.seed {
        cargo.env("BRIDGE_USER_TEST_SEED", seed.to_string());
    }
    test::on_this_kernel(cargo.args(["--", "--exact", "--nocapture", TEST]))
}
