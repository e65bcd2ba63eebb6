//! What is published stays so: past lost elements, killed commands, a reboot.

use std::net::UdpSocket;

use super::{UdpServer, elements, publish, say, serve, who};
use crate::host::{Host, OUTSIDE, UPLINK};

#[test]
fn what_the_table_lost_comes_back() {
    let host = Host::new();
    host.outside();
    host.create("n");
    publish(&host, "-p 8080:80 -p 192.0.2.1:8081:80 n web");
    let _server = serve(&host, "web", 80);
    for map in ["published4_all", "published4"] {
        host.call(&format!("nft flush map inet bridge_user {map}"))
            .ok();
    }
    assert_eq!(who(&host, Some("outside"), "192.0.2.1:8080"), None);
    host.bridge_user("reconcile").ok();
    for port in [8080, 8081] {
        let at = format!("192.0.2.1:{port}");
        assert_eq!(
            who(&host, Some("outside"), &at).as_deref(),
            Some(OUTSIDE[0])
        );
    }
    // A network more is a table written anew.
    host.create("another");
    assert_eq!(elements(&host, "map", "published4").len(), 1);
    // Gone for good, whoever took its elements first.
    host.call("nft flush map inet bridge_user published4").ok();
    host.bridge_user("net disconnect n web").ok();
    for map in ["published4_all", "published4"] {
        assert_eq!(elements(&host, "map", map), [0; 0]);
    }
}

#[test]
fn what_others_changed_is_put_right() {
    let host = Host::new();
    host.outside();
    host.create("n");
    let foreign = |change: &str, port: u16| {
        let element = match change {
            "add" => format!("tcp . {port} : 10.90.0.77 . 7"),
            _ => format!("tcp . {port}"),
        };
        host.call(&format!(
            "nft {change} element inet bridge_user published4_all"
        ))
        .arg(&format!("{{ {element} }}"))
        .ok();
    };
    foreign("add", 8080);
    publish(&host, "-p 8080:80 n web");
    let _server = serve(&host, "web", 80);
    let at = "192.0.2.1:8080";
    assert_eq!(who(&host, Some("outside"), at).as_deref(), Some(OUTSIDE[0]));
    foreign("delete", 8080);
    foreign("add", 8080);
    host.bridge_user("net disconnect n web").ok();
    assert_eq!(elements(&host, "map", "published4_all"), [0; 0]);
}

#[test]
fn a_reboot_takes_them_until_their_sandbox_comes_back() {
    let host = Host::new();
    host.outside();
    host.create("--ipv6 n");
    publish(&host, "-p 5353:53/udp n web");
    host.reboot(&host.bridge_of("n"), &["web"]);
    host.bridge_user("net ls").ok();
    assert_eq!(elements(&host, "map", "published4_all"), [0; 0]);
    let held = host.bridge_user("net connect -p 5353:1/udp --create n other");
    held.fails_with(1, &["port is already allocated", "web of network n"]);
    // Nothing keeps a process from the port meanwhile, but it is told of.
    let server = host.inside(|| UdpSocket::bind(("0.0.0.0", 5353)));
    let server = server.expect("the port is not published now");
    host.netns("web");
    let said = host.bridge_user("net ls").run();
    assert_eq!(said.code, Some(0), "{said}");
    for part in [
        "web",
        "address already in use",
        "another server has 0.0.0.0:5353",
    ] {
        assert!(said.stderr.contains(part), "{part}: {said}");
    }
    drop(server);
    let said = host.bridge_user("reconcile").run();
    assert_eq!((said.code, &*said.stderr), (Some(0), ""));
    let _udp = UdpServer::start(&host, "web", 53);
    for (address, from) in UPLINK.iter().zip(OUTSIDE) {
        assert_eq!(say(&host, Some("outside"), address, 5353), from);
    }
    host.bridge_user("net disconnect n web").ok();
    host.bridge_user("net rm n").ok();
    host.assert_clean();
}

#[test]
fn several_thousand_are_published_at_once() {
    let host = Host::new();
    host.create("--ipv6 n");
    publish(&host, "-p 20000-21999:20000-21999 n web");
    for map in ["published4_all", "published6_all"] {
        assert_eq!(elements(&host, "map", map).len(), 2000);
    }
    host.bridge_user("net disconnect n web").ok();
    for map in ["published4_all", "published6_all"] {
        assert_eq!(elements(&host, "map", map), [0; 0]);
    }
}

#[test]
fn purge_leaves_none() {
    let host = Host::new();
    host.create("n");
    publish(&host, "-p 8080:80 n web");
    host.bridge_user("purge --yes").ok();
    host.assert_clean();
    host.create("n");
    host.connect("-p 8080:80 n web");
}
