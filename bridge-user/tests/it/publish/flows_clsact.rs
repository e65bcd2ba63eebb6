//! Kernels without tcx: programs at uplinks are filters there, and what others have there stays.

use super::flows::{BPF, Forwarded, ask, outside_socket};
use super::{UdpServer, connect, publish};
use crate::crash::Killer;
use crate::host::{Host, PINS, wait_until};

const AT: &str = "192.0.2.1:5353";
const FILTERS: [&str; 2] = ["filter at up0 ingress", "filter at up0 egress"];

fn host() -> Host {
    let host = Host::without_tcx();
    host.outside();
    host.create(&format!("{BPF} n"));
    host
}

/// What is at uplinks: filters, qdiscs, and pins of ours.
fn there(host: &Host) -> (Vec<String>, bool, usize) {
    let has_qdisc = host.clsact_links().contains(&"up0".to_owned());
    (host.uplink_filters(), has_qdisc, host.uplink_pins().len())
}

#[track_caller]
fn assert_none(host: &Host) {
    assert_eq!(there(host), (vec![], false, 0));
}

#[test]
fn flows_pass_the_firewall_by() {
    let host = host();
    publish(&host, "-p 5353:53/udp n web");
    let _udp = UdpServer::start(&host, "web", 53);
    let forwarded = Forwarded::of(&host);
    let flow = outside_socket(&host, "0.0.0.0");
    wait_until("the first answer", || ask(&flow, b"x", AT).is_some());
    let before = forwarded.packets();
    for _ in 0..500 {
        assert_eq!(ask(&flow, b"x", AT).as_deref(), Some(AT));
    }
    let packets = forwarded.packets() - before;
    assert!(packets < 500, "{packets} of 1000 took the stack");
    host.call("nft")
        .arg("table inet user { chain c { type filter hook forward priority 0; drop; }; }")
        .ok();
    wait_until("the rule is felt", || ask(&flow, b"x", AT).is_none());
}

#[test]
fn filters_are_there_as_long_as_a_port_is_published() {
    let host = host();
    assert_none(&host);
    publish(&host, "-p 5353:53/udp n web");
    let there_then = (FILTERS.map(str::to_owned).to_vec(), true, 1);
    assert_eq!(there(&host), there_then);
    host.bridge_user("reconcile").ok();
    assert_eq!(there(&host), there_then);
    // What somebody takes away comes back.
    for loss in [
        "tc qdisc del dev up0 clsact",
        "tc filter del dev up0 ingress",
        "tc filter del dev up0 egress",
    ] {
        host.call(loss).ok();
        host.bridge_user("net ls").ok();
        assert_eq!(there(&host), there_then, "{loss}");
    }
    host.bridge_user("net disconnect n web").ok();
    assert_none(&host);
    connect(&host, "-p 5353:53/udp n web");
    assert_eq!(there(&host), there_then);
    // No uplink any more, then gone.
    host.call("ip link del up0").ok();
    host.bridge_user("net ls").ok();
    assert_none(&host);
    host.bridge_user("purge --yes").ok();
    host.assert_clean();
}

#[test]
fn another_build_puts_its_programs_in_place() {
    let host = host();
    publish(&host, "-p 5353:53/udp n web");
    let _udp = UdpServer::start(&host, "web", 53);
    let flow = outside_socket(&host, "0.0.0.0");
    wait_until("the first answer", || ask(&flow, b"x", AT).is_some());
    let old = host.programs("up0");
    host.change_meta(|meta| meta.object_hash += 1);
    host.join("n", "x");
    assert_ne!(host.programs("up0"), old);
    assert_eq!(there(&host), (FILTERS.map(str::to_owned).to_vec(), true, 1));
    assert_eq!(ask(&flow, b"x", AT).as_deref(), Some(AT));
}

#[test]
fn purge_takes_the_filters_away_when_the_pins_are_lost() {
    for loss in ["umount /sys/fs/bpf", &format!("rm -r {PINS}")] {
        let host = host();
        publish(&host, "-p 5353:53/udp n web");
        host.call(loss).ok();
        host.bridge_user("purge --yes").ok();
        assert_eq!(host.uplink_filters(), [""; 0], "{loss}");
        host.assert_clean();
    }
}

#[test]
fn what_others_have_at_an_uplink_stays() {
    // Any program will do: no traffic meets it.
    let add =
        format!("tc filter add dev up0 ingress prio 5 bpf da pinned {PINS}/programs/port_ingress");
    for (filter, before) in [(false, true), (true, true), (true, false)] {
        let host = host();
        let theirs = || host.call("tc filter show dev up0 ingress").ok();
        if before {
            host.call("tc qdisc add dev up0 clsact").ok();
        } else {
            publish(&host, "-p 5353:53/udp n web");
        }
        if filter {
            host.call(&add).ok();
        }
        if before {
            publish(&host, "-p 5353:53/udp n web");
        }
        assert_eq!(host.uplink_filters(), FILTERS);
        host.bridge_user("net disconnect n web").ok();
        assert_eq!(there(&host), (vec![], true, 0));
        assert_eq!(theirs().contains("port_ingress"), filter, "{}", theirs());
    }
}

#[test]
fn an_uplink_with_an_ingress_qdisc_has_the_firewall_alone() {
    let host = host();
    host.call("tc qdisc add dev up0 ingress").ok();
    publish(&host, "-p 5353:53/udp n web");
    let _udp = UdpServer::start(&host, "web", 53);
    let flow = outside_socket(&host, "0.0.0.0");
    wait_until("an answer", || ask(&flow, b"x", AT).is_some());
    assert_none(&host);
    host.call("tc qdisc del dev up0 ingress").ok();
    host.bridge_user("net ls").ok();
    assert_eq!(host.uplink_filters(), FILTERS);
}

#[test]
fn killed_at_any_step_nothing_stays() {
    let host = host();
    host.netns("web");
    let command = "net connect -p 5353:53/udp n web";
    let mut killer = Killer::of(&host, command);
    while killer.kill_at_next_step() {
        host.bridge_user("reconcile").ok();
        let step = killer.step();
        let left = there(&host);
        assert_eq!(left, (vec![], false, 0), "step {step}");
        host.bridge_user(command).ok();
        assert_eq!(host.uplink_filters(), FILTERS, "step {step}");
        host.bridge_user("net disconnect n web").ok();
        assert_none(&host);
    }
    killer.assert_steps(30);
    let mut killer = Killer::of(&host, "net disconnect n web");
    while killer.kill_at_next_step() {
        host.bridge_user("reconcile").ok();
        // It may have been killed before it began.
        host.bridge_user("net disconnect n web").run();
        assert_eq!(there(&host), (vec![], false, 0), "step {}", killer.step());
        host.bridge_user(command).ok();
    }
    assert_none(&host);
}
