//! Which ports of the host are given, and how they are shown.

use serde_json::json;

use super::{connect, elements, publish};
use crate::host::{Host, array, text};

#[test]
fn ranges_are_paired_and_chosen_from() {
    let host = Host::new();
    host.create("n");
    let taken = host.call("nc -l 127.0.0.1 9001").spawn();
    crate::host::wait_until("netcat listens", || {
        let listening = host.call("ss -Hltn").arg("sport = :9001").run();
        !listening.stdout.is_empty()
    });
    publish(&host, "-p 8000-8002:80-82 -p 9000:70/udp n a");
    let ports = host.bridge_user("port a").ok();
    let expected = "70/udp -> 0.0.0.0:9000\n80/tcp -> 0.0.0.0:8000\n81/tcp -> 0.0.0.0:8001\n\
                    82/tcp -> 0.0.0.0:8002\n";
    assert_eq!(ports, expected);
    publish(&host, "-p 9000-9003:80 n b");
    assert_eq!(host.bridge_user("port b 80").ok(), "0.0.0.0:9000\n");
    publish(&host, "-p 9000-9003:80 n c");
    assert_eq!(
        host.bridge_user("port c 80/tcp").ok(),
        "0.0.0.0:9002\n",
        "one is another's, one a process's"
    );
    publish(&host, "-p 9000-9003:80 n d");
    let none = host.bridge_user("net connect -p 9000-9003:80 --create n e");
    none.fails_with(1, &["9000 to 9003", "80/tcp"]);
    drop(taken);
}

#[test]
fn free_ports_are_of_the_kernels_range() {
    let host = Host::new();
    host.call("sysctl -q -w")
        .arg("net.ipv4.ip_local_port_range=50000 50003")
        .ok();
    host.create("--ipv6 n");
    publish(&host, "-p 80 -p 81/udp -p 127.0.0.1::82 n a");
    let published = host.bridge_user("port a --format json").ok();
    let lines: Vec<serde_json::Value> = published
        .lines()
        .map(|line| serde_json::from_str(line).expect("it is JSON"))
        .collect();
    let port = |line: &serde_json::Value| -> u16 { text(&line["HostPort"]).parse().unwrap() };
    assert_eq!(lines.len(), 5, "{published}");
    assert!(
        lines
            .iter()
            .all(|line| (50000..=50003).contains(&port(line)))
    );
    assert_eq!(
        port(&lines[0]),
        port(&lines[1]),
        "one port for both families"
    );
    assert_eq!(
        lines[4],
        json!({"Port": "82/tcp", "HostIp": "127.0.0.1", "HostPort": port(&lines[4]).to_string()})
    );
    publish(&host, "-p 80 -p 81 n b");
    let full = host.bridge_user("net connect -p 80 --create n c");
    full.fails_with(1, &["50000 to 50003", "80/tcp"]);
    assert_eq!(host.members("n"), ["a", "b"]);
}

#[test]
fn the_networks_option_says_which_address() {
    let host = Host::new();
    let option = "-o com.docker.network.bridge.host_binding_ipv4";
    host.create(&format!("--ipv6 {option}=127.0.0.1 local"));
    host.create(&format!("--ipv6 {option}=:: six"));
    host.create(&format!("{option}=0.0.0.0 all"));
    for (network, port, expected) in [
        ("local", 8080, "127.0.0.1:8080\n"),
        ("six", 8081, "[::]:8081\n"),
        ("all", 8082, "0.0.0.0:8082\n"),
    ] {
        publish(&host, &format!("-p {port}:80 {network} on-{network}"));
        assert_eq!(
            host.bridge_user(&format!("port on-{network} 80")).ok(),
            expected
        );
    }
    publish(&host, "-p 0.0.0.0:8083:80 local given");
    assert_eq!(host.bridge_user("port given 80").ok(), "0.0.0.0:8083\n");
}

#[test]
fn a_run_shows_its_ports_as_dockers_do() {
    let host = Host::new();
    host.create("--ipv6 n");
    let run = "run -d --name web --network n -p 8080:80 -p 127.0.0.1:8443:443 --expose 90-91/udp -- sleep 600";
    host.bridge_user(run).ok();
    let inspect = |template: &str| host.bridge_user("inspect web -f").arg(template).json();
    assert_eq!(
        inspect("{{json .NetworkSettings.Ports}}"),
        json!({
            "443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8443"}],
            "80/tcp": [
                {"HostIp": "0.0.0.0", "HostPort": "8080"},
                {"HostIp": "::", "HostPort": "8080"},
            ],
            "90/udp": null, "91/udp": null,
        })
    );
    assert_eq!(
        inspect("{{json .Config.ExposedPorts}}"),
        json!({"90/udp": {}, "91/udp": {}})
    );
    let ps = host.bridge_user("ps --format {{.Ports}}").ok();
    assert_eq!(
        ps,
        "90-91/udp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 127.0.0.1:8443->443/tcp\n"
    );
    assert!(host.bridge_user("ps").ok().contains("PORTS"));
    let port = host.bridge_user("port web").ok();
    assert_eq!(
        port,
        "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n443/tcp -> 127.0.0.1:8443\n"
    );
    host.bridge_user("port web 91/udp")
        .fails_with(1, &["no public port '91/udp' published for web"]);
    let members = &host.inspect("n")["Containers"];
    let web = members.as_object().and_then(|all| all.values().next());
    let web = &web.expect("it is there")["Ports"];
    assert_eq!(web["443/tcp"][0]["HostPort"], "8443");
    host.bridge_user("rm -f web").ok();
    assert_eq!(elements(&host, "map", "published4_all"), [0; 0]);
}

#[test]
fn all_exposed_ports_are_published() {
    let host = Host::new();
    host.create("--internal inside");
    host.create("n");
    host.bridge_user(
        "run -d --name web --network inside --network n -P --expose 80-81 --expose 53/udp \
         -p 8081:81 -- sleep 600",
    )
    .ok();
    let ports = host.bridge_user("port web").ok();
    let lines: Vec<&str> = ports.lines().collect();
    assert_eq!(lines.len(), 3, "{ports}");
    assert!(lines[0].starts_with("53/udp -> 0.0.0.0:"), "{ports}");
    assert!(lines[1].starts_with("80/tcp -> 0.0.0.0:"), "{ports}");
    assert_eq!(lines[2], "81/tcp -> 0.0.0.0:8081");
    let view = {
        host.netns("plain");
        connect(&host, "-P --expose 7 --name seven n plain")
    };
    assert_eq!(array(&view["Ports"]["7/tcp"]).len(), 1, "{view}");
    // By the namespace, and by the endpoint's name.
    let by_namespace = host.bridge_user("port plain").ok();
    assert_eq!(by_namespace, host.bridge_user("port seven").ok());
    assert!(
        by_namespace.starts_with("7/tcp -> 0.0.0.0:"),
        "{by_namespace}"
    );
}
