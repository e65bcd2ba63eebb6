//! `cargo xtask tidy`: the house rules that neither rustc nor clippy can check.

mod layers;
mod layout;
mod text;

use std::fmt;

use anyhow::{Result, bail};

use crate::{
    source::{self, Source},
    workspace::Workspace,
};

/// Arguments of `tidy`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Record the layout of the shared types, after `LAYOUT_VERSION` was raised
    #[arg(long)]
    record_layout: bool,
}

/// A rule that a file breaks.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    /// Path from the repository's root.
    path: String,
    /// Line, from 1; 0 for the whole file.
    line: usize,
    /// What is wrong, and what would be right.
    message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

impl Source {
    /// A violation of this file.
    fn violation(&self, line: usize, message: impl Into<String>) -> Violation {
        Violation {
            path: self.path.clone(),
            line,
            message: message.into(),
        }
    }
}

/// Rules that look at one file.
const FILE_RULES: &[fn(&Source) -> Vec<Violation>] = &[
    text::opening,
    text::length,
    text::name,
    text::marks,
    text::unsafety,
    layers::imports,
];

/// Checks the rules, or records the layout first.
pub(crate) fn main(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    if arguments.record_layout {
        layout::record(workspace.root(), &source::read_all(workspace.root())?)?;
    }
    check(workspace)
}

/// Checks every rule and prints every violation.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let sources = source::read_all(workspace.root())?;
    let mut violations: Vec<Violation> = sources
        .iter()
        .flat_map(|source| FILE_RULES.iter().flat_map(move |rule| rule(source)))
        .collect();
    violations.extend(layout::check(workspace.root(), &sources)?);
    for violation in &violations {
        eprintln!("{violation}");
    }
    if !violations.is_empty() {
        bail!("{} violations of the house rules", violations.len());
    }
    eprintln!("{} files are tidy", sources.len());
    Ok(())
}
