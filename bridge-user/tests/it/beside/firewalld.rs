//! firewalld with its default zone, which lets in and through what it knows alone.

use std::time::{Duration, Instant};

use super::{assert_installed, theirs};
use crate::firewall::warnings;
use crate::host::{Host, OUTSIDE, Running, UPLINK, assert_quick, wait_until};
use crate::publish::flows_rules::{PASSES, doctor};
use crate::publish::{publish, serve, url, who};

/// Starts it, with what it comes with as its configuration, and waits until it has its rules.
#[track_caller]
fn firewalld(host: &Host) -> Running {
    let daemon = "exec firewalld --nofork --log-target console --system-config /run/firewalld \
                  >>/run/firewalld.log 2>&1";
    let running = host.call("sh -c").arg(daemon).spawn();
    wait_until("firewalld runs", || {
        host.call("firewall-cmd --state").run().code == Some(0)
    });
    running
}

#[test]
fn firewalld_and_ours_work_side_by_side() {
    assert_installed(&["dbus-daemon", "firewall-cmd", "firewalld"]);
    let host = Host::new();
    host.outside();
    host.call("mkdir -p /run/dbus /run/firewalld").ok();
    let bus = "exec dbus-daemon --system --nofork --nopidfile >/run/dbus.log 2>&1";
    let _bus = host.call("sh -c").arg(bus).spawn();
    wait_until("D-Bus listens", || {
        host.call("test -S /run/dbus/system_bus_socket").run().code == Some(0)
    });
    let first = firewalld(&host);
    let before = theirs(&host);
    host.create("--ipv6 n");
    host.create("--ipv6 other");
    let arguments = "-p 8080:80 n web";
    let web = Host::endpoint(&publish(&host, arguments), arguments);
    host.join("other", "stranger");
    let _server = serve(&host, "web", 80);
    assert_eq!(theirs(&host), before);
    let published = || {
        for (address, from) in UPLINK.iter().zip(OUTSIDE) {
            let at = url(address, 8080);
            assert_eq!(who(&host, Some("outside"), &at).as_deref(), Some(from));
            for client in ["web", "stranger"] {
                assert!(who(&host, Some(client), &at).is_some(), "{client} at {at}");
            }
        }
    };
    let leads_out = || OUTSIDE.iter().all(|to| host.ping_quickly("web", to));
    published();
    assert!(!leads_out(), "there is nothing to advise");
    let found = warnings(&host);
    assert_eq!(found.len(), 2, "routed, and to the host: {found:?}");
    for (_, advice) in &found {
        host.call("sh -c").arg(advice).ok();
    }
    assert_eq!(warnings(&host), []);
    published();
    assert!(leads_out());
    assert_eq!(doctor(&host), PASSES);
    for address in web.addresses() {
        assert!(!host.ping_quickly("stranger", &address), "{address}");
    }

    let rules = host.rules();
    let _daemon = host.daemon();
    let mut running = Some(first);
    for what in ["--reload", "--complete-reload", "its restart"] {
        assert_quick(what, Duration::from_secs(1), || {
            if what.starts_with("--") {
                host.call("firewall-cmd").arg(what).ok();
            } else {
                running.take().map(Running::stop);
                running = Some(firewalld(&host));
            }
            let lost = Instant::now();
            wait_until(what, || host.rules() == rules);
            lost.elapsed()
        });
        published();
        assert!(leads_out(), "{what}");
    }
}
