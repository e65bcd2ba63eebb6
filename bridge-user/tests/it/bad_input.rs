//! Bad input: each has its own clear error, and nothing is changed by it.

use crate::host::Host;

/// A host with networks, endpoints, a route and a plain namespace in the way.
fn host() -> Host {
    let host = Host::new();
    for words in [
        "link add up0 type veth peer name up1",
        "addr add 192.168.9.2/24 dev up0",
        "addr add fd99::2/64 dev up0 nodad",
        "link set up0 up",
        "link set up1 up",
    ] {
        host.call(&format!("ip {words}")).ok();
    }
    let pools = "--subnet 10.77.0.0/24 --subnet fd77::/64 --aux-address printer=10.77.0.9";
    host.create(&format!("{pools} n"));
    host.create("idle");
    host.netns("a");
    host.connect("--mac-address 02:00:00:00:00:0a n a");
    host.netns("plain");
    host.call("touch /run/file").ok();
    host
}

/// Runs what a user might type. A line of `cases` is the command, `refused` (it was understood)
/// or `usage` (it was not), and what the error has to name.
#[track_caller]
fn assert_refused(host: &Host, cases: &str) {
    let before = host.snapshot();
    for case in cases.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let [words, outcome, parts @ ..] = &case.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("not a case: {case}");
        };
        let code = match *outcome {
            "refused" => 1,
            "usage" => 2,
            _ => panic!("not an outcome: {case}"),
        };
        host.bridge_user(words).fails_with(code, parts);
        host.assert_as_before(&before, &format!("`{words}` changed something"));
    }
}

#[test]
fn names_of_networks() {
    assert_refused(
        &host(),
        r#"
            net create n | refused | network with name n already exists | hint:
            net create bridge | refused | bridge | built-in | hint:
            net create host | refused | host | built-in
            net create none | refused | none | built-in
            net create --driver host x | refused | only one instance of "host" network
            net create --driver none x | refused | only one instance of "null" network
            net create --driver macvlan x | usage | macvlan | --driver
            net create a/b | refused | network name "a/b" is invalid
            net create -- -x | refused | "-x" is invalid
            net create .x | refused | ".x" is invalid
            net create ü | refused | "ü" is invalid
            net create | usage | NAME
            net create x y | usage | 'y'
            net create --publish 80 x | usage | --publish
        "#,
    );
}

#[test]
fn names_that_no_line_can_hold() {
    let host = host();
    let before = host.snapshot();
    let long = "n".repeat(64);
    host.bridge_user("net create")
        .arg(&long)
        .fails_with(1, &[&long, "too long", "63"]);
    for command in [
        "net create",
        "net rm",
        "net inspect",
        "net connect n",
        "net disconnect n",
    ] {
        let ran = host.bridge_user(command).arg("").run();
        assert!(ran.code == Some(1) || ran.code == Some(2), "{ran}");
        assert!(ran.stderr.starts_with("error: "), "{ran}");
    }
    host.assert_as_before(&before, "something was changed");
}

#[test]
fn subnets() {
    assert_refused(
        &host(),
        "
            net create --subnet 10.1.0.0 x | usage | 10.1.0.0 | --subnet
            net create --subnet 10.1.0.0/33 x | usage | 10.1.0.0/33
            net create --subnet 10.1.0/24 x | usage | 10.1.0/24
            net create --subnet fd01::/129 x | usage | fd01::/129
            net create --subnet 10.1.0.7/24 x | refused | 10.1.0.7/24 | host bits | 10.1.0.0/24
            net create --subnet 10.1.0.0/31 x | refused | 10.1.0.0/31 | too small
            net create --subnet 10.1.0.0/32 x | refused | 10.1.0.0/32 | too small
            net create --subnet fd01::/128 x | refused | fd01::/128 | too small
            net create --subnet 127.0.0.0/24 x | refused | 127.0.0.0/24 | cannot be used
            net create --subnet ::ffff:10.90.0.0/120 x | refused | cannot be used | IPv4-mapped
            net create --subnet 224.0.0.0/24 x | refused | 224.0.0.0/24 | cannot be used
            net create --subnet fe80:0:0:7::/64 x | refused | fe80:0:0:7::/64 | cannot be used
            net create --subnet ff02::/64 x | refused | ff02::/64 | cannot be used
            net create --subnet 10.77.0.0/25 x | refused | 10.77.0.0/25 | overlaps | network n | hint:
            net create --subnet 10.0.0.0/8 x | refused | 10.0.0.0/8 | overlaps | network
            net create --subnet fd77::/48 x | refused | fd77::/48 | overlaps | network n
            net create --subnet 192.168.9.128/25 x | refused | 192.168.9.128/25 | overlaps | route 192.168.9.0/24
            net create --subnet 192.168.0.0/16 x | refused | overlaps | route
            net create --subnet fd99::/80 x | refused | overlaps | route fd99::/64
            net create --subnet 10.1.0.0/24 --subnet 10.2.0.0/24 x | refused | two IPv4 subnets
            net create --subnet fd01::/64 --subnet fd02::/64 x | refused | two IPv6 subnets
        ",
    );
}

#[test]
fn gateways_ranges_and_reserved_addresses() {
    assert_refused(
        &host(),
        "
            net create --subnet 10.1.0.0/24 --gateway 10.2.0.1 x | refused | gateway 10.2.0.1
            net create --subnet 10.1.0.0/24 --gateway 10.1.0.0 x | refused | gateway 10.1.0.0 | network address
            net create --subnet 10.1.0.0/24 --gateway 10.1.0.255 x | refused | gateway 10.1.0.255 | broadcast address
            net create --subnet 10.1.0.0/24 --gateway 10.1.0.1 --gateway 10.1.0.2 x | refused | two gateways | 10.1.0.0/24
            net create --subnet 10.1.0.0/24 --gateway fd01::1 x | refused | gateway fd01::1
            net create --subnet 10.1.0.0/24 --gateway ten x | usage | ten | --gateway
            net create --subnet 10.1.0.0/24 --ip-range 10.2.0.0/28 x | refused | ip-range 10.2.0.0/28
            net create --subnet 10.1.0.0/24 --ip-range 10.1.0.0/16 x | refused | ip-range 10.1.0.0/16
            net create --subnet 10.1.0.0/24 --aux-address p=10.2.0.1 x | refused | aux-address p 10.2.0.1
            net create --subnet 10.1.0.0/24 --aux-address 10.1.0.5 x | usage | 10.1.0.5 | NAME=IP
            net create --subnet 10.1.0.0/24 --gateway 10.1.0.5 --aux-address p=10.1.0.5 x | refused | 10.1.0.5 | twice
            net create --subnet 10.1.0.0/24 --aux-address p=10.1.0.5 --aux-address q=10.1.0.5 x | refused | 10.1.0.5 | twice
        ",
    );
}

#[test]
fn options() {
    assert_refused(
        &host(),
        r#"
            net create -o com.docker.network.bridge.enable_icc=maybe x | refused | enable_icc | maybe | true or false
            net create -o com.docker.network.driver.mtu=67 x | refused | mtu | 67 | 68
            net create -o com.docker.network.driver.mtu=65536 x | refused | mtu | 65536
            net create --ipv6 -o com.docker.network.driver.mtu=1279 x | refused | 1279 | IPv6 | 1280
            net create -o com.docker.network.bridge.name=sixteen-letters- x | refused | sixteen-letters- | 15
            net create -o com.docker.network.bridge.name=a/b x | refused | a/b
            net create -o com.docker.network.bridge.name=up0 x | refused | up0 | taken
            net create -o colour=red x | refused | unknown option "colour"
            net create -o =red x | usage | =red | KEY=VALUE
            net create --datapath fast x | usage | fast | --datapath
        "#,
    );
}

#[test]
fn addresses_of_endpoints() {
    assert_refused(
        &host(),
        "
            net connect --ip 10.77.0.2 n plain | refused | 10.77.0.2 | network n | already in use by endpoint a | hint:
            net connect --ip 10.77.0.1 n plain | refused | 10.77.0.1 | already in use by the gateway
            net connect --ip 10.77.0.9 n plain | refused | 10.77.0.9 | already in use by aux-address printer
            net connect --ip6 fd77::2 n plain | refused | fd77::2 | already in use by endpoint a
            net connect --ip 10.78.0.2 n plain | refused | 10.78.0.2 | outside | network n
            net connect --ip 10.77.0.0 n plain | refused | 10.77.0.0 | network address
            net connect --ip 10.77.0.255 n plain | refused | 10.77.0.255 | broadcast address
            net connect --ip6 fd01::2 idle plain | refused | fd01::2 | outside | network idle
            net connect --ip 10.77.0.300 n plain | usage | 10.77.0.300 | --ip
            net connect --ip fd77::5 n plain | usage | fd77::5 | --ip
            net connect --mac-address 02:00:00:00:00:0a n plain | refused | 02:00:00:00:00:0a | already in use | network n
            net connect --mac-address 01:00:5e:00:00:01 n plain | usage | 01:00:5e:00:00:01 | unicast
            net connect --mac-address 02:00 n plain | usage | 02:00 | six bytes
        ",
    );
}

#[test]
fn sandboxes() {
    assert_refused(
        &host(),
        "
            net connect n nobody | refused | sandbox nobody not found | hint: | --create
            net connect n /run/netns/nobody | refused | nobody
            net connect n /run/nobody | refused | /run/nobody
            net connect n /run/file | refused | /run/file | not a network namespace
            net connect --create n /run/file | refused | /run/file cannot be created | hint: | --create
            net connect --create n pid:4194304 | refused | pid:4194304 cannot be created
            net connect n pid:4194304 | refused | pid:4194304
            net connect n pid:x | refused | pid:x
            net connect n docker:web | refused | docker:web
            net connect n pid:1 | refused | pid:1 | host's own network namespace
            net connect n /proc/self/ns/net | refused | host's own network namespace
            net connect n ../a | refused | ../a
            net connect n a | refused | sandbox a is already connected to network n | hint:
            net connect nowhere a | refused | network nowhere not found | hint:
            net connect host a | refused | network host
            net connect none a | refused | network none
            net connect --name a n plain | refused | name a is already in use | network n | --name
            net connect --name a/b n plain | usage | a/b | --name
            net connect --alias a/b n plain | usage | a/b | --alias
            net connect --ifname lo n plain | refused | interface lo already exists | plain | --ifname
            net connect --ifname eth0 idle a | refused | interface eth0 already exists | sandbox a
            net connect --ifname sixteen-letters- n plain | usage | sixteen-letters- | 15
            net connect n | usage | SANDBOX
            net connect --publish 80:0 n plain | usage | --publish
        ",
    );
}

#[test]
fn removals() {
    let host = host();
    assert_refused(
        &host,
        "
            net rm n | refused | network n has active endpoints: a | hint:
            net rm -f n | refused | network n has active endpoints
            net rm nowhere | refused | network nowhere not found
            net rm bridge | refused | bridge is a pre-defined network
            net rm host | refused | host is a pre-defined network
            net rm -f none | refused | none is a pre-defined network
            net rm | usage | NETWORK
            net disconnect n plain | refused | sandbox plain is not connected to network n
            net disconnect nowhere a | refused | network nowhere not found
            net disconnect idle a | refused | sandbox a is not connected to network idle
            net prune -f --filter colour=red | refused | colour=red
            net ls --filter colour=red | refused | colour=red
            net ls --format {{.Nope}} | refused | Nope
            net ls --format {{.Name | refused | {{.Name
            net frobnicate | usage | frobnicate
            frobnicate | usage | frobnicate
            --frobnicate | usage | --frobnicate
        ",
    );
    let before = host.snapshot();
    host.bridge_user("net disconnect -f n plain").ok();
    // As Docker's: what was not there was not removed.
    assert_eq!(host.bridge_user("net rm -f nowhere").ok(), "");
    host.assert_as_before(&before, "-f is content with what is not there");
}

#[test]
fn one_bad_name_among_good_ones() {
    let host = host();
    host.create("second");
    let ran = host.bridge_user("net rm idle nowhere second").run();
    assert_eq!(ran.code, Some(1), "{ran}");
    assert_eq!(ran.stdout, "idle\nsecond\n");
    assert!(ran.stderr.contains("network nowhere not found"), "{ran}");
    assert_eq!(host.networks(), ["n"]);
    let ran = host.bridge_user("net inspect n nowhere").run();
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stdout.contains("\"Name\": \"n\""), "{ran}");
    assert!(ran.stderr.contains("network nowhere not found"), "{ran}");
}

#[test]
fn an_ambiguous_id() {
    let host = Host::new();
    // Of seventeen ids, two begin with the same digit.
    let ids: Vec<String> = (0..17).map(|n| host.create(&format!("net{n}"))).collect();
    let first = |id: &String| id.chars().next();
    let twice = ids
        .iter()
        .find(|id| ids.iter().filter(|other| first(other) == first(id)).count() > 1);
    let digit = &twice.expect("there are sixteen digits")[..1];
    for verb in ["inspect", "rm"] {
        let ran = host.bridge_user(&format!("net {verb} {digit}")).run();
        assert_eq!(ran.code, Some(1), "{ran}");
        assert!(
            ran.stderr.contains("ambiguous") && ran.stderr.contains("hint: "),
            "{ran}"
        );
    }
    assert_eq!(host.networks().len(), 17);
}

#[test]
fn what_could_not_be_told_is_undone() {
    let host = host();
    let before = host.snapshot();
    let full = |words: &str| {
        let script = format!("exec /run/bin/bridge-user --state-dir /run/state {words} >/dev/full");
        host.call("sh -c").arg(&script)
    };
    for words in [
        "net create m",
        "net connect n plain",
        "net connect --create n b",
    ] {
        full(words).fails_with(1, &["output", "No space left"]);
        host.assert_as_before(&before, words);
    }
    let template = "net connect --format {{.Nothing}} n plain";
    host.bridge_user(template).fails_with(1, &["Nothing"]);
    host.assert_as_before(&before, template);
    // A reader that went away is no failure.
    let script = "/run/bin/bridge-user --state-dir /run/state net connect n plain | true";
    host.call("sh -c").arg(script).ok();
    host.assert_pings("plain", "10.77.0.1");
}

#[test]
fn empty_names() {
    let host = host();
    let before = host.snapshot();
    for (words, argument) in [
        ("net inspect", "NETWORK"),
        ("net rm", "NETWORK"),
        ("net connect n", "SANDBOX"),
        ("net disconnect n", "SANDBOX"),
        ("inspect", "SANDBOX"),
        ("rm", "SANDBOX"),
        ("logs", "SANDBOX"),
        ("stats", "NAMES"),
        ("trace", "NAMES"),
        ("explain", "FROM"),
        ("explain a", "TO"),
    ] {
        let call = host.bridge_user(words).arg("");
        call.fails_with(2, &["a value is required", argument]);
        host.assert_as_before(&before, words);
    }
}
