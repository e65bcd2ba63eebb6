//! The command: executed as it would be without us, its exit code, signals and terminal its own.

use nix::sys::signal::Signal;

use super::{field, namespaces, sleeper, wait_for_state};
use crate::host::{Host, wait_until};

#[test]
fn the_exit_code_is_the_commands() {
    let host = Host::new();
    for (script, code) in [
        ("true", 0),
        ("exit 7", 7),
        ("kill -9 $$", 128 + 9),
        ("kill -TERM $$", 128 + 15),
        ("kill -40 $$", 128 + 40),
    ] {
        let run = host.bridge_user("run --rm -- sh -c").arg(script);
        assert_eq!(run.run().code, Some(code), "{script}");
    }
}

#[test]
fn a_command_that_cannot_be_executed_leaves_nothing() {
    let host = Host::new();
    host.create("n");
    let before = host.snapshot();
    for detach in ["", "-d"] {
        for (options, command, code, parts) in [
            ("", "nosuchcommand", 127, ["nosuchcommand", "No such file"]),
            ("", "/etc", 126, ["/etc", "Permission denied"]),
            ("--network nowhere", "true", 125, ["nowhere", "not found"]),
            ("--network n --ip 10.1.2.3", "true", 125, ["10.1.2.3", "n"]),
        ] {
            let options = if options.is_empty() {
                "--network n"
            } else {
                options
            };
            let words = format!("run {detach} --name a {options} -- {command}");
            host.bridge_user(&words).fails_with(code, &parts);
            host.assert_as_before(&before, &words);
        }
    }
    host.bridge_user("run --nonsense true").fails_with_usage();
    host.bridge_user("run").fails_with_usage();
}

#[test]
fn words_environment_and_directory_reach_the_command() {
    let host = Host::new();
    let run = host
        .bridge_user("run --rm --network none -- sh -c")
        .arg(r#"printf '%s|' "$@" "$COLOUR" "$PWD""#)
        .arg("sh")
        .arg("two words")
        .arg("--rm")
        .arg("ünïcode")
        .under("env -C /usr COLOUR=red");
    assert_eq!(run.ok(), "two words|--rm|ünïcode|red|/usr|");
}

#[test]
fn standard_input_is_the_commands() {
    let host = Host::new();
    let mut run = host.bridge_user("run --rm --network none -- cat").spawn();
    run.write("through\n");
    assert_eq!(run.stop_input().stdout, "through\n");
}

#[test]
fn signals_are_passed_on_once() {
    let host = Host::new();
    let script = "n=0; trap 'n=$((n+1))' USR1; trap 'exit $((40+n))' TERM; echo up >/run/up
                  while :; do sleep 0.05; done";
    let run = host
        .bridge_user("run --rm --network none -- sh -c")
        .arg(script)
        .spawn();
    wait_until("the traps are set", || !host.files("/run/up").is_empty());
    run.signal(Signal::SIGUSR1);
    // Two that wait are one: the first has to arrive before the next is sent.
    std::thread::sleep(std::time::Duration::from_millis(300));
    run.signal(Signal::SIGUSR1);
    std::thread::sleep(std::time::Duration::from_millis(300));
    run.signal(Signal::SIGTERM);
    assert_eq!(run.ended().code, Some(42));
}

#[test]
fn the_terminal_stays_and_its_signals_come_once() {
    let host = Host::new();
    let script =
        "n=0; trap 'n=$((n+1))' INT; trap 'exit $((40+n))' TERM; tty >/run/tty; touch /run/ready
                  while :; do sleep 0.05; done";
    host.call("sh -c")
        .arg(&format!("cat >/run/script <<'END'\n{script}\nEND\n"))
        .ok();
    // A shell that waits would be ended by the signal itself, and who runs the tests may ignore it.
    let run = "exec env --default-signal=HUP,INT /run/bin/bridge-user --state-dir /run/state run --name t --network none -- \
               sh /run/script";
    let mut terminal = host
        .call("script --return --quiet --command")
        .arg(run)
        .arg("/dev/null")
        .spawn();
    wait_until("the script runs", || !host.files("/run/ready").is_empty());
    wait_for_state(&host, "t", "running");
    assert!(host.read("/run/tty").starts_with("/dev/pts/"));
    terminal.write("\x03");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let pid = field(&host, "t", ".State.Pid");
    host.call(&format!("kill -TERM {pid}")).ok();
    assert_eq!(terminal.ended().code, Some(41), "one Ctrl-C is one SIGINT");
}

/// The kernel tells the leader of the session alone, which `run` is here.
#[test]
fn the_end_of_the_terminal_comes_to_the_command() {
    let host = Host::new();
    let script =
        "trap 'echo hup >/run/hup; exit' HUP; touch /run/ready; while :; do sleep 0.05; done";
    host.call("sh -c")
        .arg(&format!("cat >/run/script <<'END'\n{script}\nEND\n"))
        .ok();
    let run = "exec env --default-signal=HUP,INT /run/bin/bridge-user --state-dir /run/state run --name t --network none -- \
               sh /run/script";
    let terminal = host
        .call("script --quiet --command")
        .arg(run)
        .arg("/dev/null")
        .spawn();
    wait_until("the script runs", || !host.files("/run/ready").is_empty());
    wait_for_state(&host, "t", "running");
    terminal.end(Signal::SIGKILL);
    wait_until("the script is told", || !host.files("/run/hup").is_empty());
    wait_for_state(&host, "t", "exited");
}

#[test]
fn in_the_background_the_output_is_the_log() {
    let host = Host::new();
    let id = host
        .bridge_user("run -d --name a --network none -- sh -c")
        .arg("echo out; echo err >&2; cat; ps -o sid= -p $$ >/run/session; exit 3")
        .ok();
    assert_eq!(id.trim().len(), 64);
    wait_for_state(&host, "a", "exited");
    assert_eq!(host.bridge_user("logs a").ok(), "out\nerr\n");
    assert_eq!(field(&host, "a", ".State.ExitCode"), "3");
    let session = host.read("/run/session");
    assert_ne!(
        session,
        host.call("ps -o sid= -p 1").ok(),
        "a session of its own"
    );
    host.bridge_user("run --name b --network none -- true").ok();
    host.bridge_user("logs b")
        .fails_with(1, &["sandbox b", "foreground", "hint: "]);
    host.bridge_user("logs nobody")
        .fails_with(1, &["nobody", "not found", "hint: "]);
}

#[test]
fn in_the_background_nothing_of_the_caller_stays_open() {
    let host = Host::new();
    let run =
        "/run/bin/bridge-user --state-dir /run/state run -d --name a --network none -- sleep 600";
    // The pipe's reader comes to its end though the writer's end was open in the caller as 7.
    let script = format!("{{ {run} >/dev/null; }} 7>&1 | cat; ls -l /proc/$(pgrep -x sleep)/fd");
    let open = host.call("timeout 20 sh -c").arg(&script).ok();
    assert_eq!(
        open.lines().filter(|line| line.contains(" -> ")).count(),
        3,
        "{open}"
    );
}

#[test]
fn a_followed_log_ends_with_the_command() {
    let host = Host::new();
    host.bridge_user("run -d --name a --network none -- sh -c")
        .arg("echo one; sleep 0.5; echo two; sleep 0.5; echo three")
        .ok();
    assert_eq!(host.bridge_user("logs -f a").ok(), "one\ntwo\nthree\n");
    assert_eq!(
        host.bridge_user("logs --follow a").ok(),
        "one\ntwo\nthree\n"
    );
}

#[test]
fn exec_enters_the_sandbox() {
    let host = Host::new();
    sleeper(&host, "--name a");
    let pid = field(&host, "a", ".State.Pid");
    let inside = host
        .bridge_user("exec a -- readlink /proc/self/ns/net /proc/self/ns/uts /proc/self/ns/mnt")
        .ok();
    let inside: Vec<&str> = inside.lines().collect();
    assert_eq!(inside, namespaces(&host, &pid));
    let of_host = namespaces(&host, "1");
    assert!(
        inside.iter().zip(&of_host).all(|(a, b)| a != b),
        "{inside:?}"
    );
    let exec = host
        .bridge_user("exec a sh -c")
        .arg("pwd; exit 5")
        .under("env -C /usr")
        .run();
    assert_eq!((exec.stdout.as_str(), exec.code), ("/usr\n", Some(5)));
    host.bridge_user("exec a -- nosuchcommand")
        .fails_with(127, &["sandbox a", "nosuchcommand"]);
    host.bridge_user("exec nobody -- true")
        .fails_with(1, &["nobody", "not found"]);
    host.bridge_user("rm -f a").ok();
    host.bridge_user("run --name b --network none -- true").ok();
    host.bridge_user("exec b -- true")
        .fails_with(1, &["sandbox b", "not running", "ps -a"]);
}

#[test]
fn ps_is_dockers_table() {
    let host = Host::new();
    host.create("n");
    let id = sleeper(&host, "--name up --network n");
    host.bridge_user("run --name down --network none -- sh -c")
        .arg("exit 4")
        .run();
    let table = host.bridge_user("ps -a").ok();
    let lines: Vec<&str> = table.lines().collect();
    let head: Vec<&str> = lines[0]
        .split("   ")
        .map(str::trim)
        .filter(|h| !h.is_empty())
        .collect();
    assert_eq!(
        head,
        [
            "CONTAINER ID",
            "COMMAND",
            "CREATED",
            "STATUS",
            "PORTS",
            "NETWORKS",
            "NAMES"
        ]
    );
    assert!(
        lines[1].contains("Exited (4) ") && lines[1].ends_with("none       down"),
        "{table}"
    );
    assert!(
        lines[2].starts_with(&id[..12]) && lines[2].contains("\"sleep 600\""),
        "{table}"
    );
    assert!(
        lines[2].contains("Up ") && lines[2].ends_with("n          up"),
        "{table}"
    );
    assert_eq!(host.bridge_user("ps -q").ok(), format!("{}\n", &id[..12]));
    assert_eq!(host.bridge_user("ps -q --no-trunc").ok(), format!("{id}\n"));
    let row = host.bridge_user("ps --format json").json();
    assert_eq!(
        (&row["Names"], &row["State"], &row["Networks"]),
        (&"up".into(), &"running".into(), &"n".into())
    );
    let names = host
        .bridge_user("ps -a --format")
        .arg(r"table {{.ID}}\t{{.Names}}")
        .ok();
    assert!(names.starts_with("CONTAINER ID   NAMES\n"), "{names}");
}

#[test]
fn an_id_or_its_beginning_is_a_name() {
    let host = Host::new();
    host.create("n");
    let id = sleeper(&host, "--network none");
    let short = &id[..12];
    assert_eq!(field(&host, &id[..6], ".Name"), format!("/{short}"));
    assert_eq!(field(&host, short, ".Config.Hostname"), short);
    assert_eq!(host.files("/run/netns"), [format!("/run/netns/{short}")]);
    sleeper(&host, "--name a --network none");
    let a = field(&host, "a", ".Id");
    for name in [&a[..12], "a"] {
        host.bridge_user(&format!("net connect n {name}")).ok();
        host.assert_pings("a", "10.90.0.1");
        host.bridge_user(&format!("net disconnect n {name}")).ok();
    }
    host.bridge_user(&format!("rm -f {} a", &id[..4])).ok();
    assert_eq!(host.bridge_user("ps -aq").ok(), "");
}

#[test]
fn a_name_is_used_once() {
    let host = Host::new();
    let id = sleeper(&host, "--name a --network none");
    host.bridge_user("run --name a --network none -- true")
        .fails_with(125, &["name a is already in use", &id[..12], "hint: "]);
    host.netns("found");
    host.call("mkdir /etc/netns/configured").ok();
    let before = host.snapshot();
    for (name, path) in [
        ("found", "/run/netns/found"),
        ("configured", "/etc/netns/configured"),
    ] {
        let run = host.bridge_user(&format!("run --name {name} -- true"));
        run.fails_with(125, &[name, path, "hint: "]);
    }
    host.bridge_user("run --name ../a -- true")
        .fails_with_usage();
    host.assert_as_before(&before, "something was changed");
}

/// Without privileges, a command may still have mounts of its own, in a user namespace of its own.
#[test]
fn exec_executes_nothing_that_a_command_put_in_the_way() {
    let host = Host::new();
    let script = "printf '#!/bin/sh\\ntouch /run/fooled\\n' >/run/user/id; chmod 755 /run/user/id
                  mount --bind /run/user/id /usr/bin/id; touch /run/user/ready; sleep 600";
    host.call("install -d -o 65534 /run/user").ok();
    host.bridge_user("run -d --name a --")
        .arg("setpriv")
        .arg("--reuid=65534")
        .arg("--clear-groups")
        .arg("unshare")
        .arg("--user")
        .arg("--map-root-user")
        .arg("--mount")
        .arg("--net")
        .arg("sh")
        .arg("-c")
        .arg(script)
        .ok();
    wait_until("it is in the way", || {
        !host.files("/run/user/ready").is_empty()
    });
    host.bridge_user("exec a -- id")
        .fails_with(125, &["sandbox a", "user namespace of its own"]);
    assert_eq!(host.files("/run/fooled"), [""; 0]);
    // Who joins it is in the sandbox's network, not in the one that the command made.
    let joined = host.bridge_user("run --rm --network container:a -- ip -br addr show eth0");
    assert!(joined.ok().contains("UP"));
}
