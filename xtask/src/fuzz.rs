//! `cargo xtask fuzz`: the test that fuzzes the program, or the one that plays random commands, for as long as is
//! asked for.

use anyhow::Result;

use crate::{build, ebpf, test, workspace::Workspace};

/// What is made at random.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Input {
    /// Frames, for the program
    Frames,
    /// Commands, among losses
    Commands,
}

impl Input {
    /// The test, by its name in the integration crate.
    fn test(self) -> &'static str {
        match self {
            Self::Frames => "fuzz::no_frame_parts_the_program_from_the_pure_function",
            Self::Commands => "chaos::what_is_made_bit_by_bit_is_made_at_once",
        }
    }
}

/// Arguments of `fuzz`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What is made at random
    #[arg(value_enum, default_value_t = Input::Frames)]
    input: Input,
    /// How long it is made and run
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
    test::on_this_kernel(cargo.args(["--", "--exact", "--nocapture", arguments.input.test()]))
}
