//! /etc/netns/NAME/hosts: Docker's form, the names of the network, written in place.

use crate::host::{Endpoint, Host};

/// The lines that every file of ours begins with, as Docker's do.
const HEAD: &str = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

fn path(sandbox: &str) -> String {
    format!("/etc/netns/{sandbox}/hosts")
}

/// The lines behind the head of a file that is ours.
#[track_caller]
fn lines(host: &Host, sandbox: &str) -> Vec<String> {
    let text = host.read(&path(sandbox));
    let own = text
        .strip_prefix(HEAD)
        .unwrap_or_else(|| panic!("not Docker's head: {text}"));
    own.lines().map(str::to_owned).collect()
}

/// Lines of an endpoint with these names.
fn of(endpoint: &Endpoint, names: &str) -> Vec<String> {
    endpoint
        .addresses()
        .iter()
        .map(|address| format!("{address}\t{names}"))
        .collect()
}

#[test]
fn a_file_has_the_own_names_first_and_then_the_others() {
    let host = Host::new();
    host.create("--ipv6 n");
    host.netns("a");
    let a = host.connect("--alias www --alias shop n a");
    assert_eq!(lines(&host, "a"), of(&a, "a www shop"));
    host.netns("b");
    let b = host.connect("--name db n b");
    assert_eq!(
        lines(&host, "a"),
        [of(&a, "a www shop"), of(&b, "db")].concat()
    );
    assert_eq!(
        lines(&host, "b"),
        [of(&b, "db"), of(&a, "a www shop")].concat()
    );
    host.assert_pings("b", "shop");
    host.assert_pings("a", "-6 db");
    host.bridge_user("net disconnect n b").ok();
    assert_eq!(lines(&host, "a"), of(&a, "a www shop"));
    let files = [path("a"), "/etc/netns/a/resolv.conf".into()];
    assert_eq!(host.files("/etc/netns"), files);
}

#[test]
fn a_running_process_sees_the_change() {
    let host = Host::new();
    host.create("n");
    host.join("n", "a");
    let inode = || host.call(&format!("stat -c %i {}", path("a"))).ok();
    let before = inode();
    host.call("mkfifo /run/go").ok();
    let reader = host
        .exec("a", "sh -c")
        .arg("read line </run/go; cat /etc/hosts")
        .spawn();
    host.pid_of("sh");
    let b = host.join("n", "b");
    host.call("sh -c").arg("echo go >/run/go").ok();
    let seen = reader.wait();
    assert!(
        seen.contains(&format!("{}\tb\n", b.ipv4)),
        "it sees an old file: {seen}"
    );
    assert_eq!(inode(), before);
    host.bridge_user("net disconnect n b").ok();
    assert_eq!(inode(), before);
}

#[test]
fn a_file_of_the_users_own_is_kept() {
    let host = Host::new();
    host.create("n");
    host.netns("a");
    let own = "127.0.0.1 localhost\n192.0.2.7 printer";
    host.call("mkdir /etc/netns/a").ok();
    host.call("sh -c")
        .arg(&format!("printf '{own}' >{}", path("a")))
        .ok();
    let a = host.connect("n a");
    let b = host.join("n", "b");
    let text = host.read(&path("a"));
    assert!(text.starts_with(own), "{text}");
    assert!(text.contains(&format!("{}\ta\n", a.ipv4)), "{text}");
    assert!(text.contains(&format!("{}\tb\n", b.ipv4)), "{text}");
    host.assert_pings("a", "b");
    host.call("sh -c")
        .arg(&format!("echo 192.0.2.8 scanner >>{}", path("a")))
        .ok();
    host.bridge_user("net disconnect n a").ok();
    assert_eq!(host.read(&path("a")), format!("{own}\n192.0.2.8 scanner\n"));
}

#[test]
fn a_file_in_another_encoding_stands_in_nobodys_way() {
    let host = Host::new();
    host.create("n");
    host.netns("a");
    host.call("mkdir /etc/netns/a").ok();
    host.call("sh -c")
        .arg(&format!("printf '# caf\\351\\n' >{}", path("a")))
        .ok();
    host.connect("n a");
    host.join("n", "b");
    host.assert_pings("a", "b");
    host.bridge_user("net disconnect n a").ok();
    let bytes = host.call("od -An -c").arg(&path("a")).ok();
    assert_eq!(bytes.split_whitespace().collect::<String>(), r"#caf351\n");
}

#[test]
fn on_the_default_network_a_sandbox_knows_only_itself() {
    let host = Host::new();
    let [a, b] = ["a", "b"].map(|name| {
        host.netns(name);
        host.connect(&format!("bridge {name}"))
    });
    assert_eq!(lines(&host, "a"), of(&a, "a"));
    assert_eq!(lines(&host, "b"), of(&b, "b"));
}

#[test]
fn networks_do_not_tell_each_other_their_names() {
    let host = Host::new();
    host.create("one");
    host.create("two");
    host.netns("both");
    let [on_one, on_two] = ["one", "two"].map(|network| host.connect(&format!("{network} both")));
    let b = host.join("one", "b");
    let c = host.join("two", "c");
    assert_eq!(
        lines(&host, "b"),
        [of(&b, "b"), of(&on_one, "both")].concat()
    );
    assert_eq!(
        lines(&host, "c"),
        [of(&c, "c"), of(&on_two, "both")].concat()
    );
    let mut all = lines(&host, "both");
    all.sort();
    let mut expected = [
        of(&on_one, "both"),
        of(&on_two, "both"),
        of(&b, "b"),
        of(&c, "c"),
    ]
    .concat();
    expected.sort();
    assert_eq!(all, expected);
}

#[test]
fn a_lost_file_comes_back_with_reconcile() {
    let host = Host::new();
    host.create("n");
    let a = host.join("n", "a");
    host.call("rm -r /etc/netns/a").ok();
    host.bridge_user("reconcile").ok();
    assert_eq!(lines(&host, "a"), of(&a, "a"));
}

#[test]
fn a_file_that_cannot_be_written_is_told_of_and_in_nobodys_way() {
    for making in ["mkdir", "mkfifo"] {
        not_a_file(making);
    }
}

fn not_a_file(making: &str) {
    let host = Host::new();
    host.create("n");
    host.netns("odd");
    host.call("mkdir -p /etc/netns/odd").ok();
    host.call(&format!("{making} /etc/netns/odd/hosts")).ok();
    for words in ["net connect n odd", "net connect --create n b"] {
        let ran = host.bridge_user(words).run();
        assert_eq!(ran.code, Some(0), "{ran}");
        let told = ran.stderr.contains("warning") && ran.stderr.contains(&path("odd"));
        assert!(told, "{ran}");
    }
    host.assert_pings("b", "odd");
    for name in ["odd", "b"] {
        host.bridge_user(&format!("net disconnect n {name}")).ok();
    }
    assert!(host.members("n").is_empty());
}
