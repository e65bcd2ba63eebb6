//! The daemon: one a host, ends when it is told to, and removes what died.

use std::fs::File;
use std::io::Read as _;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::host::{Host, array, assert_quick, text, wait_until};

/// Where the daemon of a host says that it is the one.
const LOCK: &str = "/run/bridge-user/daemon.lock";

#[test]
fn what_died_goes_within_a_second() {
    let host = Host::new();
    let fresh = host.leftovers();
    host.create("n");
    let _daemon = host.daemon();
    host.join("n", "b");
    assert_quick("the port goes", Duration::from_secs(1), || {
        host.join("n", "a");
        let before = host.ports().len();
        host.call("ip netns del a").ok();
        let start = Instant::now();
        // The program's map, by bpftool: no command of ours looks meanwhile.
        wait_until("the port goes", || host.ports().len() == before - 1);
        let took = start.elapsed();
        wait_until("its row goes", || host.members("n") == ["b"]);
        took
    });
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
    let mut daemon = host.bridge_user("daemon --foreground").spawn();
    let first = daemon.wait_for_error_line("INFO ready");
    assert!(
        first.starts_with("20") && first.contains('T'),
        "no time: {first}"
    );
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_error_line("INFO reloading");
    let ended = daemon.end(Signal::SIGTERM);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.stderr.contains("INFO stopping"), "{ended}");
    // Without --foreground, lines begin with a priority (sd-daemon(3)).
    let mut daemon = host.bridge_user("daemon").spawn();
    assert_eq!(daemon.wait_for_error_line("ready"), "<6>ready\n");
    let ended = daemon.end(Signal::SIGINT);
    assert_eq!(ended.code, Some(0), "{ended}");
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

/// The daemon's socket, and that of a service manager in its place.
const SOCKET: &str = "/run/bridge-user/daemon.sock";

/// What the daemon of a host says to who connects.
#[track_caller]
fn status(host: &Host) -> Value {
    let told = host.inside(|| {
        let mut text = String::new();
        let mut stream = UnixStream::connect(SOCKET)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    });
    let text = told.unwrap_or_else(|e| panic!("{SOCKET}: {e}"));
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn has_socket(host: &Host) -> bool {
    host.call(&format!("test -S {SOCKET}")).run().code == Some(0)
}

#[test]
fn it_says_how_it_is() {
    let host = Host::new();
    host.set_nameservers(&["192.0.2.1", "192.0.2.2"]);
    let daemon = host.daemon();
    let id = host.create("--ipv6 --subnet 10.91.0.0/24 --subnet fd00:91::/64 n");
    host.join("n", "a");
    wait_until("it listens", || {
        array(&status(&host)["Listeners"]).len() == 2
    });
    assert_eq!(host.dig("a", "@10.91.0.1 -q a").status, "NOERROR");
    assert_eq!(
        host.dig("a", "@10.91.0.1 +opcode=status -q a").status,
        "NOTIMP"
    );
    let said = status(&host);
    assert_eq!(said["Pid"].to_string(), host.read(LOCK).trim());
    let listener = |address: &str| json!({"Address": address, "Network": id, "Error": null});
    assert_eq!(
        said["Listeners"],
        json!([listener("10.91.0.1:53"), listener("[fd00:91::1]:53")])
    );
    assert_eq!(said["Upstreams"], json!(["192.0.2.1:53", "192.0.2.2:53"]));
    let counts = json!({"Answered": 1, "Forwarded": 0, "Malformed": 1, "Limited": 0});
    assert_eq!(said["Questions"], counts);
    assert_eq!(
        host.call(&format!("stat -c %a:%U:%G {SOCKET}")).ok(),
        "660:root:root\n"
    );
    let doctor = host.bridge_user("doctor").run().stdout;
    assert!(doctor.contains("at 2 addresses; questions: "), "{doctor}");
    // One who says nothing and reads nothing is in nobody's way.
    let _idle = host
        .inside(|| UnixStream::connect(SOCKET))
        .expect("it listens");
    status(&host);
    assert_eq!(daemon.stop(), "");
    assert!(!has_socket(&host));
}

#[test]
fn what_keeps_it_from_an_address_is_told() {
    let host = Host::new();
    host.create("--subnet 10.91.0.0/24 n");
    host.join("n", "a");
    let _other = host
        .inside(|| UdpSocket::bind("10.91.0.1:53"))
        .expect("nobody has it");
    let _daemon = host.daemon();
    let error = text(&status(&host)["Listeners"][0]["Error"]);
    assert!(error.contains("in use"), "{error}");
    let doctor = host.bridge_user("doctor").run();
    assert_eq!(doctor.code, Some(1), "{doctor}");
    let parts = ["cannot listen at 10.91.0.1 port 53", "network n: ", &error];
    for part in parts {
        assert!(doctor.stdout.contains(part), "{part}: {doctor}");
    }
}

#[test]
fn a_killed_daemons_socket_is_in_nobodys_way() {
    let host = Host::new();
    host.daemon().end(Signal::SIGKILL);
    assert!(has_socket(&host));
    let _daemon = host.daemon();
    assert_eq!(status(&host)["Pid"].to_string(), host.read(LOCK).trim());
}

#[test]
fn it_takes_the_socket_that_a_service_manager_opened() {
    let host = Host::new();
    let manager = host.inside(|| {
        std::fs::create_dir_all("/run/bridge-user")?;
        UnixListener::bind(SOCKET)
    });
    let manager = manager.expect("nobody has it");
    let start = |variables: &str, stdin: Stdio| {
        let script = format!(
            "{variables} exec /run/bin/bridge-user --state-dir /run/state daemon --foreground 3<&0"
        );
        host.call("sh -c").arg(&script).spawn_over(stdin)
    };
    let socket = || Stdio::from(OwnedFd::from(manager.try_clone().expect("it is open")));
    // Who asks first waits in the socket, as where that starts the service.
    let asked = host
        .inside(|| UnixStream::connect(SOCKET))
        .expect("it listens");
    let mut daemon = start("LISTEN_PID=$$ LISTEN_FDS=1", socket());
    daemon.wait_for_error_line("ready");
    let mut line = String::new();
    (&asked).read_to_string(&mut line).expect("it answers");
    assert!(line.starts_with("{\"Pid\":"), "{line}");
    status(&host);
    assert_eq!(daemon.stop(), "");
    assert!(has_socket(&host), "it is the manager's");
    // What is meant for another process is no offer; but the socket is the manager's all the same.
    for variables in ["", "LISTEN_PID=1 LISTEN_FDS=1"] {
        let refused = start(variables, socket()).ended();
        refused.assert_failure(1, &["another process listens at", SOCKET, "hint: systemd"]);
    }
    let refused = start("LISTEN_PID=$$ LISTEN_FDS=2", socket()).ended();
    refused.assert_failure(1, &["\"2\" sockets", "LISTEN_FDS", "hint: "]);
    let file = Stdio::from(File::open("/dev/null").expect("it is there"));
    let refused = start("LISTEN_PID=$$ LISTEN_FDS=1", file).ended();
    refused.assert_failure(1, &["descriptor 3", "no Unix stream socket", "hint: "]);
}

#[test]
fn the_log_says_what_is_configured() {
    let host = Host::new();
    let said = |words: &str| {
        let daemon = host.bridge_user(&format!("daemon {words}")).spawn();
        wait_until("it answers", || {
            host.inside(|| UnixStream::connect(SOCKET)).is_ok()
        });
        status(&host);
        let ended = daemon.end(Signal::SIGTERM);
        assert_eq!(ended.code, Some(0), "{ended}");
        ended.stderr
    };
    let is_text = |log: &str| log.contains("Z  INFO ready") && !log.contains("<6>");
    assert!(said("").contains("<6>ready\n"));
    assert!(is_text(&said("--foreground")));
    host.configure("[log]\nformat = \"text\"\n");
    assert!(is_text(&said("")));
    host.configure("[log]\nlevel = \"warn\"\n");
    assert_eq!(said(""), "");
    assert!(said("--log-level info").contains("<6>ready\n"));
    assert!(said("-v").contains("<6>ready\n"));
    assert_eq!(said("--log-level error"), "");
    host.configure("[log]\nlevel = \"debug\"\n");
    assert_eq!(said("--log-level error"), "");
    host.configure("[log]\nlevel = \"loud\"\n");
    host.bridge_user("daemon")
        .fails_with(1, &["config.toml, line 2", "\"loud\" is none of", "hint: "]);
    host.bridge_user("daemon --log-level loud")
        .fails_with_usage();
}
