//! One endpoint plays another, the gateway, a router or a DHCP server, by raw frames: where ports
//! are secured nothing of it arrives, and where they are not everything does.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bridge_common::DropReason;
use bridge_ebpf::testing::{dhcp, ipv4, ipv6, neighbour, raw, udp4};
use serde_json::Value;

use crate::host::{Endpoint, Host, Wire, array, link_local, mac, number, text, wait_until};

/// Types of frames for experiments (IEEE 802-2014, 9.2.4): attacks, and the end of them.
const EXPERIMENT: u16 = 0x88b5;
const END: u16 = 0x88b6;

const ALL: [u8; 6] = [0xff; 6];
const NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// Next headers (IANA).
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Who is there: the attacker, the one that it plays, and the victim; and the host, by its bridge.
struct Stage {
    host: Host,
    attacker: Endpoint,
    played: Endpoint,
    victim: Endpoint,
    bridge: String,
    gateway_mac: [u8; 6],
    wire: Wire,
    seen: Wire,
}

/// A frame of the attacker's, and what it is refused for.
struct Attack {
    name: &'static str,
    reason: DropReason,
    frame: Vec<u8>,
}

/// A neighbour entry that an attack is after: whose table, the address, and what is right.
struct Target {
    netns: Option<&'static str>,
    device: String,
    address: String,
    mac: String,
}

fn ip4(text: &str) -> [u8; 4] {
    text.parse::<Ipv4Addr>().expect("IPv4").octets()
}

fn ip6(text: &str) -> [u8; 16] {
    text.parse::<Ipv6Addr>().expect("IPv6").octets()
}

/// An ICMPv6 packet with a right checksum (RFC 4443, 2.3).
pub(crate) fn icmpv6(
    to: [u8; 6],
    from: [u8; 6],
    ends: ([u8; 16], [u8; 16]),
    message: &[u8],
) -> Vec<u8> {
    let mut message = message.to_vec();
    let length = u32::try_from(message.len()).expect("messages are short");
    let pseudo = [&ends.0[..], &ends.1, &message].concat();
    let words = pseudo
        .chunks(2)
        .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum = words.sum::<u32>() + length + u32::from(ICMPV6);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).expect("it is folded");
    message[2..4].copy_from_slice(&(!sum).to_be_bytes());
    ipv6(to, from, ends, ICMPV6, &message)
}

impl Attack {
    fn new(name: &'static str, reason: DropReason, frame: Vec<u8>) -> Self {
        Self {
            name,
            reason,
            frame,
        }
    }
}

impl Stage {
    /// A network made with these words, and an attacker joined to it with those.
    fn new(create: &str, connect: &str) -> Self {
        let host = Host::new();
        host.create(&format!(
            "--ipv6 --subnet 10.77.0.0/24 --subnet fd77::/64 {create} n"
        ));
        let [played, victim] = ["played", "victim"].map(|name| host.join("n", name));
        host.netns("attacker");
        let attacker = host.connect(&format!("{connect} n attacker"));
        let bridge = host.bridge_of("n");
        let link = host.link(None, &bridge).expect("the bridge is there");
        // A victim that believes what it hears: entries may change at once, routers are welcome.
        let leg = &victim.interface;
        host.exec("victim", "sysctl -qw")
            .arg(&format!("net.ipv6.conf.{leg}.accept_ra=2"))
            .arg(&format!("net.ipv4.neigh.{leg}.locktime=0"))
            .ok();
        host.call("sysctl -qw")
            .arg(&format!("net.ipv4.neigh.{bridge}.locktime=0"))
            .ok();
        let (wire, seen) = (host.wire(&attacker), host.wire(&victim));
        let gateway_mac = mac(&text(&link["address"]));
        Self {
            host,
            attacker,
            played,
            victim,
            bridge,
            gateway_mac,
            wire,
            seen,
        }
    }

    /// Everything that is tried.
    fn attacks(&self) -> Vec<Attack> {
        let mut attacks = Vec::from(self.plain());
        attacks.extend(self.arp());
        attacks.extend(self.icmpv6());
        attacks
    }

    /// Frames with another's address, and those of a DHCP server.
    fn plain(&self) -> [Attack; 7] {
        let (own, to) = (mac(&self.attacker.mac), mac(&self.victim.mac));
        let (played, victim) = (&self.played, &self.victim);
        let raw = raw(to, mac(&played.mac), EXPERIMENT, b"mac");
        let from4 = ipv4(to, own, ip4(&played.ipv4), ip4(&victim.ipv4));
        let ends = (ip6(&played.ipv6), ip6(&victim.ipv6));
        let from6 = ipv6(to, own, ends, UDP, &[0; 16]);
        let attacker4 = ip4(&self.attacker.ipv4);
        let offer = dhcp(own, attacker4, 67);
        // A client takes an offer from whatever port it comes.
        let disguised = udp4(to, own, (attacker4, 1067), (ip4(&victim.ipv4), 68), &[]);
        // What has no address speaks with all and with DHCP servers only.
        let nobody = udp4(to, own, ([0; 4], 68), (ip4(&victim.ipv4), 5000), &[]);
        // From port 547 to port 546: an ADVERTISE (RFC 8415, 7.3).
        let message = [2, 35, 2, 34, 0, 12, 0, 0, 2, 0, 0, 1];
        let ends = (ip6(&self.attacker.ipv6), ip6(&victim.ipv6));
        let advertise = ipv6(to, own, ends, UDP, &message);
        [
            Attack::new("MAC", DropReason::SpoofedMac, raw),
            Attack::new("IPv4", DropReason::SpoofedIp, from4),
            Attack::new("IPv6", DropReason::SpoofedIp, from6),
            Attack::new("DHCP offer", DropReason::RogueDhcp, offer),
            Attack::new("DHCP offer, other port", DropReason::RogueDhcp, disguised),
            Attack::new("no IPv4", DropReason::SpoofedIp, nobody),
            Attack::new("DHCPv6 advertisement", DropReason::RogueDhcp, advertise),
        ]
    }

    /// ARP replies that nobody asked for.
    fn arp(&self) -> [Attack; 4] {
        let (own, victim) = (mac(&self.attacker.mac), mac(&self.victim.mac));
        let gateway = [10, 77, 0, 1];
        let [played4, victim4] = [&self.played, &self.victim].map(|e| ip4(&e.ipv4));
        [
            ("ARP for a neighbour", victim, victim4, played4),
            ("ARP for the gateway", victim, victim4, gateway),
            ("gratuitous ARP", ALL, played4, played4),
            ("ARP to the gateway", self.gateway_mac, gateway, victim4),
        ]
        .map(|(name, to, target, claimed)| {
            let frame = raw(to, own, 0x0806, &arp_reply(own, claimed, target));
            Attack::new(name, DropReason::SpoofedArp, frame)
        })
    }

    /// Neighbour and router advertisements that nobody asked for.
    fn icmpv6(&self) -> [Attack; 4] {
        let (own, to) = (mac(&self.attacker.mac), mac(&self.victim.mac));
        let ends = (ip6(&self.attacker.ipv6), ip6(&self.victim.ipv6));
        let advertise = |name, target| {
            let mut message = neighbour(136, target, Some(own));
            // The override flag (RFC 4861, 4.4): believe this, not what you know.
            message[4] = 0x20;
            let frame = icmpv6(to, own, ends, &message);
            Attack::new(name, DropReason::SpoofedNd, frame)
        };
        // A router for half an hour (RFC 4861, 4.2).
        let router = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        let router = icmpv6(
            NODES_MAC,
            own,
            (link_local(own).octets(), NODES.octets()),
            &router,
        );
        let echo = [128, 0, 0, 0, 0, 0, 0, 0];
        let echo = icmpv6(to, own, ([0; 16], ends.1), &echo);
        [
            Attack::new("no IPv6", DropReason::SpoofedIp, echo),
            advertise("ND for a neighbour", ip6(&self.played.ipv6)),
            advertise("ND for the gateway", ip6("fd77::1")),
            Attack::new("router advertisement", DropReason::RogueRa, router),
        ]
    }

    /// The entries that the attacks are after.
    fn targets(&self) -> Vec<Target> {
        let gateway = text(&self.host.link(None, &self.bridge).expect("there")["address"]);
        let in_victim = |address: &str, mac: &str| Target {
            netns: Some("victim"),
            device: self.victim.interface.clone(),
            address: address.into(),
            mac: mac.into(),
        };
        vec![
            in_victim(&self.played.ipv4, &self.played.mac),
            in_victim(&self.played.ipv6, &self.played.mac),
            in_victim("10.77.0.1", &gateway),
            in_victim("fd77::1", &gateway),
            Target {
                netns: None,
                device: self.bridge.clone(),
                address: self.victim.ipv4.clone(),
                mac: self.victim.mac.clone(),
            },
        ]
    }

    /// Sends all attacks, and waits until the last of them would have arrived; gives the frames
    /// that the victim saw.
    fn attack(&self, attacks: &[Attack]) -> Vec<Vec<u8>> {
        for target in self.targets() {
            let netns = target.netns.map_or(String::new(), |n| format!("-n {n}"));
            let Target {
                device,
                address,
                mac,
                ..
            } = &target;
            // Known, and old: nothing is asked again while the attack runs.
            let words = format!("neigh replace {address} lladdr {mac} dev {device} nud stale");
            self.host.call(&format!("ip {netns} {words}")).ok();
        }
        // An entry stands for the tick of the clock that it was made in, whatever comes.
        std::thread::sleep(Duration::from_millis(20));
        self.seen.arrived();
        for attack in attacks {
            self.wire.send(&attack.frame);
        }
        let own = mac(&self.attacker.mac);
        self.wire.send(&raw(ALL, own, END, b"end"));
        let mut seen = Vec::new();
        wait_until("the end arrives", || {
            let arrived = self.seen.arrived().into_iter();
            seen.extend(arrived.map(|arrival| arrival.frame));
            seen.iter().any(|frame| frame[12..14] == END.to_be_bytes())
        });
        seen
    }

    /// Whether an entry is as it should be.
    fn is_right(&self, target: &Target) -> bool {
        let netns = target.netns.map_or(String::new(), |n| format!("-n {n}"));
        let Target {
            device, address, ..
        } = target;
        let shown = self
            .host
            .call(&format!("ip {netns} -j neigh show {address} dev {device}"))
            .json();
        let entries = array(&shown);
        assert_eq!(entries.len(), 1, "{address} was made known: {shown}");
        text(&entries[0]["lladdr"]) == target.mac
    }

    /// Default routes of the victim by IPv6, however they came.
    fn routers(&self) -> Vec<(String, String)> {
        self.host.default_routes("victim", true)
    }
}

/// A reply (RFC 826): `mac` has the address `claimed`.
fn arp_reply(mac: [u8; 6], claimed: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    [
        &[0, 1, 8, 0, 6, 4, 0, 2],
        &mac[..],
        &claimed,
        &[0; 6],
        &target,
    ]
    .concat()
}

/// A trace told of each attack, and of nothing else: whose it was, what for, and of which length.
fn assert_traced(stage: &Stage, attacks: &[Attack], told: &str) {
    let ifindex = stage.host.ifindex(&stage.attacker.host_leg);
    let mut events: Vec<(String, u64)> = Vec::new();
    for line in told.lines() {
        let event: Value = serde_json::from_str(line).expect("a line is an object");
        let whose = ["Endpoint", "Network", "Road"].map(|key| text(&event[key]));
        assert_eq!(whose, ["attacker", "n", "dropped"], "{event}");
        assert_eq!(number(&event["Ifindex"]), u64::from(ifindex), "{event}");
        events.push((text(&event["Reason"]), number(&event["Length"])));
    }
    let wanted = attacks
        .iter()
        .map(|attack| (attack.reason.name().to_owned(), attack.frame.len() as u64));
    let mut wanted: Vec<_> = wanted.collect();
    events.sort();
    wanted.sort();
    assert_eq!(events, wanted, "{told}");
}

/// All attacks go through: the test of the tests.
fn assert_goes_through(stage: &Stage) {
    let attacks = stage.attacks();
    let before = stage.host.stats(&stage.attacker.host_leg).drops;
    let routers = stage.routers().len();
    let seen = stage.attack(&attacks);
    for attack in &attacks {
        // What is for the gateway only is seen in its table.
        let to_victim = attack.frame[..6] != stage.gateway_mac;
        let arrived = seen.contains(&attack.frame);
        assert_eq!(arrived, to_victim, "{}", attack.name);
    }
    for target in stage.targets() {
        let address = target.address.clone();
        wait_until(&format!("{address} is poisoned"), || {
            !stage.is_right(&target)
        });
    }
    wait_until("the rogue router is believed", || {
        stage.routers().len() == routers + 1
    });
    let after = stage.host.stats(&stage.attacker.host_leg).drops;
    assert_eq!(after, before, "nothing is refused");
}

#[test]
fn secured_ports_let_no_attack_through_and_count_each() {
    for datapath in ["tc", "off", "xdp"] {
        let stage = Stage::new(&format!("--datapath {datapath}"), "");
        let attacks = stage.attacks();
        let leg = &stage.attacker.host_leg;
        let addresses = stage
            .host
            .addresses(Some("victim"), &stage.victim.interface);
        let (routers, before) = (stage.routers(), stage.host.stats(leg).drops);
        let trace = stage.host.trace("--drops");
        let seen = stage.attack(&attacks);
        assert_traced(&stage, &attacks, &trace.stop());
        for attack in &attacks {
            assert!(!seen.contains(&attack.frame), "{} arrived", attack.name);
        }
        let after = stage.host.stats(leg).drops;
        for &reason in DropReason::ALL {
            let expected = attacks.iter().filter(|a| a.reason == reason).count();
            let counted = after[reason as usize] - before[reason as usize];
            assert_eq!(counted, expected as u64, "{reason:?}");
        }
        for target in stage.targets() {
            assert!(stage.is_right(&target), "{} is poisoned", target.address);
        }
        assert_eq!(stage.routers(), routers, "a router by advertisement");
        let now = stage
            .host
            .addresses(Some("victim"), &stage.victim.interface);
        assert_eq!(now, addresses);
    }
}

#[test]
fn without_port_security_every_attack_goes_through() {
    assert_goes_through(&Stage::new("-o bridge-user.port_security=false", ""));
}

#[test]
fn a_trusted_endpoint_may_attack() {
    assert_goes_through(&Stage::new("", "--trusted"));
}
