//! Where the default network has ICC off, a link opens it for its pair, and for nobody else.

use crate::host::{Endpoint, Host, wait_until};
use crate::isolation::{assert_apart, assert_apart_after};

const NETWORK: &str = "bridge";

/// A host whose default network has ICC off.
fn host(br_netfilter: bool) -> Host {
    let host = Host::with_br_netfilter(br_netfilter);
    host.configure(
        "[networks]\ndefault_network_options = { \"com.docker.network.bridge.enable_icc\" = \"false\" }\n",
    );
    host
}

/// `db`, `web` that is linked to it, and `other`.
fn linked(host: &Host) -> [Endpoint; 3] {
    let db = host.join(NETWORK, "db");
    host.netns("web");
    let web = host.connect(&format!("--link db:store {NETWORK} web"));
    [db, web, host.join(NETWORK, "other")]
}

fn apart(host: &Host, one: &Endpoint, other: &Endpoint) {
    assert_apart(host, (NETWORK, one), (NETWORK, other));
}

/// Directions that the program knows.
fn directions(host: &Host) -> usize {
    host.dump("LINKS").len()
}

#[test]
fn a_linked_pair_may_speak_and_nobody_else() {
    for br_netfilter in [false, true] {
        let host = host(br_netfilter);
        let [db, web, other] = linked(&host);
        host.assert_pings("web", "store");
        host.assert_pings("db", &web.ipv4);
        host.transfer(&web, &db, &db.ipv4, 1).assert_fast();
        host.transfer(&db, &web, &web.ipv4, 1).assert_fast();
        apart(&host, &web, &other);
        apart(&host, &db, &other);
        // Who is linked to one end is not linked to the other.
        host.netns("admin");
        let admin = host.connect(&format!("--link web {NETWORK} admin"));
        host.assert_pings("admin", "web");
        apart(&host, &admin, &db);
        assert_eq!(directions(&host), 4);
        for address in [&db, &web, &other, &admin].map(|endpoint| &endpoint.ipv4) {
            assert!(host.host_pings(address), "the host reaches {address}");
        }
    }
}

#[test]
fn what_a_link_opens_goes_with_either_end() {
    let host = host(false);
    let [db, web, _] = linked(&host);
    host.bridge_user(&format!("net disconnect {NETWORK} web"))
        .ok();
    assert_eq!(directions(&host), 0);
    let web = Endpoint {
        mac: web.mac,
        ..host.connect(&format!("{NETWORK} web"))
    };
    apart(&host, &web, &db);
    host.bridge_user(&format!("net disconnect {NETWORK} web"))
        .ok();
    host.connect(&format!("--link db {NETWORK} web"));
    host.assert_pings("web", "db");
    // The link is to the sandbox, with whatever address, as long as a network knows it.
    host.create("elsewhere");
    host.connect("elsewhere db");
    host.bridge_user(&format!("net disconnect {NETWORK} db"))
        .ok();
    assert_eq!(directions(&host), 0);
    host.connect(&format!(
        "--mac-address 02:00:00:00:00:77 --ip 10.90.0.77 {NETWORK} db"
    ));
    assert_eq!(directions(&host), 2);
    host.assert_pings("web", "10.90.0.77");
    host.call("ip netns del db").ok();
    host.bridge_user("reconcile").ok();
    assert_eq!(directions(&host), 0);
    host.bridge_user(&format!("net disconnect {NETWORK} web"))
        .ok();
    host.bridge_user("purge --yes").ok();
    assert!(host.files("/sys/fs/bpf/bridge-user").is_empty());
}

#[test]
fn without_the_program_a_pair_is_apart_until_the_next_command() {
    let host = host(false);
    let [db, web, _] = linked(&host);
    host.assert_pings("web", "store");
    host.detach_all();
    host.call("umount /sys/fs/bpf").ok();
    wait_until("the program is gone", || {
        host.programs(&web.host_leg).is_empty()
    });
    assert!(!host.ping_quickly("web", &db.ipv4) && !host.ping_quickly("db", &web.ipv4));
    host.bridge_user("net ls").ok();
    assert_eq!(directions(&host), 2);
    host.assert_pings("web", "store");
}

#[test]
fn the_program_alone_keeps_others_from_a_pair() {
    let host = host(false);
    let [db, web, other] = linked(&host);
    for one in [&web, &db] {
        assert_apart_after(&host, (NETWORK, one), (NETWORK, &other), || {
            host.call("nft flush ruleset").ok();
            for endpoint in [one, &other] {
                let leg = &endpoint.host_leg;
                host.call(&format!(
                    "bridge link set dev {leg} isolated off locked off"
                ))
                .ok();
            }
        });
    }
}

#[test]
fn on_user_defined_networks_a_link_is_but_a_name() {
    let host = host(false);
    host.create("--ipv6 -o com.docker.network.bridge.enable_icc=false n");
    let db = host.join("n", "db");
    host.netns("web");
    let web = host.connect("--link db:store n web");
    assert_apart(&host, ("n", &web), ("n", &db));
    assert_eq!(directions(&host), 0);
}

#[test]
fn where_everybody_may_speak_nothing_is_opened() {
    let host = Host::new();
    linked(&host);
    assert_eq!(directions(&host), 0);
    host.assert_pings("web", "store");
    host.assert_pings("other", "10.90.0.2");
}
