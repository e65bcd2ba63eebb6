//! Which modules the machine loads, and in which order.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use super::kernel::Kernel;
use crate::process;

/// What the tests use of a kernel that has it as modules.
const WANTED: &[&str] = &[
    "8021q",
    "br_netfilter",
    "bridge",
    "cls_bpf",
    "nf_conntrack",
    "nf_conntrack_netlink",
    "nf_reject_ipv4",
    "nf_reject_ipv6",
    "nf_tables",
    "nfnetlink",
    "nft_chain_nat",
    "nft_ct",
    "nft_fib_inet",
    "nft_masq",
    "nft_nat",
    "nft_reject_inet",
    "overlay",
    "sch_ingress",
    "tcp_cubic",
    "tcp_diag",
    "udp_diag",
    "veth",
];

/// Paths of the wanted modules and all that they need, under the kernel's module directory, in the
/// order of loading. What is built in needs none.
pub(super) fn in_order(kernel: &Kernel) -> Result<Vec<String>> {
    let directory = kernel.modules();
    if !directory.join("modules.dep").exists() {
        // A package leaves that to its installation.
        let depmod = process::find_program("depmod").context("please install kmod")?;
        process::check(
            Command::new(depmod)
                .arg("--basedir")
                .arg(&kernel.root)
                .arg(&kernel.release),
        )?;
    }
    let read = |name: &str| {
        fs::read_to_string(directory.join(name))
            .with_context(|| format!("failed to read {name} of {}", kernel.release))
    };
    order(&read("modules.dep")?, &read("modules.builtin")?)
}

/// Reads modules.dep(5) and modules.builtin.
fn order(dependencies: &str, built_in: &str) -> Result<Vec<String>> {
    let mut ordered: Vec<String> = Vec::new();
    for name in WANTED {
        if built_in.lines().any(|path| is_named(path, name)) {
            continue;
        }
        let line = dependencies.lines().filter_map(|line| line.split_once(':'));
        let Some((path, needs)) = line.clone().find(|(path, _)| is_named(path, name)) else {
            bail!("this kernel has no module {name}");
        };
        // Listed are all that are needed, what is needed first last.
        for path in needs.split_whitespace().rev().chain([path]) {
            if !ordered.iter().any(|known| known == path) {
                ordered.push(path.to_owned());
            }
        }
    }
    Ok(ordered)
}

fn is_named(path: &str, name: &str) -> bool {
    let file = Path::new(path).file_name().unwrap_or_default();
    let stem = file.to_string_lossy();
    let stem = stem.split('.').next().unwrap_or_default();
    stem.replace('-', "_") == name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    //! The files that depmod(8) writes.

    use super::{WANTED, order};

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let others = WANTED
            .iter()
            .filter(|name| !["bridge", "veth"].contains(name))
            .map(|name| format!("k/{name}.ko.xz: k/bridge.ko k/stp.ko k/llc.ko"));
        let bridge = ["k/bridge.ko: k/stp.ko k/llc.ko", "k/llc.ko:"].map(str::to_owned);
        let dependencies = bridge
            .into_iter()
            .chain(others)
            .collect::<Vec<_>>()
            .join("\n");
        let ordered = order(&dependencies, "kernel/net/veth.ko\n").expect("all are there");
        assert_eq!(
            &ordered[..4],
            ["k/llc.ko", "k/stp.ko", "k/bridge.ko", "k/8021q.ko.xz"]
        );
        assert_eq!(ordered.len(), WANTED.len() + 1);
    }

    #[test]
    fn a_module_that_is_nowhere_is_named() {
        let error = order("", "").expect_err("nothing is there");
        assert!(error.to_string().contains(WANTED[0]));
    }
}
