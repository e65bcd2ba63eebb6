//! Commands about the whole host: demo, doctor, version, completions.

use crate::host::{Host, array, text, wait_until};

#[test]
fn the_demo_does_the_main_job_and_removes_everything() {
    let host = Host::new();
    let fresh = host.snapshot();
    let said = host.bridge_user("demo").ok();
    host.assert_as_before(&fresh, "something was changed");
    host.assert_clean();
    assert_eq!(
        said.matches("Gbit/s").count(),
        2,
        "a rate for each datapath: {said}"
    );
    // The last column of the line of a datapath.
    let share = |datapath: &str| {
        let line = said
            .lines()
            .find(|line| line.starts_with(&format!("{datapath} ")));
        let words = line
            .and_then(|line| line.strip_suffix('%'))?
            .split_whitespace();
        words.last()?.parse::<f64>().ok()
    };
    assert!(share("tc") >= Some(99.0), "{said}");
    assert_eq!(share("off"), Some(0.0), "{said}");
}

#[test]
fn the_demo_leaves_alone_what_is_there() {
    let host = Host::new();
    host.create("n");
    host.join("n", "a");
    let before = host.snapshot();
    host.bridge_user("demo").ok();
    host.assert_as_before(&before, "something was changed");
}

#[test]
fn doctor_finds_this_host_fit() {
    let host = Host::new();
    let ran = host.bridge_user("doctor").run();
    assert_eq!(ran.code, Some(0), "{ran}");
    let findings = host.bridge_user("doctor --format json").ok();
    assert!(findings.lines().count() > 5, "{findings}");
    for line in findings.lines() {
        let finding: serde_json::Value = serde_json::from_str(line).expect("an object a line");
        assert!(finding.is_object(), "{line}");
    }
}

#[test]
fn doctor_warns_of_known_dangers() {
    let host = Host::with_br_netfilter(true);
    host.call("nft add table inet foreign").ok();
    host.call("nft")
        .arg("add chain inet foreign forward { type filter hook forward priority 0; policy drop; }")
        .ok();
    host.call("sh -c")
        .arg("echo 0 >/proc/sys/net/ipv4/ip_forward")
        .ok();
    let said = host.bridge_user("doctor").run();
    for danger in ["foreign", "ip_forward", "bridge-nf-call-iptables"] {
        assert!(
            said.stdout.contains(danger),
            "{danger} is not mentioned: {said}"
        );
    }
}

#[test]
fn doctor_fails_where_something_needed_is_missing() {
    let host = Host::new();
    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all";
    let ran = host.bridge_user("doctor").under(nobody).run();
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stdout.contains("CAP_NET_ADMIN"), "{ran}");
    let ran = host.bridge_user("doctor").env("PATH", "/nowhere").run();
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stdout.contains("nft"), "{ran}");
}

/// What doctor says of the state, and whether it fails.
fn state_by_doctor(host: &Host) -> (serde_json::Value, Option<i32>) {
    let ran = host.bridge_user("doctor --format json").run();
    let findings = ran.stdout.lines().map(|line| {
        let finding: serde_json::Value = serde_json::from_str(line).expect("an object a line");
        finding
    });
    let mut states = findings.filter(|finding| finding["Check"] == "state");
    (states.next().expect("the state is looked at"), ran.code)
}

#[test]
fn doctor_fails_where_commands_cannot_open_the_state() {
    let host = Host::new();
    let (none, code) = state_by_doctor(&host);
    assert_eq!((&none["Status"], code), (&"ok".into(), Some(0)), "{none}");
    host.create("n");
    let (there, code) = state_by_doctor(&host);
    assert_eq!((&there["Status"], code), (&"ok".into(), Some(0)), "{there}");
    // The journal would bring the rows back.
    let keep =
        "mkdir /run/kept; mv /run/state/state.db* /run/kept; echo no rows >/run/state/state.db";
    let broken = [
        (
            "chmod 755 /run/state",
            "chmod 700 /run/state",
            "open to others",
            "chmod 700",
        ),
        (
            keep,
            "mv /run/kept/state.db* /run/state",
            "not a database",
            "purge --yes --lost",
        ),
    ];
    for (harm, mend, said, advice) in broken {
        host.call("sh -c").arg(harm).ok();
        // What doctor says is what commands meet.
        host.bridge_user("net ls").fails_with(1, &[said]);
        let (state, code) = state_by_doctor(&host);
        assert_eq!(
            (&state["Status"], code),
            (&"failure".into(), Some(1)),
            "{state}"
        );
        assert!(
            state["Detail"].as_str().is_some_and(|d| d.contains(said)),
            "{state}"
        );
        assert!(
            state["Advice"].as_str().is_some_and(|a| a.contains(advice)),
            "{state}"
        );
        host.call("sh -c").arg(mend).ok();
    }
    host.change_meta(|meta| meta.owner += 1);
    host.bridge_user("net ls").fails_with(1, &["another state"]);
    let (state, code) = state_by_doctor(&host);
    assert_eq!(
        (&state["Status"], code),
        (&"failure".into(), Some(1)),
        "{state}"
    );
}

#[test]
fn doctor_changes_nothing() {
    let host = Host::new();
    let fresh = host.snapshot();
    host.bridge_user("doctor").ok();
    host.assert_as_before(&fresh, "something was changed");
}

#[test]
fn the_version_names_tool_object_and_kernel() {
    let host = Host::new();
    let said = host.bridge_user("--version").ok();
    let release = host.call("uname -r").ok();
    assert!(
        said.starts_with(&format!("bridge-user {}", env!("CARGO_PKG_VERSION"))),
        "{said}"
    );
    assert!(
        said.contains("BPF object") && said.contains(release.trim()),
        "{said}"
    );
    host.assert_clean();
}

#[test]
fn completions_are_printed_for_every_shell() {
    let host = Host::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = host.bridge_user(&format!("completions {shell}")).ok();
        assert!(
            script.contains("bridge-user") && script.contains("disconnect"),
            "{shell}"
        );
    }
    let script = host.bridge_user("completions bash").ok();
    host.call("bash -n -c").arg(&script).ok();
    host.bridge_user("completions tcl").fails_with(2, &["tcl"]);
}

#[test]
fn a_broken_pipe_is_no_error() {
    let host = Host::new();
    let pipeline = "set -o pipefail; /run/bin/bridge-user --state-dir /run/state net ls | true";
    for _ in 0..5 {
        let ran = host.call("bash -c").arg(pipeline).run();
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran}");
    }
    let pipeline = "set -o pipefail; /run/bin/bridge-user completions bash | head -c 1 >/dev/null";
    let ran = host.call("bash -c").arg(pipeline).run();
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran}");
}

#[test]
fn the_state_directory_can_come_from_the_environment() {
    let host = Host::new();
    host.call("/run/bin/bridge-user net create n")
        .env("BRIDGE_USER_STATE_DIR", "/run/state")
        .ok();
    assert_eq!(host.networks(), ["n"]);
}

#[test]
fn nothing_is_loaded_that_was_not_asked_for() {
    let host = Host::new();
    let chains = |host: &Host| {
        let rules = host.call("nft -j list chains").json();
        array(&rules["nftables"])
            .iter()
            .filter_map(|e| e.get("chain").cloned())
            .collect::<Vec<_>>()
    };
    host.create("n");
    host.join("n", "a");
    for chain in chains(&host) {
        assert_eq!(text(&chain["table"]), "bridge_user");
        assert_ne!(
            chain["policy"], "drop",
            "no global policy is changed: {chain}"
        );
    }
    for protocol in ["iptables", "ip6tables", "arptables"] {
        let path = format!("/proc/sys/net/bridge/bridge-nf-call-{protocol}");
        let ran = host.call(&format!("cat {path}")).run();
        assert_ne!(ran.stdout.trim(), "1", "{path} was switched on");
    }
}

#[test]
fn options_without_a_command_are_wrong_usage() {
    let host = Host::new();
    host.bridge_user("-v").fails_with(2, &["no command"]);
}

#[test]
fn a_full_disk_is_named_and_no_end() {
    let host = Host::new();
    host.call("mkdir -m 700 /run/state").ok();
    host.call("mount -t tmpfs -o size=1500k,mode=700 full /run/state")
        .ok();
    host.create("n");
    host.netns("a");
    host.bridge_user("run -d --name loud -- sh -c")
        .arg("yes; sleep 600")
        .ok();
    let connect = || host.bridge_user("net connect n a").run();
    wait_until("the disk is full", || {
        let is_full = connect().code != Some(0);
        host.bridge_user("net disconnect -f n a").run();
        is_full
    });
    let refused = connect();
    assert!(refused.stderr.contains("state database"), "{refused}");
    assert!(
        refused.stderr.contains("hint: if its file system is full"),
        "{refused}"
    );
    host.call("sh -c")
        .arg("truncate -s 0 /run/state/runs/*/log")
        .ok();
    // The last one may have been made when there was no room to remove it.
    host.bridge_user("net disconnect -f n a").ok();
    host.connect("n a");
    host.bridge_user("rm -f loud").ok();
}

#[test]
fn wrong_usage_is_told_in_a_line_and_a_way_out() {
    let host = Host::new();
    for (words, parts) in [
        ("run", ["<COMMAND>", "usage: bridge-user run"]),
        (
            "net connect",
            ["<NETWORK> <SANDBOX>", "usage: bridge-user net"],
        ),
        (
            "net create --driver ipvlan n",
            ["[possible values: bridge", "--help"],
        ),
        (
            "net ls --nothing",
            ["'--nothing'", "usage: bridge-user net ls"],
        ),
        ("net create --datapath fast n", ["tc|xdp|off", "--help"]),
    ] {
        let ran = host.bridge_user(words).fails_with(2, &[]);
        let [error, hint] = ran.stderr.lines().collect::<Vec<_>>()[..] else {
            panic!("an error and a hint: {ran}");
        };
        assert!(error.contains(parts[0]), "{ran}");
        assert!(
            hint.starts_with("hint: ") && hint.contains(parts[1]),
            "{ran}"
        );
    }
}

#[test]
fn an_error_is_written_at_once() {
    // Two commands that fail at the same time write to one terminal: no line ends in another.
    let host = Host::new();
    host.bridge_user("net rm nowhere")
        .under("strace -qq -o /run/writes -e trace=write")
        .fails_with(1, &["nowhere", "hint: "]);
    let writes = host.read("/run/writes");
    let to_stderr = writes.lines().filter(|line| line.starts_with("write(2,"));
    assert_eq!(to_stderr.count(), 1, "{writes}");
}
