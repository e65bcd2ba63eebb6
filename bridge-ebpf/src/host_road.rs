//! What the host sends to endpoints: past the bridge, straight to the host leg.

use bridge_common::{ENDPOINT_REACHABLE, ENDPOINT_REDIRECT_OFF, EndpointEntry};

use crate::{Frame, Tables, hints};

/// The slot of the endpoint that a frame is for which the host sends into a network, by its bridge.
/// `None` where that is the bridge's to find: groups, who is behind an endpoint.
///
/// The host may speak with all its endpoints: what it routes to them has passed the firewall.
#[inline(always)]
pub fn host_leg<'t, F: Frame, T: Tables>(
    frame: &F,
    tagged: bool,
    bridge: u32,
    tables: &'t T,
) -> Option<(u16, &'t EndpointEntry)> {
    if tagged {
        return None;
    }
    let mac = frame.mac(0)?;
    hints::find(mac, tables, |slot| {
        let endpoint = tables.endpoint(slot)?;
        let right = endpoint.mac == mac.units()
            && endpoint.bridge == bridge
            && endpoint.flags & ENDPOINT_REACHABLE != 0
            && endpoint.ifindex != 0;
        right.then_some((slot, endpoint))
    })
}

/// Whether what is for an endpoint leaves by its host leg at once.
#[inline(always)]
pub fn passes_bridge(endpoint: &EndpointEntry) -> bool {
    endpoint.flags & ENDPOINT_REDIRECT_OFF == 0
}

#[cfg(test)]
mod tests {
    use bridge_common::{ENDPOINT_REACHABLE, ENDPOINT_REDIRECT_OFF};

    use super::{host_leg, passes_bridge};
    use crate::testing::World;

    const CHOSEN: [u8; 6] = [0x02, 1, 2, 3, 0xff, 0xff];

    /// Endpoints of network 1 in the slots 1, 2 with a chosen MAC address, 3 not reachable, and 4 by the
    /// bridge alone.
    fn world() -> World {
        let mut world = World::default();
        world.add_endpoint(1, 1, 0, None);
        world.add_endpoint(1, 2, 0, Some(CHOSEN));
        world.add_endpoint(1, 3, 0, None);
        world.add_endpoint(1, 4, ENDPOINT_REDIRECT_OFF, None);
        let unreachable = world.endpoints.get_mut(&3).expect("it was added");
        unreachable.flags &= !ENDPOINT_REACHABLE;
        world
    }

    #[test]
    fn only_what_is_for_a_reachable_endpoint_behind_the_bridge_passes_it() {
        let leg = |slot| Some(World::ifindex(slot));
        for (case, to, tagged, network, expected) in [
            ("assigned", World::mac(1), false, 1, leg(1)),
            ("chosen", CHOSEN, false, 1, leg(2)),
            ("not reachable", World::mac(3), false, 1, None),
            ("datapath off", World::mac(4), false, 1, None),
            ("tagged", World::mac(1), true, 1, None),
            ("another bridge", World::mac(1), false, 2, None),
            ("unknown", World::mac(5), false, 1, None),
            ("group", [0xff; 6], false, 1, None),
        ] {
            let mut frame = vec![0; 60];
            frame[..6].copy_from_slice(&to);
            let world = world();
            let got = host_leg(&frame.as_slice(), tagged, World::bridge(network), &world);
            let got = got.filter(|(_, endpoint)| passes_bridge(endpoint));
            let got = got.map(|(slot, endpoint)| {
                assert_eq!(endpoint.ifindex, World::ifindex(slot), "{case}");
                endpoint.ifindex
            });
            assert_eq!(got, expected, "{case}");
        }
    }

    #[test]
    fn a_frame_that_ends_in_its_address_is_the_bridges() {
        let mac = World::mac(1);
        assert_eq!(
            host_leg(&&mac[..5], false, World::bridge(1), &world()),
            None
        );
    }
}
