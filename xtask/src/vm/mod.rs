//! `cargo xtask vm-test`: the integration tests on another kernel than this machine's, in a virtual
//! machine that qemu emulates. Nothing there needs root or KVM.
//!
//! The image is an initramfs of this machine's own tools with their shared libraries, and of the
//! very test binaries that the kernel ring runs: a static build of them would cost a second
//! compilation and prove nothing more.

mod binaries;
mod image;
mod kernel;
mod modules;
mod qemu;
mod selection;

use anyhow::{Result, bail};

use crate::{
    build,
    debian::{self, Tool},
    ebpf,
    workspace::Workspace,
};

/// What makes and runs the machine, beside what the tests themselves call.
const TOOLS: &[Tool] = &[
    Tool {
        program: "qemu-system-x86_64",
        package: "qemu-system-x86",
    },
    Tool {
        program: "cpio",
        package: "cpio",
    },
    Tool {
        program: "depmod",
        package: "kmod",
    },
    Tool {
        program: "strip",
        package: "binutils",
    },
];

/// Arguments of `vm-test`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A version that Debian's cloud kernel here has, or a directory with boot/vmlinuz-RELEASE and
    /// lib/modules/RELEASE, as `dpkg -x` of a kernel package leaves it
    #[arg(long, default_value = kernel::DEFAULT)]
    kernel: String,
    /// Run every test whose name contains one of these, instead of the selection
    #[arg(last = true)]
    filters: Vec<String>,
}

/// Why this machine cannot run the ring, if so.
pub(crate) fn not_here() -> Option<String> {
    if std::env::consts::ARCH != "x86_64" {
        return Some("the virtual machine shares this machine's binaries: x86_64 only".to_owned());
    }
    if !debian::is_debian() {
        return Some(kernel::ELSEWHERE.to_owned());
    }
    debian::ensure_tools(TOOLS)
        .err()
        .map(|error| format!("{error:#}"))
}

/// Builds, then runs the tests in the machine.
pub(crate) fn main(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    build::object(workspace, ebpf::Object::Plain)?;
    debian::ensure_tools(TOOLS)?;
    debian::ensure_tools(crate::test::TOOLS)?;
    if !run(workspace, &arguments.kernel, &arguments.filters)? {
        bail!("no test has such a name");
    }
    Ok(())
}

/// The ring of `cargo xtask test`: the default kernel. The filters may be names of other rings' tests.
pub(crate) fn ring(workspace: &Workspace, filters: &[String]) -> Result<()> {
    run(workspace, kernel::DEFAULT, filters).map(|_| ())
}

/// Whether there are such tests; an error if they fail.
fn run(workspace: &Workspace, kernel: &str, filters: &[String]) -> Result<bool> {
    let directory = workspace.target().join("vm");
    let kernel = kernel::find(&directory, kernel)?;
    let binaries = binaries::build(workspace)?;
    let all = binaries.test_names()?;
    let chosen = selection::choose(&all, filters);
    if chosen.is_empty() {
        return Ok(false);
    }
    selection::explain(&kernel.release, &chosen, &all, filters);
    let image = image::make(&directory, &kernel, &binaries, &chosen)?;
    qemu::run(&directory, &kernel, &image)?;
    Ok(true)
}
