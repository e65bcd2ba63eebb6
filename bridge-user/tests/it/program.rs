//! The pinned program, run on made frames by the kernel's `BPF_PROG_TEST_RUN`.

use aya::TestRunOptions;
use aya::programs::{SchedClassifier, TestRun as _};
use bridge_common::{DropReason, NO_SLOT};

use crate::host::{Host, PINS, text};

/// Return codes of classifiers (`include/uapi/linux/pkt_cls.h`, `bpf.h`, v6.18).
const NEXT: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;

/// `ifindex` in `struct __sk_buff` (`include/uapi/linux/bpf.h`, v6.18).
const IFINDEX_OFFSET: usize = 40;

/// Index of the loopback link of every namespace: never a port of ours.
const LOOPBACK: u32 = 1;

/// Runs the program on a frame that comes in on a link; gives its verdict and the frame as the
/// program left it.
fn run(host: &Host, ifindex: u32, frame: &[u8]) -> (i32, Vec<u8>) {
    host.inside(|| {
        let program = SchedClassifier::from_pin(format!("{PINS}/programs/port_ingress"));
        let program = program.expect("the program is pinned");
        let mut context = [0; IFINDEX_OFFSET + 4];
        context[IFINDEX_OFFSET..].copy_from_slice(&ifindex.to_ne_bytes());
        let mut out = vec![0; frame.len()];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        };
        let result = program
            .test_run(options)
            .expect("the kernel runs the program");
        (result.return_value.cast_signed(), out)
    })
}

/// An Ethernet frame of a type for experiments (IEEE 802-2014, 9.2.4): TEST_RUN itself looks into
/// IP packets and refuses short ones.
fn frame(destination: &str, source: &str, length: usize) -> Vec<u8> {
    let mac = |text: &str| -> Vec<u8> {
        let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16));
        bytes
            .collect::<Result<_, _>>()
            .expect("a MAC address is six bytes")
    };
    let mut frame = [mac(destination), mac(source), vec![0x88, 0xb5]].concat();
    frame.resize(length, 0x5a);
    frame
}

#[test]
fn verdicts() {
    let host = Host::new();
    host.create("n");
    host.create("other");
    host.create("-o com.docker.network.bridge.enable_icc=false apart");
    host.create("--datapath off off");
    let [a, b] = ["a", "b"].map(|name| host.join("n", name));
    let c = host.join("other", "c");
    let apart = ["d", "e"].map(|name| host.join("apart", name));
    let off = ["f", "g"].map(|name| host.join("off", name));
    let gateway = text(&host.link(None, &host.bridge_of("n")).expect("it exists")["address"]);
    let [from_a, from_apart, from_off] =
        [&a, &apart[0], &off[0]].map(|e| host.ifindex(&e.host_leg));
    let cases = [
        (
            "an endpoint of the network",
            from_a,
            b.mac.as_str(),
            REDIRECT,
        ),
        ("the port that sent", from_a, &a.mac, NEXT),
        ("an endpoint of another network", from_a, &c.mac, NEXT),
        ("the gateway", from_a, &gateway, NEXT),
        ("nobody", from_a, "02:00:00:00:99:99", NEXT),
        ("everybody", from_a, "ff:ff:ff:ff:ff:ff", NEXT),
        ("an IPv4 group", from_a, "01:00:5e:00:00:01", NEXT),
        ("an IPv6 group", from_a, "33:33:00:00:00:01", NEXT),
        (
            "the other endpoint, ICC off",
            from_apart,
            &apart[1].mac,
            NEXT,
        ),
        (
            "the other endpoint, datapath off",
            from_off,
            &off[1].mac,
            NEXT,
        ),
        ("an endpoint, from no port", LOOPBACK, &b.mac, DROP),
        (
            "everybody, from no port",
            LOOPBACK,
            "ff:ff:ff:ff:ff:ff",
            DROP,
        ),
    ];
    for (name, ifindex, destination, verdict) in cases {
        // TEST_RUN takes no bare header.
        for length in [15, 60, 1514] {
            let sent = frame(destination, &a.mac, length);
            let (returned, left) = run(&host, ifindex, &sent);
            assert_eq!(returned, verdict, "to {name}, {length} bytes");
            assert_eq!(left, sent, "to {name}: the frame was changed");
        }
    }
    host.bridge_user("net disconnect n b").ok();
    assert_eq!(
        run(&host, from_a, &frame(&b.mac, &a.mac, 60)).0,
        NEXT,
        "b is not there any more"
    );
}

#[test]
fn every_verdict_is_counted_once() {
    let host = Host::new();
    host.create("n");
    let [a, b] = ["a", "b"].map(|name| host.join("n", name));
    let ifindex = host.ifindex(&a.host_leg);
    // Nothing but these frames: the leg says nothing of its own any more.
    host.call("ip -n a link set eth0 down").ok();
    let before = host.stats(&a.host_leg);
    run(&host, ifindex, &frame(&b.mac, &a.mac, 1000));
    let fast = host.stats(&a.host_leg);
    assert_eq!(fast.fast_packets - before.fast_packets, 1);
    assert_eq!(fast.fast_bytes - before.fast_bytes, 1000);
    assert_eq!(fast.slow_packets, before.slow_packets);
    run(&host, ifindex, &frame("ff:ff:ff:ff:ff:ff", &a.mac, 100));
    let slow = host.stats(&a.host_leg);
    assert_eq!(
        (slow.fast_packets, slow.fast_bytes),
        (fast.fast_packets, fast.fast_bytes)
    );
    assert_eq!(slow.slow_packets - fast.slow_packets, 1);
    assert_eq!(slow.slow_bytes - fast.slow_bytes, 100);
    let of_nobody = host.slot_stats(NO_SLOT).drops[DropReason::NoPort as usize];
    run(&host, LOOPBACK, &frame(&b.mac, &a.mac, 60));
    assert_eq!(
        host.slot_stats(NO_SLOT).drops[DropReason::NoPort as usize] - of_nobody,
        1
    );
    assert_eq!(host.stats(&a.host_leg), slow);
}
