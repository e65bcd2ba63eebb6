//! Rows go in and come back the same; what must be unique is.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::model::{
    Datapath, Endpoint, Id, MacAddress, Network, Options, Pool, Protocol, Publication, Published,
    Sandbox, SavedSysctl, State, SysctlGroup,
};

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bridge-user-{name}-{}", std::process::id()));
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn id(byte: u8) -> Id {
    Id::from_bytes([byte; 32])
}

fn network(byte: u8) -> Network {
    let pool = |subnet: &str| {
        let aux = BTreeMap::from([]);
        Pool::new(subnet.parse().unwrap(), None, None, aux).unwrap()
    };
    let raw_options = BTreeMap::from([("com.docker.network.driver.mtu".into(), "1400".into())]);
    Network {
        id: id(byte),
        name: format!("net{byte}").parse().unwrap(),
        number: byte.into(),
        state: State::Creating,
        created: UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123),
        bridge: format!("bu-{byte}").parse().unwrap(),
        bridge_mac: MacAddress::local([1; 5]),
        internal: true,
        datapath: Datapath::Off,
        pools: vec![
            pool(&format!("10.{byte}.0.0/24")),
            pool(&format!("fd00:{byte}::/64")),
        ],
        options: Options::parse(&raw_options).unwrap(),
        raw_options,
        labels: BTreeMap::from([("a".into(), "b".into())]),
    }
}

fn sandbox(byte: u8) -> Sandbox {
    Sandbox {
        id: id(byte),
        reference: "web".parse().unwrap(),
        cookie: u64::MAX - u64::from(byte),
        inode: 7,
        boot_id: "boot".into(),
        created: false,
        owns_hosts: true,
    }
}

fn endpoint(byte: u8, network: u8, sandbox: u8) -> Endpoint {
    Endpoint {
        id: id(byte),
        network: id(network),
        sandbox: id(sandbox),
        name: format!("e{byte}").parse().unwrap(),
        aliases: vec!["www".parse().unwrap()],
        state: State::Ready,
        slot: byte.into(),
        mac: MacAddress::assigned([byte; 3], byte.into()),
        interface: format!("eth{byte}").parse().unwrap(),
        ifindex: Some(9),
        trusted: false,
        links: vec!["db:store".parse().unwrap()],
        addresses: vec![
            format!("10.{network}.0.{byte}/24").parse().unwrap(),
            format!("fd00:{network}::{byte}/64").parse().unwrap(),
        ],
    }
}

fn insert(store: &mut Store, e: &Endpoint) -> Result<(), StoreError> {
    store.write(|rows| rows.insert_endpoint(e))
}

#[test]
fn rows_go_round_and_survive_closing() {
    let directory = Directory::new("rows");
    let mut store = Store::open(&directory.0).unwrap();
    store
        .write(|rows| {
            rows.insert_network(&network(1))?;
            rows.insert_sandbox(&sandbox(1))?;
            rows.insert_endpoint(&endpoint(3, 1, 1))
        })
        .unwrap();
    drop(store);
    let store = Store::open(&directory.0).unwrap();
    assert_eq!(store.rows().networks().unwrap(), [network(1)]);
    assert_eq!(store.rows().sandbox(&id(1)).unwrap().unwrap(), sandbox(1));
    assert_eq!(
        store.rows().endpoint(&id(3)).unwrap().unwrap(),
        endpoint(3, 1, 1)
    );
    let leases = store.rows().leases(&id(1)).unwrap();
    assert!(
        leases.contains(&"10.1.0.3".parse().unwrap()) && leases.len() == 2,
        "{leases:?}"
    );
    let mode = fs::metadata(&directory.0).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn what_must_be_unique_is() {
    let directory = Directory::new("unique");
    let mut store = Store::open(&directory.0).unwrap();
    store
        .write(|rows| {
            rows.insert_network(&network(1))?;
            rows.insert_network(&network(2))?;
            rows.insert_sandbox(&sandbox(1))?;
            rows.insert_sandbox(&sandbox(2))?;
            rows.insert_endpoint(&endpoint(3, 1, 1))
        })
        .unwrap();
    let same = |change: &dyn Fn(&mut Endpoint)| {
        let mut other = endpoint(4, 1, 2);
        change(&mut other);
        other
    };
    let clashes: [&dyn Fn(&mut Endpoint); 5] = [
        &|e| e.addresses[0] = "10.1.0.3/24".parse().unwrap(),
        &|e| e.mac = endpoint(3, 1, 1).mac,
        &|e| e.slot = 3,
        &|e| e.name = "e3".parse().unwrap(),
        &|e| e.sandbox = id(1),
    ];
    for (n, clash) in clashes.iter().enumerate() {
        assert!(insert(&mut store, &same(clash)).is_err(), "clash {n}");
    }
    insert(&mut store, &endpoint(4, 1, 2)).unwrap();
    assert_eq!(store.rows().endpoints().unwrap().len(), 2);
}

#[test]
fn a_failed_transaction_leaves_nothing() {
    let directory = Directory::new("rollback");
    let mut store = Store::open(&directory.0).unwrap();
    let failed: Result<(), StoreError> = store.write(|rows| {
        rows.insert_network(&network(1))?;
        rows.insert_network(&network(1))
    });
    assert!(failed.is_err());
    assert_eq!(store.rows().networks().unwrap(), []);
}

#[test]
fn numbers_and_slots_are_the_lowest_free() {
    assert_eq!(lowest_free(&[], "slot", 2).unwrap(), 1);
    assert_eq!(lowest_free(&[1, 3], "slot", 9).unwrap(), 2);
    assert!(matches!(
        lowest_free(&[1, 2], "slot", 2),
        Err(StoreError::Full { .. })
    ));
}

#[test]
fn a_newer_schema_is_refused() {
    let directory = Directory::new("schema");
    drop(Store::open(&directory.0).unwrap());
    let file = Connection::open(directory.0.join("state.db")).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    let error = Store::open(&directory.0).unwrap_err();
    assert!(
        matches!(error, StoreError::SchemaVersion { found: 99, .. }),
        "{error}"
    );
}

#[test]
fn files_of_older_versions_are_brought_up_to_date() {
    for version in 1..SCHEMA_VERSION {
        let directory = Directory::new(&format!("version-{version}"));
        drop(Store::open(&directory.0).unwrap());
        let file = Connection::open(directory.0.join(DATABASE)).unwrap();
        for (from, undo) in [
            (4, "DROP TABLE sysctls; DROP TABLE publications"),
            (3, "ALTER TABLE endpoints DROP COLUMN links"),
            (2, "DROP TABLE runs"),
            (1, "ALTER TABLE endpoints DROP COLUMN trusted"),
        ] {
            if version <= from {
                file.execute_batch(undo).unwrap();
            }
        }
        file.pragma_update(None, "user_version", version).unwrap();
        drop(file);
        let mut store = Store::open(&directory.0).unwrap();
        store
            .write(|rows| {
                rows.insert_network(&network(1))?;
                rows.insert_sandbox(&sandbox(1))?;
                rows.insert_endpoint(&endpoint(3, 1, 1))
            })
            .unwrap();
        let there = store.rows().endpoint(&id(3)).unwrap();
        assert_eq!(there, Some(endpoint(3, 1, 1)), "from {version}");
        assert_eq!(store.rows().runs().unwrap(), []);
        assert_eq!(
            store
                .rows()
                .saved_sysctls("boot", SysctlGroup::Ipv4)
                .unwrap(),
            []
        );
        assert_eq!(store.rows().publications_of(&id(3)).unwrap(), []);
    }
}

fn publication(host: &str, host_port: u16, port: u16) -> Publication {
    Publication {
        endpoint: id(3),
        protocol: Protocol::Udp,
        host: host.parse().unwrap(),
        host_port,
        port,
        sources: vec!["10.0.0.0/8".parse().unwrap()],
    }
}

#[test]
fn publications_come_and_go_with_their_endpoint() {
    let directory = Directory::new("publications");
    let mut store = Store::open(&directory.0).unwrap();
    let (first, second) = (publication("0.0.0.0", 53, 5353), publication("::", 53, 53));
    store
        .write(|rows| {
            rows.insert_network(&network(1))?;
            rows.insert_sandbox(&sandbox(1))?;
            rows.insert_endpoint(&endpoint(3, 1, 1))?;
            rows.insert_publication(&first)?;
            rows.insert_publication(&second)
        })
        .unwrap();
    let rows = store.rows();
    let both = [second.clone(), first.clone()];
    assert_eq!(rows.publications_of(&id(3)).unwrap(), both);
    assert_eq!(rows.publications_at(Protocol::Udp, 53).unwrap(), both);
    assert_eq!(rows.publications_at(Protocol::Tcp, 53).unwrap(), []);
    let mut published = rows.published("boot").unwrap();
    published.sort_by_key(|p| p.address);
    let leads = |publication: &Publication, address: &str| Published {
        publication: publication.clone(),
        address: address.parse().unwrap(),
    };
    let expected = [leads(&first, "10.1.0.3"), leads(&second, "fd00:1::3")];
    assert_eq!(published, expected);
    assert_eq!(rows.published("another boot").unwrap(), []);
    let again = publication("0.0.0.0", 53, 80);
    assert!(store.write(|rows| rows.insert_publication(&again)).is_err());
    store
        .write(|rows| rows.set_endpoint_state(&id(3), State::Deleting))
        .unwrap();
    assert_eq!(store.rows().published("boot").unwrap(), []);
    store.write(|rows| rows.delete_endpoint(&id(3))).unwrap();
    assert_eq!(store.rows().publications_of(&id(3)).unwrap(), []);
}

#[test]
fn what_a_sysctl_was_is_kept_for_one_boot() {
    let directory = Directory::new("sysctls");
    let mut store = Store::open(&directory.0).unwrap();
    let sysctl = |key: &str, before: &str| SavedSysctl {
        key: key.into(),
        before: before.into(),
        ours: "1".into(),
    };
    let first = [sysctl("ipv4/ip_forward", "0"), sysctl("ipv4/b", "7")];
    let other = [sysctl("ipv6/conf/all/forwarding", "0")];
    store
        .write(|rows| {
            rows.save_sysctls("boot", &first)?;
            rows.save_sysctls("boot", &other)?;
            // It is changed again: what it was at first counts.
            rows.save_sysctls("boot", &[sysctl("ipv4/b", "8")])
        })
        .unwrap();
    assert_eq!(
        store
            .rows()
            .saved_sysctls("boot", SysctlGroup::Ipv4)
            .unwrap(),
        first
    );
    assert_eq!(
        store
            .rows()
            .saved_sysctls("boot", SysctlGroup::Ipv6)
            .unwrap(),
        other
    );
    assert_eq!(
        store
            .rows()
            .saved_sysctls("next", SysctlGroup::Ipv4)
            .unwrap(),
        []
    );
    store
        .write(|rows| rows.forget_sysctls(SysctlGroup::Ipv4))
        .unwrap();
    assert_eq!(
        store
            .rows()
            .saved_sysctls("boot", SysctlGroup::Ipv4)
            .unwrap(),
        []
    );
    store.write(|rows| rows.save_sysctls("next", &[])).unwrap();
    assert_eq!(
        store
            .rows()
            .saved_sysctls("boot", SysctlGroup::Ipv6)
            .unwrap(),
        []
    );
}
