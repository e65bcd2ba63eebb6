//! The real binary on the real kernel: every test has a host of its own (`host`), made of
//! namespaces, and asks the kernel's own tools what came of a command.
//!
//! Needs root. `cargo xtask test` installs the tools and runs it.

mod host;
mod host_road;

mod bad_input;
mod beside;
mod chaos;
mod config;
mod crash;
mod daemon;
mod dns;
mod egress;
mod firewall;
mod forwarding;
mod fuzz;
mod hosts_files;
mod icc_links;
mod inspect;
mod ipam;
mod isolation;
mod legs;
mod lifecycle;
mod links;
#[cfg(feature = "bpf-log")]
mod log;
mod oracle;
mod parallel;
mod privileges;
mod program;
mod publish;
mod publish_host;
mod random;
mod repair;
mod runs;
mod sandboxes;
mod seeing;
mod seeing_explain;
mod spoofing;
mod system;
mod trace;
mod tutorial;
mod upgrade;
mod vlan;
mod xdp;
