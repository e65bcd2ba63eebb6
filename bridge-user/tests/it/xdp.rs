//! The XDP datapath: the same decisions, native on the host legs.

use std::fs::File;
use std::net::{IpAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use aya::TestRunOptions;
use aya::programs::xdp::XdpMode;
use aya::programs::{TestRun as _, Xdp};
use aya_obj::programs::XdpAttachType;
use bridge_common::{DropReason, NO_SLOT};
use bridge_ebpf::Verdict;
use bridge_ebpf::testing::{Row, World, raw, rows};
use nix::sched::{CloneFlags, setns};
use serde_json::Value;

use crate::host::{Endpoint, Host, PINS, mac, text, wait_until};
use crate::program::{host_of_rows, left};

/// Return codes of XDP programs (`enum xdp_action`, `include/uapi/linux/bpf.h`, v6.18).
const DROP: u32 = 1;
const PASS: u32 = 2;
const REDIRECT: u32 = 4;

/// `data_end` and `ingress_ifindex` in `struct xdp_md` (`include/uapi/linux/bpf.h`, v6.18).
const DATA_END_OFFSET: usize = 4;
const IFINDEX_OFFSET: usize = 12;
const CONTEXT_BYTES: usize = 24;

/// A dual-stack network with endpoints in `a` and `b`.
fn pair(host: &Host, options: &str) -> (Endpoint, Endpoint) {
    host.create(&format!("--ipv6 --datapath xdp {options} n"));
    (host.join("n", "a"), host.join("n", "b"))
}

/// Number of the XDP program that a link runs natively, as ip(8) tells.
fn xdp_program(host: &Host, link: &str) -> Option<u64> {
    let link = host.link(None, link)?;
    let program = &link["xdp"];
    // XDP_ATTACHED_DRV.
    (program["mode"] == 1).then(|| program["prog"]["id"].as_u64())?
}

fn open() -> Xdp {
    let path = format!("{PINS}/programs/port_ingress_xdp");
    Xdp::from_pin(path, XdpAttachType::Interface).expect("the program is pinned")
}

fn run(program: &Xdp, ifindex: u32, frame: &[u8]) -> (u32, Vec<u8>) {
    let mut context = [0; CONTEXT_BYTES];
    let length = u32::try_from(frame.len()).expect("frames are short");
    context[DATA_END_OFFSET..][..4].copy_from_slice(&length.to_ne_bytes());
    context[IFINDEX_OFFSET..][..4].copy_from_slice(&ifindex.to_ne_bytes());
    // Room for an answer that is longer than its request.
    let mut out = vec![0; frame.len() + 64];
    let options = TestRunOptions {
        data_in: Some(frame),
        data_out: Some(&mut out),
        ctx_in: Some(&context),
        ..TestRunOptions::default()
    };
    let result = program.test_run(options).expect("the kernel runs it");
    out.truncate(result.data_size_out as usize);
    (result.return_value, out)
}

#[test]
fn every_row_comes_out_of_the_program_as_it_says() {
    let (host, world) = host_of_rows();
    host.call("ip link add nobody type veth peer name nobodys")
        .ok();
    let nobody = host.ifindex("nobody");
    host.call("ip link set nobody up").ok();
    let mut links = vec![nobody];
    for index in world.ports.keys() {
        host.call(&format!("ip link set t{index} up")).ok();
        links.push(*index);
    }
    host.inside(|| {
        let mut program = open();
        for link in links {
            // TEST_RUN takes only links that are ready to receive by XDP.
            let attached = program.attach_to_if_index(link, XdpMode::Driver);
            attached.expect("veth has native XDP");
        }
        for row in rows() {
            let ifindex = match row.from {
                NO_SLOT => nobody,
                slot => World::ifindex(slot),
            };
            let (code, frame) = run(&program, ifindex, &row.frame);
            assert_eq!(code, code_of(&row), "{}", row.name);
            let expected = if code == PASS {
                row.frame.clone()
            } else {
                left(&row)
            };
            assert_eq!(frame, expected, "{}: the frame afterwards", row.name);
        }
    });
}

fn code_of(row: &Row) -> u32 {
    match row.verdict {
        Verdict::Drop(_) => DROP,
        // What it does not end is the TC program's.
        Verdict::Next | Verdict::Host { .. } | Verdict::Route { .. } => PASS,
        Verdict::Redirect { .. } | Verdict::Answer(_) => REDIRECT,
    }
}

#[test]
fn every_protocol_takes_the_fast_path() {
    let host = Host::new();
    let (a, b) = pair(&host, "");
    assert_eq!(host.inspect("n")["BridgeUser"]["Attached"], "xdp");
    assert_eq!(
        xdp_program(&host, &a.host_leg),
        xdp_program(&host, &b.host_leg)
    );
    assert!(xdp_program(&host, &a.host_leg).is_some());
    for address in b.addresses() {
        host.assert_pings("a", &address);
        host.transfer(&a, &b, &address, 1).assert_fast();
        assert_udp_arrives(&host, &address);
    }
    host.assert_pings("a", "b");
    let gateway = &host.inspect("n")["IPAM"]["Config"][0]["Gateway"];
    host.assert_pings("a", &text(gateway));
    assert!(host.host_pings(&a.ipv4) && host.host_pings(&a.ipv6));
}

/// Sends datagrams of many sizes, fragmented ones too, from `a`, and takes them at `b`.
fn assert_udp_arrives(host: &Host, address: &str) {
    let unspecified = if address.contains(':') {
        "::"
    } else {
        "0.0.0.0"
    };
    let [sender, receiver] = ["a", "b"].map(|name| udp_socket(host, name, unspecified));
    let port = receiver.local_addr().expect("it is bound").port();
    let target: IpAddr = address.parse().expect("an address");
    let mut buffer = vec![0; 65_536];
    for size in [1_u32, 17, 64, 1000, 1472, 1473, 9000, 30_001] {
        let data: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        sender.send_to(&data, (target, port)).expect("it is sent");
        let arrived = receiver.recv(&mut buffer);
        let length = arrived.unwrap_or_else(|e| panic!("{size} bytes to {address}: {e}"));
        assert_eq!(buffer[..length], data, "{size} bytes to {address}");
    }
}

/// A socket in a sandbox.
fn udp_socket(host: &Host, netns: &str, address: &str) -> UdpSocket {
    let socket = host.inside(|| {
        let namespace = File::open(format!("/run/netns/{netns}"))?;
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        Ok::<_, std::io::Error>(socket)
    });
    socket.expect("the sandbox has sockets")
}

#[test]
fn large_frames_fit() {
    let host = Host::new();
    let (a, b) = pair(&host, "-o com.docker.network.driver.mtu=9000");
    host.exec("a", "ping -n -q -M do -s 8972 -c 1 -W 2")
        .arg(&b.ipv4)
        .ok();
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
}

#[test]
fn what_is_refused_is_refused_before_the_bridge() {
    let host = Host::new();
    let (a, b) = pair(&host, "");
    let reason = DropReason::SpoofedMac as usize;
    host.call("ip -n a link set eth0 address 02:00:00:00:00:99")
        .ok();
    let before = host.stats(&a.host_leg).drops[reason];
    assert!(!host.ping_quickly("a", &b.ipv4));
    assert!(host.stats(&a.host_leg).drops[reason] > before);
}

/// Type of frames for experiments (IEEE 802-2014, 9.2.4).
const EXPERIMENT: u16 = 0x88b5;

#[test]
fn the_storm_limit_is_kept_behind_xdp_and_counts_once() {
    for datapath in ["xdp", "tc"] {
        let host = Host::new();
        // Without IPv6, whose kernel would send multicast of its own.
        let limit = "-o bridge-user.storm_pps=100";
        host.create(&format!("--datapath {datapath} {limit} n"));
        let [a, b] = ["a", "b"].map(|name| host.join("n", name));
        let (wire, seen) = (host.wire(&a), host.wire(&b));
        let frame = raw([0xff; 6], mac(&a.mac), EXPERIMENT, b"storm");
        let before = host.stats(&a.host_leg);
        seen.arrived();
        let sent = 1000;
        for burst in 0..sent / 50 {
            (0..50).for_each(|_| wire.send(&frame));
            // A veth ring has 256 places (`VETH_RING_SIZE`, drivers/net/veth.c, v6.18).
            thread::sleep(Duration::from_millis(1 + burst % 2));
        }
        let mut after = host.stats(&a.host_leg);
        wait_until("every frame is counted", || {
            after = host.stats(&a.host_leg);
            let dropped = after.drops[DropReason::Storm as usize];
            after.slow_packets - before.slow_packets + dropped >= sent
        });
        let arrivals = seen.arrived();
        let arrivals = arrivals.iter().filter(|arrival| arrival.frame == frame);
        let arrived = arrivals.count() as u64;
        let mut wanted = before;
        wanted.slow_packets += arrived;
        wanted.slow_bytes += arrived * frame.len() as u64;
        wanted.drops[DropReason::Storm as usize] += sent - arrived;
        assert_eq!(after, wanted, "{datapath}: {arrived} of {sent} arrived");
        assert!(
            (50..500).contains(&arrived),
            "{datapath}: {arrived} arrived"
        );
    }
}

#[test]
fn the_xdp_program_passes_broadcast_on_and_neither_limits_nor_counts_it() {
    let host = Host::new();
    let (a, _) = pair(&host, "");
    let ifindex = host.ifindex(&a.host_leg);
    host.call("ip -n a link set eth0 down").ok();
    let frame = raw([0xff; 6], mac(&a.mac), EXPERIMENT, b"storm");
    let before = host.stats(&a.host_leg);
    host.inside(|| {
        let program = open();
        for _ in 0..3000 {
            assert_eq!(run(&program, ifindex, &frame).0, PASS);
        }
    });
    assert_eq!(host.stats(&a.host_leg), before);
}

#[test]
fn the_container_leg_finishes_its_frames() {
    let host = Host::new();
    pair(&host, "");
    let features = || host.exec("a", "ethtool --json -k eth0").json()[0].clone();
    let wanted = [
        ("generic-receive-offload", true),
        ("tx-checksum-ip-generic", false),
        ("tx-checksum-sctp", false),
        ("tx-vlan-offload", false),
        ("tx-vlan-stag-hw-insert", false),
    ];
    let assert_right = |features: &Value| {
        for (name, on) in wanted {
            assert_eq!(features[name]["active"], on, "{name}: {features}");
        }
    };
    assert_right(&features());
    host.exec("a", "ethtool -K eth0 gro off tx on").ok();
    host.bridge_user("reconcile").ok();
    assert_right(&features());
}

#[test]
fn a_lost_program_comes_back() {
    let host = Host::new();
    let (a, b) = pair(&host, "");
    let whole = host.link_pins();
    assert_eq!(whole.len(), 4);
    let pin = whole
        .iter()
        .find(|pin| pin.ends_with("-xdp"))
        .expect("a pin");
    host.call(&format!("rm {pin}")).ok();
    // Any command sees it.
    host.bridge_user("net ls").ok();
    assert_eq!(host.link_pins(), whole);
    host.call(&format!("ip link del {}", a.host_leg)).ok();
    host.bridge_user("reconcile").ok();
    for leg in [&a.host_leg, &b.host_leg] {
        assert!(xdp_program(&host, leg).is_some(), "{leg}");
    }
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
}

#[test]
fn another_build_puts_its_program_in_place() {
    let host = Host::new();
    let (a, b) = pair(&host, "");
    let old = xdp_program(&host, &a.host_leg);
    host.change_meta(|meta| meta.object_hash += 1);
    host.join("n", "c");
    let new = xdp_program(&host, &a.host_leg);
    assert!(new.is_some() && new != old, "{old:?} -> {new:?}");
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
}
