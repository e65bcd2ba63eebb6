//! `explain`: the frame that it makes is the one that the sandbox's kernel sends, what it shows is
//! what the maps have, and what stays in a sandbox is refused.

use std::net::IpAddr;

use serde_json::Value;

use crate::host::{Endpoint, Host, PINS, Tap, array, mac, number, text, wait_until};

/// A dual-stack network with endpoints in `a` and `b`.
fn pair(host: &Host) -> (Endpoint, Endpoint) {
    host.create("--ipv6 --subnet 10.77.0.0/24 --subnet fd77::/64 n");
    (host.join("n", "a"), host.join("n", "b"))
}

#[track_caller]
fn explain(host: &Host, words: &str) -> Value {
    let command = format!("explain --format json {words}");
    host.bridge_user(&command).json()
}

/// The link-local address that a link has in a namespace, by `ip`.
fn link_local(host: &Host, netns: Option<&str>, link: &str) -> String {
    let netns = netns.map(|name| format!("-n {name}")).unwrap_or_default();
    let show = format!("ip {netns} -j -6 addr show dev {link}");
    let mut found = None;
    wait_until("there is a link-local address", || {
        let shown = host.call(&show).json();
        let mut infos = array(&shown)
            .iter()
            .flat_map(|link| array(&link["addr_info"]));
        found = infos
            .find(|info| info["scope"] == "link")
            .map(|info| text(&info["local"]));
        found.is_some()
    });
    found.expect("it was waited for")
}

/// Where in a frame of an address's family the destination address is, and where in an ARP request
/// or a neighbour solicitation the one that is asked for.
fn places(address: IpAddr) -> (usize, usize) {
    if address.is_ipv6() {
        (38, 62)
    } else {
        (30, 38)
    }
}

fn is_at(frame: &[u8], at: usize, address: IpAddr) -> bool {
    let rest = frame.get(at..).unwrap_or_default();
    match address {
        IpAddr::V4(v4) => rest.starts_with(&v4.octets()),
        IpAddr::V6(v6) => rest.starts_with(&v6.octets()),
    }
}

/// The source address in a frame that [`is_at`] knows.
fn source_of(frame: &[u8], is_request: bool) -> IpAddr {
    let four = |at: usize| <[u8; 4]>::try_from(&frame[at..at + 4]).expect("four");
    match frame[12..14] {
        [0x86, 0xdd] => <[u8; 16]>::try_from(&frame[22..38])
            .expect("sixteen")
            .into(),
        _ if is_request => four(28).into(),
        _ => four(26).into(),
    }
}

/// Has `a` send to an address, and gives the frame for it, or the request if that is meant, as it
/// came to the host leg.
fn sent(host: &Host, a: &Endpoint, tap: &Tap, to: &str, is_request: bool) -> Vec<u8> {
    let address: IpAddr = to.parse().expect("an address");
    let broadcast = if address.is_ipv6() { "" } else { "-b" };
    tap.arrived();
    let ping = format!("ping -n -q -c 1 -W 1 {broadcast} -I {} {to}", a.interface);
    host.exec(&a.sandbox, &ping).run();
    let (destination, asked) = places(address);
    let at = if is_request { asked } else { destination };
    let frames = tap.arrived().into_iter().map(|arrival| arrival.frame);
    let mut frames: Vec<_> = frames.collect();
    let found = frames.iter().position(|frame| is_at(frame, at, address));
    let found = found.unwrap_or_else(|| panic!("a sent nothing for {to}: {frames:02x?}"));
    frames.swap_remove(found)
}

#[test]
fn the_frame_is_what_the_kernel_sends() {
    let host = Host::new();
    let (a, b) = pair(&host);
    let tap = host.tap(&a.host_leg);
    let bridge = host.bridge_of("n");
    let near = [
        link_local(&host, Some("b"), &b.interface),
        link_local(&host, None, &bridge),
    ];
    let cases = [
        (b.ipv4.as_str(), false),
        (&b.ipv6, false),
        ("10.77.0.1", false),
        ("192.0.2.1", false),
        ("255.255.255.255", false),
        ("10.77.0.255", false),
        // The first address of a subnet is nobody's, but one like others since Linux 5.14.
        ("10.77.0.0", true),
        ("10.77.0.77", true),
        ("224.0.0.1", false),
        ("239.129.2.3", false),
        ("fd77::77", true),
        ("ff02::1", false),
        ("ff05::1:3", false),
        (&near[0], false),
        (&near[1], false),
        ("fe80::77", true),
    ];
    for (to, is_request) in cases {
        let view = explain(&host, &format!("a {to} --proto icmp"));
        let frame = sent(&host, &a, &tap, to, is_request);
        let told = &view["Frame"];
        let macs = ["DestinationMac", "SourceMac"].map(|key| mac(&text(&told[key])));
        assert_eq!(macs.as_flattened(), &frame[..12], "{to}: {view}");
        let source: IpAddr = text(&told["Source"]).parse().expect("an address");
        assert_eq!(source, source_of(&frame, is_request), "{to}: {view}");
        let description = text(&told["Description"]);
        assert_eq!(
            description.contains("request, for") || description.contains("solicitation"),
            is_request,
            "{view}"
        );
        assert_eq!(view["Differs"], Value::Null, "{view}");
    }
}

#[test]
fn roads_of_odd_destinations_are_those_of_real_frames() {
    let host = Host::new();
    let (a, b) = pair(&host);
    let near = link_local(&host, Some("b"), &b.interface);
    for (to, road) in [
        ("255.255.255.255", "slow"),
        ("10.77.0.255", "slow"),
        ("224.0.0.1", "slow"),
        (near.as_str(), "fast"),
    ] {
        let view = explain(&host, &format!("a {to} --proto icmp"));
        assert_eq!(view["Road"], road, "{view}");
        let count = || {
            let stats = host.stats(&a.host_leg);
            if road == "fast" {
                stats.fast_packets
            } else {
                stats.slow_packets
            }
        };
        let before = count();
        let broadcast = if to.contains(':') { "" } else { "-b" };
        let ping = format!(
            "ping -n -q -c 5 -i 0.01 -W 1 {broadcast} -I {} {to}",
            a.interface
        );
        host.exec("a", &ping).run();
        assert!(count() >= before + 5, "{to}");
    }
}

/// Whether a frame is an echo request, or begins a TCP connection.
fn is_of_ours(frame: &[u8]) -> bool {
    match frame[12..14] {
        [0x08, 0x00] => (frame[23] == 1 && frame[34] == 8) || frame[23] == 6,
        [0x86, 0xdd] => (frame[20] == 58 && frame[54] == 128) || frame[20] == 6,
        _ => false,
    }
}

#[test]
fn what_stays_in_the_sandbox_is_refused() {
    let host = Host::new();
    let (a, _) = pair(&host);
    host.create("m");
    let second = host.connect("m a");
    let tap = host.tap(&a.host_leg);
    let own = link_local(&host, Some("a"), &a.interface);
    for to in ["0.0.0.0", "127.0.0.1", "127.8.9.10", "::", "::1", "ff01::1"]
        .into_iter()
        .chain([&a.ipv4, &a.ipv6, &own, &second.ipv4].map(String::as_str))
    {
        let said = format!("nothing for {to} leaves sandbox a");
        let explain = format!("explain a {to} --proto udp");
        host.bridge_user(&explain)
            .fails_with(1, &[&said, "hint: give"]);
        host.exec("a", &format!("ping -n -q -c 1 -W 1 {to}")).run();
    }
    for to in ["224.0.0.1", "255.255.255.255", "10.77.0.255", "ff02::1"] {
        let refused = host.bridge_user(&format!("explain a {to}"));
        refused.fails_with(1, &[&format!("no TCP goes to {to}"), "hint: --proto udp"]);
        let tried = host.exec("a", &format!("iperf3 -c {to} -t 1")).run();
        assert!(tried.stderr.contains("unreachable"), "{tried}");
    }
    let frames = tap.arrived().into_iter().map(|arrival| arrival.frame);
    let left: Vec<_> = frames.filter(|frame| is_of_ours(frame)).collect();
    assert!(left.is_empty(), "{left:02x?}");
    host.bridge_user("explain a a")
        .fails_with(1, &["own address", "hint:"]);
}

#[test]
fn a_network_that_is_not_there_or_not_the_senders_is_named() {
    let host = Host::new();
    pair(&host);
    host.create("m");
    host.join("m", "c");
    host.bridge_user("explain a b --network nosuch")
        .fails_with(1, &["network nosuch not found", "hint:"]);
    host.bridge_user("explain a b --network m")
        .fails_with(1, &["a is not connected to network m", "hint:"]);
    host.bridge_user("explain c fe80::1")
        .fails_with(1, &["endpoint c has no IPv6 address", "hint:"]);
    assert_eq!(explain(&host, "a b --network n")["Road"], "fast");
    assert_eq!(explain(&host, "a ::ffff:192.0.2.1")["To"], "192.0.2.1");
}

/// The maps that an explanation says were asked, with keys.
fn entries(view: &Value) -> Vec<(String, String)> {
    let entries = array(&view["Entries"]).iter();
    entries
        .map(|entry| (text(&entry["Map"]), text(&entry["Key"])))
        .collect()
}

#[test]
fn entries_are_those_that_the_program_reads() {
    let host = Host::new();
    let (a, b) = pair(&host);
    let slot = |endpoint: &Endpoint| host.port(&endpoint.host_leg).expect("it is a port").slot;
    let (a_slot, b_slot) = (slot(&a), slot(&b));
    let entry = |map: &str, key: String| (map.to_owned(), key);
    let of = |slot: u16| entry("ENDPOINTS", format!("slot {slot}"));
    assert_eq!(entries(&explain(&host, "a b")), [of(a_slot), of(b_slot)]);
    let outside = entry("SUBNETS", "192.0.2.1".into());
    assert_eq!(
        entries(&explain(&host, "a 192.0.2.1")),
        [of(a_slot), outside]
    );
    let asked = entry("NEIGHBOURS", "network 1, 10.77.0.77".into());
    assert_eq!(
        entries(&explain(&host, "a 10.77.0.77")),
        [of(a_slot), asked]
    );
    // A chosen MAC address names a slot that is nobody's; the hint in the map leads on.
    host.netns("c");
    let c = host.connect("--mac-address 02:00:00:aa:bb:cc n c");
    let told = explain(&host, "a c");
    let hints = host.dump("HINTS").into_iter();
    let is_said = |entry: &&Value| number(&entry["formatted"]["value"]["slots"]) != 0;
    let bucket = hints.as_slice().iter().find(is_said).expect("c has a hint");
    let bucket = number(&bucket["formatted"]["key"]);
    let hint = entry("HINTS", format!("bucket {bucket}"));
    assert_eq!(entries(&told), [of(a_slot), of(0xbbcc), hint, of(slot(&c))]);
    assert_eq!(told["Road"], "fast");
}

#[test]
fn a_program_that_decides_otherwise_is_told_of() {
    let host = Host::new();
    pair(&host);
    // What the program has is not what the pin is.
    let pin = format!("{PINS}/maps/ENDPOINTS");
    host.call(&format!("rm {pin}")).ok();
    host.call(&format!(
        "bpftool map create {pin} type array key 4 value 64 entries 16384 name ENDPOINTS"
    ))
    .ok();
    let view = explain(&host, "a b");
    assert_eq!(
        (&view["Road"], &view["Check"]),
        (&"fast".into(), &"fdb".into())
    );
    assert_eq!(view["Differs"], "no_port by port", "{view}");
    let table = host.bridge_user("explain a b").ok();
    assert!(
        table.contains("the pinned program decides by fdb"),
        "{table}"
    );
}
