//! From creation to removal: nothing is left, whoever ends first.

use crate::host::{Host, PINS, wait_until};

#[test]
fn everything_made_is_removed() {
    let host = Host::new();
    host.create("--ipv6 one");
    host.create("--internal two");
    host.netns("a");
    let a = host.connect("one a");
    host.connect("two a");
    host.join("one", "b");
    assert!(host.has_table());
    assert_eq!(
        (
            host.fdb().len(),
            host.ports().len(),
            host.attachments().len()
        ),
        (3, 3, 3)
    );
    for (network, sandbox) in [("one", "a"), ("two", "a"), ("one", "b")] {
        assert_eq!(
            host.bridge_user(&format!("net disconnect {network} {sandbox}"))
                .ok(),
            ""
        );
    }
    assert_eq!(host.link(Some("a"), &a.interface), None);
    assert_eq!(
        (host.fdb(), host.ports(), host.attachments()),
        Default::default()
    );
    assert_eq!(host.bridge_user("net rm one two").ok(), "one\ntwo\n");
    assert_eq!(host.networks(), [""; 0]);
    host.assert_clean();
    assert_eq!(
        host.files("/run/netns"),
        ["/run/netns/a", "/run/netns/b"],
        "found ones stay"
    );
}

#[test]
fn a_deleted_namespace_is_noticed_by_the_next_command() {
    let host = Host::new();
    host.create("--ipv6 --subnet 10.77.0.0/24 n");
    let a = host.join("n", "a");
    let b = host.join("n", "b");
    host.call("ip netns del a").ok();
    host.bridge_user("net ls").ok();
    assert_eq!(host.members("n"), ["b"]);
    assert_eq!(host.link(None, &a.host_leg), None);
    assert_eq!(
        (
            host.fdb().len(),
            host.ports().len(),
            host.attachments().len()
        ),
        (1, 1, 1)
    );
    let hosts = host.read("/etc/netns/b/hosts");
    assert!(!hosts.contains(&a.ipv4), "{hosts}");
    assert_eq!(host.files("/etc/netns/a"), [""; 0]);
    // Name and addresses are free again.
    host.netns("a");
    let again = host.connect(&format!("--ip {} --ip6 {} n a", a.ipv4, a.ipv6));
    host.assert_pings("b", &again.ipv4);
    host.transfer(&b, &again, &again.ipv4, 1).assert_fast();
}

#[test]
fn the_last_namespace_of_a_network_may_go_too() {
    let host = Host::new();
    host.create("n");
    host.join("n", "a");
    host.call("ip netns del a").ok();
    assert_eq!(
        host.bridge_user("net rm n").ok(),
        "n\n",
        "it has no endpoints any more"
    );
    host.assert_clean();
}

#[test]
fn a_namespace_that_a_process_holds_ends_with_it() {
    let host = Host::new();
    host.create("n");
    let sleeper = host.call("unshare --net sleep 60").spawn();
    let pid = host.pid_of("sleep");
    let a = host.connect(&format!("n pid:{pid}"));
    assert_eq!(host.members("n"), [format!("pid-{pid}")]);
    assert!(host.host_pings(&a.ipv4));
    sleeper.stop();
    wait_until("the next command notices", || host.members("n").is_empty());
    assert_eq!(
        (host.fdb(), host.ports(), host.attachments()),
        Default::default()
    );
    assert_eq!(host.link(None, &a.host_leg), None);
}

#[test]
fn removing_one_network_leaves_the_other() {
    let host = Host::new();
    host.create("gone");
    host.create("-o com.docker.network.bridge.enable_icc=false stays");
    let a = host.join("stays", "a");
    let b = host.join("stays", "b");
    host.bridge_user("net rm gone").ok();
    assert!(host.has_table());
    assert!(!host.ping_quickly("a", &b.ipv4));
    assert!(host.host_pings(&a.ipv4));
}

#[test]
fn prune_removes_what_is_unused_and_purge_everything() {
    let host = Host::new();
    host.create("--label keep=yes labelled");
    host.create("unused");
    host.create("used");
    host.join("used", "a");
    host.netns("b");
    host.connect("bridge b");
    host.bridge_user("net connect --create used made").ok();
    let prune = host.bridge_user("net prune -f --filter label!=keep").ok();
    assert_eq!(prune, "Deleted Networks:\nunused\n");
    assert_eq!(host.networks(), ["labelled", "used"]);
    let unanswered = host.bridge_user("net prune").run();
    assert!(
        unanswered.code == Some(1) && unanswered.stderr.contains("[y/N]"),
        "{unanswered}"
    );
    assert_eq!(host.networks(), ["labelled", "used"]);
    host.bridge_user("purge").fails_with(1, &["--yes"]);
    assert_eq!(host.networks(), ["labelled", "used"]);
    host.bridge_user("purge --yes").ok();
    host.assert_clean();
    assert_eq!(host.files(PINS), [""; 0]);
    assert_eq!(host.files("/run/state"), [""; 0]);
    assert_eq!(
        host.files("/run/netns"),
        ["/run/netns/a", "/run/netns/b"],
        "found ones stay"
    );
}

#[test]
fn purge_works_without_any_state() {
    let host = Host::new();
    host.bridge_user("purge --yes").ok();
    host.create("n");
    host.join("n", "a");
    host.call("rm -r /run/state").ok();
    let before = host.leftovers();
    host.bridge_user("purge --yes")
        .fails_with(1, &["another state", "--lost"]);
    assert_eq!(host.leftovers(), before, "it is somebody's");
    host.bridge_user("purge --yes --lost").ok();
    let mut left = host.leftovers();
    left.retain(|file| !file.starts_with("/etc/netns"));
    assert_eq!(
        left, [""; 0],
        "links, pins and table are known by their names"
    );
    assert_eq!(host.files(PINS), [""; 0]);
}

/// A wrong directory is no reason to remove what the right one has, whether the pins are there or not.
#[test]
fn purge_with_another_state_leaves_everything_and_nothing() {
    let host = Host::new();
    host.create("n");
    host.join("n", "a");
    let purge = "/run/bin/bridge-user --state-dir /run/other purge --yes";
    let before = host.leftovers();
    host.call(purge).fails_with(1, &["another state", "--lost"]);
    assert_eq!(host.leftovers(), before);
    assert_eq!(host.call("ls -d /run/other").run().stdout, "");
    host.call("umount /sys/fs/bpf").ok();
    let before = host.leftovers();
    host.call(purge)
        .fails_with(1, &["in no network of this state directory", "--lost"]);
    assert_eq!(host.leftovers(), before);
    assert_eq!(host.call("ls -d /run/other").run().stdout, "");
    host.bridge_user("purge --yes").ok();
    host.assert_clean();
}

/// The state knows all that names do not tell.
#[test]
fn purge_removes_by_the_state_where_pins_cannot_be_read() {
    let host = Host::new();
    host.do_not_forward();
    host.outside();
    let before = host.sysctls();
    host.create("n");
    host.netns("web");
    host.bridge_user("net connect -p 40000:80 n web").ok();
    host.bridge_user("run -d --name run --network n -- sleep 1000")
        .ok();
    let meta = format!("{PINS}/maps/META");
    host.call(&format!("rm {meta}")).ok();
    let damaged = "type hash key 4 value 4 entries 1 name META";
    host.call(&format!("bpftool map create {meta} {damaged}"))
        .ok();
    host.bridge_user("purge --yes").fails_with(1, &[&meta]);
    host.bridge_user("purge --yes --lost").ok();
    assert_eq!(host.sysctls(), before);
    assert_eq!(host.call("pgrep -x sleep").run().stdout, "");
    host.assert_clean();
}

#[test]
fn a_small_mtu_is_a_network_without_ipv6() {
    let host = Host::new();
    host.create("-o com.docker.network.driver.mtu=576 n");
    let [a, b] = ["a", "b"].map(|name| host.join("n", name));
    let leg = host.link(Some("a"), "eth0").expect("the leg is there");
    assert_eq!(leg["mtu"], 576);
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
}

#[test]
fn purge_touches_no_file_that_is_no_state() {
    let host = Host::new();
    host.call("mkdir -m 700 /run/mine").ok();
    host.call("cp /etc/passwd /run/mine/state.db").ok();
    let purge = "/run/bin/bridge-user --state-dir /run/mine purge --yes";
    host.call(purge).fails_with(1, &["state database"]);
    assert!(!host.read("/run/mine/state.db").is_empty());
    host.call("chmod 755 /run/mine").ok();
    host.call(purge).fails_with(1, &["open to others"]);
    assert!(!host.read("/run/mine/state.db").is_empty());
}
