//! The kernel's side of every object: one folder for all that talks to it. What depends on this
//! kernel is learnt and used here only; the layers above plan the same on every machine.

pub mod activation;
pub mod bpf;
pub mod cgroup;
pub mod conntrack;
pub mod datagrams;
pub mod features;
pub mod files;
pub mod launch;
pub mod netlink;
pub mod netns;
pub mod nft;
pub mod probe;
pub mod process;
pub mod reserved_ports;
pub mod sockets;
mod sys;
pub mod sysctl;
