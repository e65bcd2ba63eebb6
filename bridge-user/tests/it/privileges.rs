//! A host or a user that lacks what is needed: the error says what, and nothing is left behind.

use crate::host::{Host, text};

/// Runs commands without some of root's capabilities.
fn without(capabilities: &str) -> String {
    format!("setpriv --bounding-set={capabilities} --inh-caps={capabilities}")
}

#[test]
fn nobody_is_told_which_privilege_is_missing() {
    let host = Host::new();
    let fresh = host.snapshot();
    let nobody =
        "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --no-new-privs";
    for words in [
        "net create n",
        "net ls",
        "net connect --create bridge a",
        "ps",
        "rm -f a",
        "logs a",
        "exec a true",
        "reconcile",
        "purge --yes",
        "demo",
        "daemon",
    ] {
        host.bridge_user(words)
            .under(nobody)
            .fails_with(1, &["privilege", "CAP_NET_ADMIN", "hint: "]);
    }
    host.assert_as_before(&fresh, "something was changed");
    assert!(
        host.bridge_user("--version")
            .under(nobody)
            .ok()
            .starts_with("bridge-user ")
    );
    assert!(
        host.bridge_user("completions bash")
            .under(nobody)
            .ok()
            .contains("bridge-user")
    );
}

#[test]
fn each_capability_is_named() {
    let host = Host::new();
    let fresh = host.snapshot();
    for (capability, name) in [
        ("-bpf", "CAP_BPF"),
        ("-net_admin", "CAP_NET_ADMIN"),
        ("-sys_admin", "CAP_SYS_ADMIN"),
    ] {
        let create = host.bridge_user("net create n").under(&without(capability));
        create.fails_with(1, &["privilege", name]);
    }
    host.assert_as_before(&fresh, "something was changed");
    let run = host.bridge_user("run --rm -p 80:80 -- true");
    run.under(&without("-net_bind_service"))
        .fails_with(125, &["0.0.0.0:80", "CAP_NET_BIND_SERVICE"]);
    assert_eq!(host.bridge_user("ps -aq").ok(), "");
}

#[test]
fn a_bpffs_that_cannot_be_used_is_named() {
    let host = Host::new();
    host.create("n");
    host.netns("a");
    let before = host.snapshot();
    for (file_system, at) in [("bpf", "/sys/fs/bpf"), ("tmpfs", "/sys/fs")] {
        let mount = format!("mount -t {file_system} -o ro none {at}");
        host.call(&mount).ok();
        let connect = host.bridge_user("net connect n a");
        connect.fails_with(1, &["/sys/fs/bpf"]);
        host.call(&format!("umount {at}")).ok();
        host.assert_as_before(&before, &mount);
    }
    host.connect("n a");
}

#[test]
fn a_kernel_without_ipv6_is_named() {
    let host = Host::new();
    // What a kernel with `ipv6.disable=1` looks like to a process.
    host.call("mount -t tmpfs tmpfs /proc/sys/net/ipv6").ok();
    let fresh = host.snapshot();
    host.bridge_user("net create --ipv6 n")
        .fails_with(1, &["IPv6", "network n"]);
    host.assert_as_before(&fresh, "something was changed");
    host.create("n");
    let a = host.join("n", "a");
    assert!(host.host_pings(&a.ipv4), "IPv4 works without");
}

/// Lets a call come back as from a kernel that lacks it, or what it asks for (strace(1)).
fn lacking(call: &str) -> String {
    format!("strace -f -qq -o /dev/null -e inject={call}")
}

#[test]
fn a_kernel_without_bpf_is_named() {
    let host = Host::new();
    let fresh = host.snapshot();
    let without_bpf = lacking("bpf:error=ENOSYS");
    for words in ["net create n", "net connect --create bridge a"] {
        host.bridge_user(words)
            .under(&without_bpf)
            .fails_with(1, &["the kernel has no bpf(2)", "CONFIG_BPF_SYSCALL"]);
    }
    let doctor = host.bridge_user("doctor").under(&without_bpf).run();
    assert_eq!(doctor.code, Some(1), "{doctor}");
    assert!(doctor.stdout.contains("CONFIG_BPF_SYSCALL"), "{doctor}");
    host.assert_as_before(&fresh, "something was changed");
    host.call("umount /sys/fs/bpf").ok();
    host.bridge_user("net create n")
        .under(&lacking("mount:error=ENODEV"))
        .fails_with(1, &["BPF file system on /sys/fs/bpf", "hint: "]);
    host.call("mount -t bpf bpf /sys/fs/bpf").ok();
    host.assert_as_before(&fresh, "something was changed");
}

#[test]
#[ignore = "vm-test runs it, before it loads the module bridge"]
fn a_kernel_without_bridge_is_named() {
    let host = Host::new();
    let fresh = host.snapshot();
    for words in ["net create n", "net connect --create bridge a"] {
        let parts = ["create bridge", "no links of this kind", "modprobe bridge"];
        host.bridge_user(words).fails_with(1, &parts);
        host.assert_as_before(&fresh, words);
    }
}

#[test]
#[ignore = "vm-test runs it, before it loads the module veth"]
fn a_kernel_without_veth_is_named() {
    let host = Host::new();
    host.create("n");
    host.netns("a");
    let before = host.snapshot();
    let parts = ["create veth", "no links of this kind", "modprobe veth"];
    host.bridge_user("net connect n a").fails_with(1, &parts);
    host.assert_as_before(&before, "something was changed");
}

#[test]
fn a_missing_tool_is_named() {
    let host = Host::new();
    let fresh = host.snapshot();
    let create = host.bridge_user("net create n").env("PATH", "/nowhere");
    create.fails_with(1, &["nft", "nftables"]);
    host.assert_as_before(&fresh, "the network is not taken back");
}

#[test]
fn a_firewall_that_refuses_is_named() {
    let host = Host::new();
    host.create("n");
    let before = host.snapshot();
    host.call("mkdir /run/refusing").ok();
    host.call("sh -c")
        .arg("printf '#!/bin/sh\\necho no such thing >&2\\nexit 1' >/run/refusing/nft")
        .ok();
    host.call("chmod +x /run/refusing/nft").ok();
    let create = host
        .bridge_user("net create m")
        .env("PATH", "/run/refusing");
    create.fails_with(1, &["inet bridge_user", "no such thing"]);
    host.assert_as_before(&before, "the network is not taken back");
}

#[test]
fn a_step_that_fails_is_undone() {
    let host = Host::new();
    host.create("--ipv6 n");
    host.netns("a");
    let before = host.snapshot();
    // As in many a container: the last steps of both commands write sysctls.
    host.call("mount --bind /proc/sys /proc/sys").ok();
    host.call("mount -o remount,ro,bind /proc/sys").ok();
    for words in [
        "net create --ipv6 m",
        "net connect n a",
        "net connect --create n b",
    ] {
        host.bridge_user(words).fails_with(1, &["/proc/sys/net/"]);
        host.assert_as_before(&before, words);
    }
    host.call("umount /proc/sys").ok();
    host.connect("n a");
}

#[test]
fn a_state_directory_that_cannot_be_is_named() {
    let host = Host::new();
    host.call("touch /run/file").ok();
    host.call("/run/bin/bridge-user --state-dir /run/file net ls")
        .fails_with(1, &["/run/file"]);
    host.call("/run/bin/bridge-user --state-dir /proc/state net ls")
        .fails_with(1, &["/proc/state"]);
    host.assert_clean();
}

#[test]
fn the_state_directory_is_private() {
    let host = Host::new();
    host.create("n");
    assert_eq!(host.call("stat -c %a /run/state").ok().trim(), "700");
}

#[test]
fn a_second_state_directory_does_not_take_over() {
    let host = Host::new();
    host.create("n");
    host.join("n", "a");
    let before = host.snapshot();
    let second = "/run/bin/bridge-user --state-dir /run/second";
    let connect = host.call(&format!("{second} net connect --create bridge b"));
    connect.fails_with(1, &["another state"]);
    let purge = host.call(&format!("{second} purge --yes"));
    purge.fails_with(1, &["another state"]);
    host.assert_as_before(&before, "something was changed");
    let left = host.call("test -e /run/second").run();
    assert_eq!(left.code, Some(1), "a refused command made the directory");
    host.assert_pings("a", "10.90.0.1");
}

#[test]
fn a_state_directory_belongs_to_one_host() {
    let host = Host::new();
    host.create("n");
    let before = host.snapshot();
    let elsewhere = "unshare --net";
    host.bridge_user("net ls")
        .under(elsewhere)
        .fails_with(1, &["/run/state", "hint: "]);
    host.bridge_user("purge --yes")
        .under(elsewhere)
        .fails_with(1, &["/run/state"]);
    host.assert_as_before(&before, "something was changed");
}

/// What doctor says of one thing: its status, and what to do.
fn told(host: &Host, under: &str, check: &str) -> (Option<i32>, String, String) {
    let ran = host.bridge_user("doctor --format json").under(under).run();
    let parse = |line| serde_json::from_str::<serde_json::Value>(line).expect("it is an object");
    let rows: Vec<_> = ran.stdout.lines().map(parse).collect();
    let row = rows.iter().find(|row| text(&row["Check"]) == check);
    let row = row.unwrap_or_else(|| panic!("{check} is looked at: {ran}"));
    (ran.code, text(&row["Status"]), text(&row["Advice"]))
}

#[test]
fn nobody_is_told_to_remove_pins_that_root_can_read() {
    let host = Host::new();
    host.create("n");
    let nobody =
        "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --no-new-privs";
    let (code, status, advice) = told(&host, nobody, "pins");
    assert_eq!((code, status.as_str()), (Some(1), "failure"));
    assert_eq!(advice, "run as root");
}

#[test]
fn a_state_that_cannot_be_written_is_told_by_doctor() {
    let host = Host::new();
    host.call("mkdir /run/state").ok();
    host.call("mount -t tmpfs -o mode=700,size=1m tmpfs /run/state")
        .ok();
    for name in ["n", "n2", "n3"] {
        host.create(name);
    }
    host.call("mount -o bind /run/state /run/state").ok();
    host.call("mount -o remount,bind,ro /run/state").ok();
    host.bridge_user("net ls").fails_with(
        1,
        &["/run/state/lock", "Read-only", "hint: ", "--state-dir"],
    );
    let (code, status, advice) = told(&host, "env", "state");
    assert_eq!((code, status.as_str()), (Some(1), "failure"));
    assert!(advice.contains("--state-dir"), "{advice}");
    host.call("umount /run/state").ok();
    assert_eq!(told(&host, "env", "state").1, "ok");
    let fill = "dd if=/dev/zero of=/run/state/fill bs=4k";
    host.call(fill).run();
    host.bridge_user("net create m").fails_with(1, &["full"]);
    let (code, status, _) = told(&host, "env", "state");
    assert_eq!((code, status.as_str()), (Some(1), "failure"));
    // What several steps meet is said once, with the way out.
    let purge = host.bridge_user("purge --yes").run();
    purge.assert_failure(1, &["full", "hint: "]);
    let line = purge.stderr.lines().next().unwrap_or_default();
    assert_eq!(line.matches("state database").count(), 1, "{purge}");
    host.call("rm /run/state/fill").ok();
    host.bridge_user("purge --yes").ok();
}
