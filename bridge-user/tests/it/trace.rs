//! What comes too fast for `trace` is lost, and counted to the event.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bridge_common::DropReason;
use bridge_ebpf::testing::raw;
use bridge_user::kernel::bpf::{Events, Lease};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::host::{Endpoint, Host, mac, number, wait_until};
use crate::program::Runner;

/// Type of frames for experiments (IEEE 802-2014, 9.2.4).
const EXPERIMENT: u16 = 0x88b5;

/// A MAC address of nobody's.
const NOBODY: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

/// A network without IPv6, where nobody says anything by himself, with endpoints in `a` and `b`; and
/// a frame that `a` may not send.
fn stage(host: &Host) -> (Endpoint, Vec<u8>) {
    host.create("n");
    let (a, b) = (host.join("n", "a"), host.join("n", "b"));
    (a, raw(mac(&b.mac), NOBODY, EXPERIMENT, b"lost"))
}

/// Frames of a port's that were dropped for their source, by the map.
fn dropped(host: &Host, endpoint: &Endpoint) -> u64 {
    host.stats(&endpoint.host_leg).drops[DropReason::SpoofedMac as usize]
}

/// Events that a trace told, and those that it told were lost.
fn count(told: &str) -> (u64, u64) {
    let (mut delivered, mut lost) = (0, 0);
    for line in told.lines() {
        let event: Value = serde_json::from_str(line).expect("a line is an object");
        match event.get("Lost") {
            Some(count) => lost += number(count),
            None => delivered += 1,
        }
    }
    (delivered, lost)
}

#[test]
fn what_a_reader_missed_that_takes_nothing_for_long_is_told() {
    let host = Host::new();
    let (a, frame) = stage(&host);
    let wire = host.wire(&a);
    let before = dropped(&host, &a);
    let trace = host.trace("--drops");
    // The pipe has room for less than the ring buffer, and nobody reads it meanwhile.
    let sent = 5000;
    let burst = |frames: u64| {
        for _ in 0..frames / 50 {
            (0..50).for_each(|_| wire.send(&frame));
            thread::sleep(Duration::from_millis(1));
        }
    };
    burst(sent / 2);
    thread::sleep(Duration::from_secs(7));
    burst(sent / 2);
    wait_until("every frame is dropped", || {
        dropped(&host, &a) == before + sent
    });
    let (delivered, lost) = count(&trace.stop());
    assert!(
        lost > 0 && delivered > 2000,
        "{delivered} told, {lost} lost"
    );
    assert_eq!(delivered + lost, sent);
}

#[test]
fn what_a_slow_reader_missed_is_told() {
    let host = Host::new();
    let (a, frame) = stage(&host);
    let wire = host.wire(&a);
    let before = dropped(&host, &a);
    let trace = host.trace("--drops");
    // The reader sleeps; the ring buffer has room for 2520 events.
    trace.signal(Signal::SIGSTOP);
    let sent = 5000;
    for _ in 0..sent / 50 {
        (0..50).for_each(|_| wire.send(&frame));
        thread::sleep(Duration::from_millis(1));
    }
    wait_until("every frame is dropped", || {
        dropped(&host, &a) == before + sent
    });
    trace.signal(Signal::SIGCONT);
    let (delivered, lost) = count(&trace.stop());
    assert!(
        lost > 0 && delivered > 2000,
        "{delivered} told, {lost} lost"
    );
    assert_eq!(delivered + lost, sent);
}

#[test]
fn no_lost_event_goes_uncounted_while_the_reader_renews() {
    let host = Host::new();
    let (a, frame) = stage(&host);
    let ifindex = host.ifindex(&a.host_leg);
    host.call("ip -n a link set eth0 down").ok();
    let before = dropped(&host, &a);
    let sent = 200_000;
    let ended = AtomicBool::new(false);
    let (delivered, lost) = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            host.inside(|| {
                let mut events = Events::open().expect("the maps are pinned");
                let mut lease = Lease::open().expect("the maps are pinned");
                let lost = events.lost().expect("it is readable");
                let (mut delivered, mut renewals) = (0, 0);
                loop {
                    let is_over = ended.load(Ordering::Acquire);
                    lease.want(Duration::from_secs(5)).expect("it is writable");
                    renewals += 1;
                    // It begins when some are lost, however fast it is.
                    let begun = events.lost().expect("it is readable") > lost;
                    if is_over || (begun && renewals % 64 == 0) {
                        while events.next_frame().is_some() {
                            delivered += 1;
                        }
                    }
                    if is_over {
                        break;
                    }
                }
                lease.want(Duration::ZERO).expect("it is writable");
                (delivered, events.lost().expect("it is readable") - lost)
            })
        });
        wait_until("the program is asked for events", || host.is_traced());
        host.inside(|| {
            let runner = Runner::open();
            for _ in 0..sent {
                runner.run(ifindex, 0, &frame).expect("it runs");
            }
        });
        ended.store(true, Ordering::Release);
        reader.join().expect("it ended well")
    });
    assert_eq!(dropped(&host, &a) - before, sent);
    assert!(lost > 0 && delivered > 0, "{delivered} told, {lost} lost");
    assert_eq!(delivered + lost, sent);
}
