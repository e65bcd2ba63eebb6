//! The decision as a table: a port, a frame, an FDB, the verdict.

use bridge_common::{DropReason, FdbEntry, FdbKey, PORT_ICC_OFF, PORT_REDIRECT_OFF, PortEntry};

use super::{Facts, decide, fdb_key};
use crate::Verdict;

const A: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0a];
const B: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0b];
const STRANGER: [u8; 6] = [0x02, 0, 0, 0, 0, 0xff];
const ALL_NODES: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const BROADCAST: [u8; 6] = [0xff; 6];

const PORT_A: u32 = 10;
const PORT_B: u32 = 11;
const FIRST: u16 = 1;
const SECOND: u16 = 2;

/// Endpoints A and B are in the first network; the second has a B of its own at port 99, and an
/// entry for the broadcast address, which no frame may find.
const FDB: [(FdbKey, u32); 4] = [
    (
        FdbKey {
            mac: A,
            network: FIRST,
        },
        PORT_A,
    ),
    (
        FdbKey {
            mac: B,
            network: FIRST,
        },
        PORT_B,
    ),
    (
        FdbKey {
            mac: B,
            network: SECOND,
        },
        99,
    ),
    (
        FdbKey {
            mac: BROADCAST,
            network: FIRST,
        },
        98,
    ),
];

fn port(network: u16, flags: u32) -> PortEntry {
    PortEntry {
        network,
        slot: 1,
        flags,
    }
}

/// Gathers as the hook does, with the table above for the map.
fn verdict(port: Option<PortEntry>, destination: Option<[u8; 6]>) -> Verdict {
    let target = fdb_key(port, destination).and_then(|key| {
        let (_, ifindex) = FDB.iter().find(|(known, _)| *known == key)?;
        Some(FdbEntry { ifindex: *ifindex })
    });
    decide(&Facts {
        ifindex: PORT_A,
        port,
        destination,
        target,
    })
}

#[test]
fn verdicts() {
    use Verdict::{Drop, Next};
    let to_b = Verdict::Redirect { ifindex: PORT_B };
    let elsewhere = Verdict::Redirect { ifindex: 99 };
    #[rustfmt::skip]
    let table = [
        // what                        port                                                to               verdict
        ("known unicast",              Some(port(FIRST, 0)),                                Some(B),         to_b),
        ("same MAC, other network",    Some(port(SECOND, 0)),                               Some(B),         elsewhere),
        ("only in another network",    Some(port(SECOND, 0)),                               Some(A),         Next),
        ("unknown network",            Some(port(7, 0)),                                    Some(B),         Next),
        ("unknown unicast",            Some(port(FIRST, 0)),                                Some(STRANGER),  Next),
        ("back to its own port",       Some(port(FIRST, 0)),                                Some(A),         Next),
        ("ICC off",                    Some(port(FIRST, PORT_ICC_OFF)),                     Some(B),         Next),
        ("datapath off",               Some(port(FIRST, PORT_REDIRECT_OFF)),                Some(B),         Next),
        ("both off",                   Some(port(FIRST, PORT_ICC_OFF | PORT_REDIRECT_OFF)), Some(B),         Next),
        ("multicast",                  Some(port(FIRST, 0)),                                Some(ALL_NODES), Next),
        ("broadcast, though in FDB",   Some(port(FIRST, 0)),                                Some(BROADCAST), Next),
        ("too short for a header",     Some(port(FIRST, 0)),                                None,            Drop(DropReason::Malformed)),
        ("too short, datapath off",    Some(port(FIRST, PORT_REDIRECT_OFF)),                None,            Drop(DropReason::Malformed)),
        ("unknown port",               None,                                                Some(B),         Drop(DropReason::NoPort)),
        ("unknown port, broadcast",    None,                                                Some(BROADCAST), Drop(DropReason::NoPort)),
        ("unknown port, too short",    None,                                                None,            Drop(DropReason::NoPort)),
    ];
    for (what, port, destination, expected) in table {
        assert_eq!(verdict(port, destination), expected, "{what}");
    }
}

#[test]
fn a_target_that_nobody_may_reach_is_not_redirected_to() {
    // A hook that looked up what it need not have changes no decision.
    let facts = |flags, destination| Facts {
        ifindex: PORT_A,
        port: Some(port(FIRST, flags)),
        destination: Some(destination),
        target: Some(FdbEntry { ifindex: PORT_B }),
    };
    assert_eq!(decide(&facts(PORT_ICC_OFF, B)), Verdict::Next);
    assert_eq!(decide(&facts(PORT_REDIRECT_OFF, B)), Verdict::Next);
    assert_eq!(decide(&facts(0, BROADCAST)), Verdict::Next);
}

#[test]
fn the_fdb_is_read_only_where_it_decides() {
    assert_eq!(
        fdb_key(Some(port(FIRST, 0)), Some(B)),
        Some(FdbKey {
            mac: B,
            network: FIRST
        })
    );
    for (port, destination) in [
        (None, Some(B)),
        (Some(port(FIRST, 0)), None),
        (Some(port(FIRST, 0)), Some(BROADCAST)),
        (Some(port(FIRST, PORT_ICC_OFF)), Some(B)),
        (Some(port(FIRST, PORT_REDIRECT_OFF)), Some(B)),
    ] {
        assert_eq!(fdb_key(port, destination), None, "{port:?} {destination:?}");
    }
}
