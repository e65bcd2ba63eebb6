//! Lists and details: Docker's shapes, for scripts and for eyes.

use serde_json::{Value, json};

use crate::host::{Host, text};

#[test]
fn the_list_is_docker_s_table() {
    let host = Host::new();
    let ids = ["net10", "net2"].map(|name| host.create(name));
    let list = host.bridge_user("net ls").ok();
    let (short_ids, rest): (Vec<&str>, Vec<&str>) = list
        .lines()
        .map(|line| line.split_at(line.len().min(15)))
        .unzip();
    let expected = [
        "NAME     DRIVER   SCOPE",
        "bridge   bridge   local",
        "host     host     local",
        "net2     bridge   local",
        "net10    bridge   local",
        "none     null     local",
    ];
    assert_eq!(rest, expected);
    assert_eq!(short_ids[0], "NETWORK ID     ");
    assert_eq!(short_ids[3], format!("{}   ", &ids[1][..12]));
    assert_eq!(short_ids[4], format!("{}   ", &ids[0][..12]));
    let is_id = |id: &str| id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit());
    assert!(short_ids[1..].iter().all(|id| is_id(id.trim())), "{list}");
    assert_eq!(
        host.bridge_user("network list").ok(),
        list,
        "built-in ones keep their ids"
    );
}

#[test]
fn the_list_can_be_ids_whole_json_or_a_template() {
    let host = Host::new();
    let id = host.create("--ipv6 --internal --label tier=front --label bare n");
    assert!(
        id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()),
        "{id}"
    );
    let ls = |words: &str| {
        host.bridge_user(&format!(
            "net ls --filter name=n --filter type=custom {words}"
        ))
    };
    assert_eq!(ls("-q").ok(), format!("{}\n", &id[..12]));
    assert_eq!(ls("-q --no-trunc").ok(), format!("{id}\n"));
    assert!(ls("--no-trunc").ok().contains(&id));
    let row = ls("--format json --no-trunc").json();
    let created = text(&row["CreatedAt"]);
    assert!(
        created.starts_with("20") && created.contains('T'),
        "{created}"
    );
    let expected = json!({
        "CreatedAt": created, "Driver": "bridge", "ID": id, "IPv6": "true", "Internal": "true",
        "Labels": "bare=,tier=front", "Name": "n", "Scope": "local",
    });
    assert_eq!(row, expected);
    let template = ls("--format").arg(r"{{.Name}}\t{{json .Driver}}").ok();
    assert_eq!(template, "n\t\"bridge\"\n");
    let table = ls("--format").arg(r"table {{.Name}}\t{{.ID}}").ok();
    assert_eq!(table, format!("NAME   NETWORK ID\nn      {}\n", &id[..12]));
}

#[test]
fn filters_select() {
    let host = Host::new();
    host.create("--label tier=front first");
    host.create("--label tier=back two");
    let names = |filter: &str| {
        let list = host
            .bridge_user(&format!("net ls --format {{{{.Name}}}} {filter}"))
            .ok();
        list.lines().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(""), "bridge first host none two");
    assert_eq!(names("-f driver=bridge"), "bridge first two");
    assert_eq!(names("-f driver=null"), "none");
    assert_eq!(names("-f type=custom"), "first two");
    assert_eq!(names("-f type=builtin"), "bridge host none");
    assert_eq!(names("-f name=wo"), "two");
    assert_eq!(names("-f name=first -f name=two"), "first two");
    assert_eq!(names("-f label=tier"), "first two");
    assert_eq!(names("-f label=tier=back"), "two");
    assert_eq!(names("-f label=tier -f name=first"), "first");
    assert_eq!(names("-f scope=local -f driver=host"), "host");
}

#[test]
fn details_are_docker_s_json() {
    let host = Host::new();
    let mtu = "com.docker.network.driver.mtu";
    let create = "--ipv6 --subnet 10.77.0.0/24 --ip-range 10.77.0.128/25 --aux-address p=10.77.0.9 \
        --subnet fd77::/64 --label tier=front";
    let id = host.create(&format!("{create} -o {mtu}=1400 n"));
    let a = host.join("n", "a");
    let found = host.inspect("n");
    let container = found["Containers"]
        .as_object()
        .expect("an object by sandbox id");
    assert_eq!(container.len(), 1);
    let container = container.values().next().expect("there is one");
    assert_eq!(container["Name"], "a");
    assert_eq!(text(&container["EndpointID"]), a.id);
    assert_eq!(text(&container["MacAddress"]), a.mac);
    assert_eq!(text(&container["IPv4Address"]), format!("{}/24", a.ipv4));
    assert_eq!(text(&container["IPv6Address"]), format!("{}/64", a.ipv6));
    assert_eq!(a.ipv4, "10.77.0.128");
    let mut rest = found.clone();
    for key in ["Created", "Containers"] {
        rest.as_object_mut().expect("it is an object").remove(key);
    }
    let by_tcx = !host.tcx_programs(&a.host_leg).is_empty();
    let attached = if by_tcx { "tcx" } else { "clsact" };
    let expected = json!({
        "Name": "n", "Id": id, "Scope": "local", "Driver": "bridge", "EnableIPv6": true,
        "IPAM": {"Driver": "default", "Options": {}, "Config": [
            {"Subnet": "10.77.0.0/24", "IPRange": "10.77.0.128/25", "Gateway": "10.77.0.1",
             "AuxiliaryAddresses": {"p": "10.77.0.9"}},
            {"Subnet": "fd77::/64", "Gateway": "fd77::1"},
        ]},
        "Internal": false, "Options": {mtu: "1400"}, "Labels": {"tier": "front"},
        "BridgeUser": {"Index": 1, "Bridge": format!("bu-{}", &id[..12]), "Datapath": "tc",
            "Attached": attached, "ICC": true, "MTU": 1400},
    });
    assert_eq!(rest, expected);
}

#[test]
fn details_are_found_by_name_id_and_beginning() {
    let host = Host::new();
    let id = host.create("n");
    for reference in ["n", &id, &id[..12], &id[..20]] {
        let name = host
            .bridge_user(&format!("net inspect -f {{{{.Name}}}} {reference}"))
            .ok();
        assert_eq!(name, "n\n");
    }
    let both = host
        .bridge_user("net inspect -f {{.Name}}/{{.IPAM.Driver}} n none")
        .ok();
    assert_eq!(both, "n/default\nnone/null\n");
    let whole = host.bridge_user("net inspect n").ok();
    let empty = host.bridge_user("net inspect n -f").arg("").ok();
    assert_eq!(empty, whole, "no template, as Docker has it");
    let attached = host
        .bridge_user("net inspect -f {{.BridgeUser.Attached}} n")
        .ok();
    assert_eq!(attached, "none\n", "a network without ports");
}

#[test]
fn the_built_in_networks_have_details() {
    let host = Host::new();
    let driver = |network: &str| text(&host.inspect(network)["Driver"]);
    let drivers = ["host", "none", "bridge"].map(driver);
    assert_eq!(drivers, ["host", "null", "bridge"]);
    assert_eq!(host.our_links(), [""; 0], "looking makes nothing");
    host.netns("a");
    host.connect("bridge a");
    let bridge = host.inspect("bridge");
    assert_eq!(bridge["BridgeUser"]["Bridge"], "bu0");
    assert_eq!(bridge["IPAM"]["Config"][0]["Subnet"], "10.90.0.0/24");
}

#[test]
fn connect_prints_what_was_given() {
    let host = Host::new();
    host.create("--ipv6 --subnet 10.77.0.0/24 --subnet fd77::/64 n");
    host.netns("a");
    assert_eq!(
        host.bridge_user("net attach n a").ok(),
        "10.77.0.2/24\nfd77::2/64\n"
    );
    host.bridge_user("net detach n a").ok();
    let template = host
        .bridge_user("net connect --format {{.IPv4Address}} n a")
        .ok();
    assert_eq!(template, "10.77.0.3/24\n");
    host.bridge_user("net disconnect n a").ok();
    let view: Value = host.bridge_user("net connect --format json n a").json();
    assert_eq!(view["IPv6Address"], "fd77::4/64");
    assert_eq!(view["Name"], "a");
}
