//! `--link`: one-way names, through the hosts file of the one that has the link.

use crate::host::Host;

/// Starts `sleep` in the background with these options of `run`; gives its short id.
#[track_caller]
fn sleeper(host: &Host, options: &str) -> String {
    let id = host
        .bridge_user(&format!("run -d {options} -- sleep 600"))
        .ok();
    id[..12].to_owned()
}

/// Address of a sandbox on a network, by the kernel.
#[track_caller]
fn address(host: &Host, name: &str, interface: &str) -> String {
    let cidr = host.addresses(Some(name), interface)[0].cidr.clone();
    cidr.split('/').next().unwrap_or_default().to_owned()
}

/// The lines of a hosts file that say something of an address, as the sandbox itself sees them.
#[track_caller]
fn lines_of(host: &Host, name: &str, address: &str) -> Vec<String> {
    let hosts = host
        .bridge_user(&format!("exec {name} -- cat /etc/hosts"))
        .ok();
    let lines = hosts
        .lines()
        .filter(|line| line.split('\t').next() == Some(address));
    lines.map(str::to_owned).collect()
}

/// Whether a sandbox finds an address for a name.
fn resolves(host: &Host, name: &str, other: &str) -> bool {
    let found = host
        .bridge_user(&format!("exec {name} -- getent ahostsv4 {other}"))
        .run();
    found.code == Some(0)
}

#[test]
fn on_the_default_network_a_link_is_one_way() {
    let host = Host::new();
    let id = sleeper(&host, "--name db");
    sleeper(&host, "--name web --link db:store");
    sleeper(&host, "--name other");
    let db = address(&host, "db", "eth0");
    assert_eq!(
        lines_of(&host, "web", &db),
        [format!("{db}\tstore {id} db")]
    );
    for name in ["store", "db", &id] {
        host.bridge_user(&format!("exec web -- ping -nqc 1 -W 2 {name}"))
            .ok();
        assert!(!resolves(&host, "other", name), "{name}");
    }
    let web = address(&host, "web", "eth0");
    assert!(!resolves(&host, "db", "web"));
    assert_eq!(lines_of(&host, "db", &web), [""; 0]);
    let links = host
        .bridge_user("inspect web -f")
        .arg("{{json .NetworkSettings.Networks.bridge.Links}}")
        .ok();
    assert_eq!(links, "[\"db:store\"]\n");
}

#[test]
fn a_link_without_an_alias_has_the_name_once() {
    let host = Host::new();
    let id = sleeper(&host, "--name db");
    sleeper(&host, &format!("--name web --link db --link {id}:again"));
    let db = address(&host, "db", "eth0");
    let expected = [format!("{db}\tdb {id}"), format!("{db}\tagain {id} db")];
    assert_eq!(lines_of(&host, "web", &db), expected);
}

#[test]
fn a_link_follows_its_sandbox_and_goes_with_it() {
    let host = Host::new();
    sleeper(&host, "--name db");
    sleeper(&host, "--name web --link db:store");
    let inode = || host.bridge_user("exec web -- stat -c %i /etc/hosts").ok();
    let (before, first) = (inode(), address(&host, "db", "eth0"));
    host.bridge_user("net disconnect bridge db").ok();
    assert!(!resolves(&host, "web", "store"));
    let second = host.connect("bridge db").ipv4;
    assert_ne!(first, second);
    assert_eq!(lines_of(&host, "web", &first), [""; 0]);
    host.bridge_user("exec web -- ping -nqc 1 -W 2 store").ok();
    host.bridge_user("rm -f db").ok();
    assert!(!resolves(&host, "web", "store"));
    // Another one of the name is not what was linked to.
    sleeper(&host, "--name db");
    assert!(!resolves(&host, "web", "store") && !resolves(&host, "web", "db"));
    assert_eq!(inode(), before);
}

#[test]
fn on_a_user_defined_network_a_link_is_a_name_of_ones_own() {
    let host = Host::new();
    host.create("n");
    sleeper(&host, "--name web --network n --link db:store");
    assert!(!resolves(&host, "web", "store"), "it waits for the name");
    let id = sleeper(&host, "--name db --network n");
    sleeper(&host, "--name other --network n");
    let db = address(&host, "db", "eth0");
    let expected = [format!("{db}\tstore"), format!("{db}\tdb {id}")];
    assert_eq!(lines_of(&host, "web", &db), expected);
    host.bridge_user("exec web -- ping -nqc 1 -W 2 store").ok();
    for name in ["other", "db"] {
        assert!(!resolves(&host, name, "store"), "{name}");
        assert!(
            resolves(&host, name, "web"),
            "names of the network are everybody's"
        );
    }
    host.bridge_user("rm -f db").ok();
    assert!(!resolves(&host, "web", "store"));
    sleeper(&host, "--name db --network n");
    assert!(
        resolves(&host, "web", "store"),
        "it is to whoever has the name"
    );
}

#[test]
fn connect_links_too_and_so_do_plain_namespaces() {
    let host = Host::new();
    let db = host.join("bridge", "db");
    host.netns("web");
    host.connect("--link db:store bridge web");
    let hosts = host.read("/etc/netns/web/hosts");
    assert!(
        hosts.contains(&format!("{}\tstore db\n", db.ipv4)),
        "{hosts}"
    );
    host.assert_pings("web", "store");
    host.bridge_user("net disconnect bridge web").ok();
    let run = sleeper(&host, "--name api --network none");
    host.connect("--link db bridge api");
    assert_eq!(
        lines_of(&host, &run, &db.ipv4),
        [format!("{}\tdb", db.ipv4)]
    );
}

#[test]
fn a_link_to_nothing_or_without_a_network_is_refused() {
    let host = Host::new();
    host.create("n");
    sleeper(&host, "--name db");
    sleeper(&host, "--name elsewhere --network n");
    let before = host.snapshot();
    for (options, parts) in [
        ("--link nobody", ["cannot link to nobody", "network bridge"]),
        (
            "--link elsewhere",
            ["cannot link to elsewhere", "network bridge"],
        ),
        (
            "--link db:x --link web:x --network n",
            ["two links", "alias x"],
        ),
        (
            "--network host --link db",
            ["conflicting options: host type networking", "links"],
        ),
        (
            "--network container:db --link db",
            ["conflicting options: container type network", "links"],
        ),
        (
            "--network none --link db",
            ["conflicting options: none type networking", "links"],
        ),
    ] {
        let words = format!("run --name web {options} -- true");
        host.bridge_user(&words).fails_with(125, &parts);
        host.assert_as_before(&before, &words);
    }
    host.netns("plain");
    host.bridge_user("net connect --link nobody bridge plain")
        .fails_with(1, &["cannot link to nobody", "hint: "]);
    host.bridge_user("run --link : true").fails_with_usage();
}
