//! The daemon: one a host, ends when it is told to, and removes what died.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::host::{Host, text, wait_until};

/// Where the daemon of a host says that it is the one.
const LOCK: &str = "/run/bridge-user/daemon.lock";

#[test]
fn what_died_goes_within_a_second() {
    let host = Host::new();
    let fresh = host.leftovers();
    host.create("n");
    let _daemon = host.daemon();
    host.join("n", "a");
    host.join("n", "b");
    let before = host.ports().len();
    host.call("ip netns del a").ok();
    let start = Instant::now();
    // The program's map, by bpftool: no command of ours looks meanwhile.
    wait_until("the port goes", || host.ports().len() == before - 1);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    wait_until("its row goes", || host.members("n") == ["b"]);
    host.bridge_user("purge --yes").ok();
    host.call("ip netns del b").ok();
    assert_eq!(host.leftovers(), fresh);
    // The sweeps that follow make no new state.
    std::thread::sleep(Duration::from_millis(1300));
    assert_eq!(host.files("/run/state"), [""; 0]);
    assert_eq!(host.call("ls -d /run/state").run().code, Some(2));
}

#[test]
fn a_namespace_that_a_process_holds_is_left_alone_until_that_ends() {
    let host = Host::new();
    host.create("n");
    let _daemon = host.daemon();
    host.join("n", "a");
    let sleeper = host.exec("a", "sleep 1000").spawn();
    host.pid_of("sleep");
    host.call("ip netns del a").ok();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(host.members("n"), ["a"]);
    drop(sleeper);
    wait_until("the port goes", || host.ports().is_empty());
}

#[test]
fn a_bridge_that_somebody_deleted_comes_back() {
    let host = Host::new();
    host.create("n");
    let _daemon = host.daemon();
    let a = host.join("n", "a");
    let bridge = host.bridge_of("n");
    host.call(&format!("ip link del {bridge}")).ok();
    wait_until("the endpoint is reachable", || host.host_pings(&a.ipv4));
}

#[test]
fn there_is_one_a_host() {
    let host = Host::new();
    let first = host.daemon();
    let pid = host.read(LOCK).trim().to_owned();
    let another = "/run/bin/bridge-user --state-dir /run/other daemon --foreground";
    for call in [host.bridge_user("daemon"), host.call(another)] {
        call.fails_with(1, &["is running already", &pid, "hint: "]);
    }
    assert_eq!(first.stop(), "");
    // Its end is the end of its lock.
    let _second = host.daemon();
    assert_ne!(host.read(LOCK).trim(), pid);
}

#[test]
fn it_ends_cleanly_and_reloads() {
    let host = Host::new();
    let call = host.bridge_user("daemon --foreground");
    let daemon = call.spawn();
    wait_until("the daemon runs", || {
        host.call(&format!("cat {LOCK}")).run().code == Some(0)
    });
    daemon.signal(Signal::SIGHUP);
    std::thread::sleep(Duration::from_millis(200));
    let ended = daemon.end(Signal::SIGTERM);
    assert_eq!(ended.code, Some(0), "{ended}");
    let said = |what: &str| ended.stderr.lines().any(|line| line.contains(what));
    assert!(
        said("INFO ready") && said("INFO reloading") && said("INFO stopping"),
        "{ended}"
    );
    let first = ended.stderr.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("20") && first.contains('T'),
        "no time: {first}"
    );
    // Without --foreground, lines begin with a priority (sd-daemon(3)).
    let daemon = host.bridge_user("daemon").spawn();
    wait_until("the daemon runs", || {
        !host
            .call("ps -C bridge-user -o pid=")
            .run()
            .stdout
            .is_empty()
    });
    std::thread::sleep(Duration::from_millis(200));
    let ended = daemon.end(Signal::SIGINT);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.stderr.starts_with("<6>ready\n"), "{ended}");
}

#[test]
fn the_service_manager_is_told() {
    let host = Host::new();
    let path = "/run/notify";
    let manager = host.inside(|| UnixDatagram::bind(path).expect("/run is the host's own"));
    manager
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a time-out is no zero");
    let told = || {
        let mut buffer = [0; 512];
        let length = manager.recv(&mut buffer).expect("the daemon tells");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let daemon = host
        .bridge_user("daemon")
        .under(&format!("env NOTIFY_SOCKET={path}"))
        .spawn();
    assert_eq!(told(), "READY=1");
    daemon.signal(Signal::SIGHUP);
    let reloading = told();
    assert!(
        reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reloading}"
    );
    assert_eq!(told(), "READY=1");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(told(), "STOPPING=1");
}

#[test]
fn a_namespace_that_comes_back_after_a_reboot_is_connected_again() {
    let host = Host::new();
    host.create("n");
    let a = host.join("n", "a");
    host.call("ip netns del a").ok();
    // What a reboot leaves: another boot's rows, and nothing of the sandbox in the kernel.
    host.change_rows("UPDATE sandboxes SET boot_id = 'another'");
    let _daemon = host.daemon();
    wait_until("the leg goes", || host.link(None, &a.host_leg).is_none());
    host.netns("a");
    wait_until("the endpoint is reachable", || host.host_pings(&a.ipv4));
    assert_eq!(text(&host.inspect("n")["Name"]), "n");
}
