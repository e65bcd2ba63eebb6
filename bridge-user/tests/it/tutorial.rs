//! Docker's tutorials of its networks, "Networking with standalone containers" and "Legacy container
//! links", followed here: docs/tutorial.md is the transcript.

use crate::host::{Host, array, text};

/// Runs a line of the tutorial.
#[track_caller]
fn line(host: &Host, words: &str) -> String {
    host.bridge_user(words).ok()
}

#[track_caller]
fn inspect(host: &Host, name: &str, template: &str) -> String {
    let found = host.bridge_user(&format!("inspect {name} --format"));
    found.arg(template).ok().trim().to_owned()
}

#[track_caller]
fn pings(host: &Host, from: &str, to: &str) {
    let reply = line(host, &format!("exec {from} -- ping -c 1 -W 2 {to}"));
    assert!(reply.contains("1 received, 0% packet loss"), "{reply}");
}

#[test]
fn dockers_tutorial_is_followed() {
    let host = Host::new();
    the_default_network(&host);
    a_link(&host);
    published_ports(&host);
    a_network_of_ones_own(&host);
    everything_goes(&host);
}

fn the_default_network(host: &Host) {
    let networks = line(host, "net ls --format {{.Name}}");
    assert_eq!(networks, "bridge\nhost\nnone\n");
    let seen = line(host, "run --rm -- ip addr show eth0");
    assert!(seen.contains("inet 10.90.0.2/24"), "{seen}");
    line(host, "run -d --name alpine1 -- sleep 600");
    line(host, "run -d --name alpine2 -- sleep 600");
    let template = "{{.NetworkSettings.IPAddress}}";
    let addresses = ["alpine1", "alpine2"].map(|name| inspect(host, name, template));
    for (name, address) in ["alpine1", "alpine2"].iter().zip(&addresses) {
        assert!(host.host_pings(address), "the host pings {name}");
        let own = host.addresses(Some(name), "eth0");
        assert_eq!(own[0].cidr, format!("{address}/24"), "by ip(8)");
    }
    pings(host, "alpine1", &addresses[1]);
    pings(host, "alpine2", &addresses[0]);
    pings(host, "alpine1", "10.90.0.1");
    let by_name = host
        .bridge_user("exec alpine1 -- ping -c 1 -W 2 alpine2")
        .run();
    assert_ne!(by_name.code, Some(0), "the default network has no names");
    let members = &host.inspect("bridge")["Containers"];
    let mut names: Vec<String> = members
        .as_object()
        .expect("it is an object")
        .values()
        .map(|container| text(&container["Name"]))
        .collect();
    names.sort();
    assert_eq!(names, ["alpine1", "alpine2"]);
}

fn a_link(host: &Host) {
    line(
        host,
        "run -d --name client --link alpine1:first -- sleep 600",
    );
    let hosts = line(host, "exec client -- cat /etc/hosts");
    let address = inspect(host, "alpine1", "{{.NetworkSettings.IPAddress}}");
    let id = &inspect(host, "alpine1", "{{.Id}}")[..12];
    assert!(
        hosts.contains(&format!("{address}\tfirst {id} alpine1\n")),
        "{hosts}"
    );
    pings(host, "client", "first");
    pings(host, "client", "alpine1");
    let back = host
        .bridge_user("exec alpine1 -- ping -c 1 -W 2 client")
        .run();
    assert_ne!(back.code, Some(0), "a link is one-way");
}

fn published_ports(host: &Host) {
    line(
        host,
        "run -d -P --expose 5000 --name web -- busybox httpd -f -p 5000 -h /etc",
    );
    let at = line(host, "port web 5000");
    let port = at
        .trim()
        .strip_prefix("0.0.0.0:")
        .expect("on all addresses");
    let template = "{{json .NetworkSettings.Ports}}";
    let binding = format!("{{\"5000/tcp\":[{{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"{port}\"}}]}}");
    assert_eq!(inspect(host, "web", template), binding);
    let page = host.call(&format!(
        "curl -s --retry 5 --retry-connrefused -m 5 http://10.90.0.1:{port}/hostname"
    ));
    // Its /etc has a host name of its own.
    assert_eq!(
        page.ok().trim(),
        inspect(host, "web", "{{.Config.Hostname}}")
    );
    line(host, "run -d -p 80:5000 --name again -- sleep 600");
    assert_eq!(line(host, "port again"), "5000/tcp -> 0.0.0.0:80\n");
    line(host, "rm -f web again");
}

fn a_network_of_ones_own(host: &Host) {
    line(
        host,
        "net create --driver bridge --subnet 10.120.0.0/24 --gateway 10.120.0.254 alpine-net",
    );
    let networks = line(host, "net ls --format {{.Name}}");
    assert!(networks.lines().any(|name| name == "alpine-net"));
    let config = &host.inspect("alpine-net")["IPAM"]["Config"];
    let pool = &array(config)[0];
    assert_eq!(
        (text(&pool["Subnet"]), text(&pool["Gateway"])),
        ("10.120.0.0/24".into(), "10.120.0.254".into())
    );
    for name in ["one", "two"] {
        line(
            host,
            &format!("run -d --name {name} --network alpine-net -- sleep 600"),
        );
    }
    pings(host, "one", "two");
    pings(host, "two", "one");
    pings(host, "one", "10.120.0.254");
    // A sandbox of the default network is put on it, too, and known there by its name.
    line(host, "net connect alpine-net alpine2");
    pings(host, "alpine2", "one");
    pings(host, "one", "alpine2");
    let template = "{{.NetworkSettings.Networks.alpine-net.IPAddress}}";
    let second = inspect(host, "alpine2", template);
    assert_eq!(
        host.addresses(Some("alpine2"), "eth1")[0].cidr,
        format!("{second}/24")
    );
    let apart = host
        .bridge_user("exec one -- ping -c 1 -W 0.5")
        .arg(&inspect(host, "alpine1", "{{.NetworkSettings.IPAddress}}"));
    assert_ne!(apart.run().code, Some(0), "networks are apart");
}

fn everything_goes(host: &Host) {
    let running = line(host, "ps --format {{.Names}}");
    assert_eq!(running, "two\none\nclient\nalpine2\nalpine1\n");
    let leg = inspect(
        host,
        "one",
        "{{.NetworkSettings.Networks.alpine-net.HostLeg}}",
    );
    assert!(host.link(None, &leg).is_some());
    line(host, "rm -f one");
    assert_eq!(host.link(None, &leg), None, "the pair vanishes with it");
    let gone = host.bridge_user("exec two -- ping -c 1 -W 1 one").run();
    assert_ne!(gone.code, Some(0), "and so does its name");
    line(host, "rm -f two client alpine1 alpine2");
    line(host, "net rm alpine-net");
    assert_eq!(line(host, "ps -aq"), "");
    host.assert_no_endpoint();
    assert_eq!(host.our_links(), ["bu0"]);
    assert_eq!(host.files("/run/netns"), [""; 0]);
    assert_eq!(host.files("/etc/netns"), [""; 0]);
}
