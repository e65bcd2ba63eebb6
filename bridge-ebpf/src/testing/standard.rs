//! The networks that the rows are about.

use bridge_common::{
    ENDPOINT_ICC_OFF, ENDPOINT_INTERNAL, ENDPOINT_REACHABLE, ENDPOINT_REDIRECT_OFF,
    ENDPOINT_TRUSTED, FlowKey, LinkKey, mapped, wire_mac,
};

use super::World;

impl World {
    /// Takes an endpoint's being reachable away.
    fn make_unreachable(&mut self, slot: u16) {
        if let Some(entry) = self.endpoints.get_mut(&slot) {
            entry.flags &= !ENDPOINT_REACHABLE;
        }
        let ifindex = Self::ifindex(slot);
        self.fdb.retain(|_, entry| entry.ifindex != ifindex);
        self.neighbours
            .retain(|_, entry| entry.mac != Self::mac(slot));
    }

    /// Links two endpoints of a network, both ways.
    pub fn link(&mut self, network: u16, slots: [u16; 2]) {
        let [one, other] = slots.map(|slot| wire_mac(Self::mac(slot)));
        let direction = |from, to| LinkKey {
            from,
            to,
            network,
            reserved: 0,
        };
        let both = [direction(one, other), direction(other, one)];
        self.links.extend(both);
    }

    /// Has the endpoint of a slot publish ports, of which another one asks one by the host, from port 2000
    /// and, as nothing of that kind should be there, from 40000. Both are a network and a slot.
    fn publish(&mut self, (network, slot): (u16, u16), asker: (u16, u16)) {
        if let Some(entry) = self.endpoints.get_mut(&slot) {
            entry.published = [53, 80];
        }
        let addresses = |(network, slot)| {
            let host = Self::host(slot);
            [mapped(Self::ip4(network, host)), Self::ip6(network, host)].map(bytemuck::cast)
        };
        let pairs = addresses((network, slot)).into_iter().zip(addresses(asker));
        for (endpoint, client) in pairs {
            for (endpoint_port, client_port) in [(53, 2000), (53, 40_000), (0, 0)] {
                self.hairpins.insert(FlowKey {
                    endpoint,
                    client,
                    endpoint_port,
                    client_port,
                    protocol: 17,
                });
            }
        }
    }

    /// The networks of the rows: 1 open, with 1, 2, 3 (a MAC address of the user's) and 4
    /// (trusted); 2 open, with 5, and with 6, which has 2's MAC address; 3 without ICC, with 7 and
    /// 8, and with 13 and 14, of which 14 is not reachable yet: 7 is linked with both; 4 internal, with
    /// 9 and 10; 5 with its datapath off, with 11 and 12. Of 15 in network 1 and 16 in network 5 ports from
    /// 53 to 80 are published, and 1 and 11 use port 53 of them by the host.
    pub fn standard() -> Self {
        let mut world = Self::default();
        (1..=5).for_each(|network| world.add_network(network));
        world.add_endpoint(1, 1, 0, None);
        world.add_endpoint(1, 2, 0, None);
        world.add_endpoint(1, 3, 0, Some(Self::CHOSEN));
        world.add_endpoint(1, 4, ENDPOINT_TRUSTED, None);
        world.add_endpoint(2, 5, 0, None);
        world.add_endpoint(2, 6, 0, Some(Self::mac(2)));
        world.add_endpoint(3, 7, ENDPOINT_ICC_OFF, None);
        world.add_endpoint(3, 8, ENDPOINT_ICC_OFF, None);
        world.add_endpoint(4, 9, ENDPOINT_INTERNAL, None);
        world.add_endpoint(4, 10, ENDPOINT_INTERNAL, None);
        world.add_endpoint(5, 11, ENDPOINT_REDIRECT_OFF, None);
        world.add_endpoint(5, 12, ENDPOINT_REDIRECT_OFF, None);
        world.add_endpoint(3, 13, ENDPOINT_ICC_OFF, None);
        world.add_endpoint(3, 14, ENDPOINT_ICC_OFF, None);
        world.make_unreachable(14);
        world.add_endpoint(1, 15, 0, None);
        world.add_endpoint(5, 16, ENDPOINT_REDIRECT_OFF, None);
        world.publish((1, 15), (1, 1));
        world.publish((5, 16), (5, 11));
        // As a trusted neighbour could ask, by an address that is another network's.
        world.publish((1, 15), (2, 5));
        world.link(3, [7, 13]);
        world.link(3, [7, 14]);
        // Of another network that has the same addresses, it says nothing.
        world.link(2, [7, 8]);
        world
    }
}
