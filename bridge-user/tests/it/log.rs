//! The build for debugging the programs: they pass the verifier, forward as the others do, and
//! `trace` prints what they log.

use std::fs;

use aya::Ebpf;
use aya::programs::SchedClassifier;
use serde_json::Value;

use crate::host::{Endpoint, Host, PINS, text};

/// A network with endpoints in `a` and `b`.
fn pair(host: &Host, datapath: &str) -> (Endpoint, Endpoint) {
    host.create(&format!("--datapath {datapath} n"));
    (host.join("n", "a"), host.join("n", "b"))
}

/// What a trace printed of the log while `work` was done.
fn logged(host: &Host, work: impl FnOnce()) -> Vec<String> {
    let trace = host.trace("");
    work();
    let told = trace.stop();
    let lines = told.lines().map(|line| {
        let value: Value = serde_json::from_str(line).expect("a line is an object");
        text(&value["Log"])
    });
    lines.filter(|line| !line.is_empty()).collect()
}

#[test]
fn what_becomes_of_each_frame_is_logged() {
    for (datapath, hook) in [("tc", "tc"), ("xdp", "xdp")] {
        let host = Host::new();
        let (a, b) = pair(&host, datapath);
        let (from, to) = (host.ifindex(&a.host_leg), host.ifindex(&b.host_leg));
        let lines = logged(&host, || {
            host.assert_pings("a", &b.ipv4);
            host.assert_pings("a", "10.90.0.1");
            host.call("ip -n a link set eth0 address 02:00:00:00:00:99")
                .ok();
            assert!(!host.ping_quickly("a", &b.ipv4));
        });
        for wanted in [
            format!("{hook}: ifindex {from}: fast to ifindex {to} at fdb"),
            format!("{hook}: ifindex {from}: answered at neighbour"),
            // What XDP passes on, it says to pass on; TC ends it.
            format!("{hook}: ifindex {from}: slow at routing"),
            format!("tc: ifindex {from}: slow at routing"),
            format!("{hook}: ifindex {from}: dropped, spoofed_mac, at source_mac"),
        ] {
            assert!(lines.contains(&wanted), "{wanted}: {lines:#?}");
        }
    }
}

#[test]
fn programs_without_a_log_are_named_and_replaced_by_reconcile() {
    let host = Host::new();
    let (_, b) = pair(&host, "tc");
    // What a build for use leaves: its program, and its hash.
    host.inside(|| {
        let object = env!("BRIDGE_USER_BPF_OBJECT").replace("-log", "");
        let mut object = Ebpf::load_file(object).expect("cargo xtask test builds both objects");
        let program = object.program_mut("port_ingress").expect("it is there");
        let program: &mut SchedClassifier = program.try_into().expect("it is a classifier");
        program.load().expect("the verifier takes it");
        let pin = format!("{PINS}/programs/port_ingress");
        fs::remove_file(&pin).expect("it is pinned");
        program.pin(&pin).expect("there is a bpffs");
    });
    host.change_meta(|meta| meta.object_hash += 1);
    let refused = host.bridge_user("trace");
    refused.fails_with(1, &["a build without a log", "bridge-user reconcile"]);
    host.bridge_user("reconcile").ok();
    let lines = logged(&host, || host.assert_pings("a", &b.ipv4));
    assert!(!lines.is_empty());
}
