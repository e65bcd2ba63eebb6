//! Endpoints and their leases.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use rusqlite::params;

use super::{Columns, Rows, StoreError, from_json, lowest_free, parse, to_json};
use crate::model::{Endpoint, EndpointLink, EndpointName, Id, State};

const COLUMNS: &str = "endpoints.id, endpoints.network, sandbox, name, aliases, state, slot, mac, \
                       interface, ifindex, trusted, links";

impl Rows<'_> {
    /// Every endpoint.
    pub fn endpoints(self) -> Result<Vec<Endpoint>, StoreError> {
        self.endpoints_where("slot > ?1", &0)
    }

    /// The endpoint with this id.
    pub fn endpoint(self, id: &Id) -> Result<Option<Endpoint>, StoreError> {
        Ok(self.endpoints_where("id = ?1", &id.as_str())?.pop())
    }

    /// The endpoints of a network.
    pub fn endpoints_of_network(self, network: &Id) -> Result<Vec<Endpoint>, StoreError> {
        self.endpoints_where("network = ?1", &network.as_str())
    }

    /// The endpoints in a sandbox.
    pub fn endpoints_in_sandbox(self, sandbox: &Id) -> Result<Vec<Endpoint>, StoreError> {
        self.endpoints_where("sandbox = ?1", &sandbox.as_str())
    }

    fn endpoints_where(
        self,
        condition: &str,
        value: &dyn rusqlite::ToSql,
    ) -> Result<Vec<Endpoint>, StoreError> {
        // A row an address, IPv4 first; an endpoint without any still has one.
        let sql = format!(
            "SELECT leases.address, pools.subnet, {COLUMNS} FROM endpoints
             LEFT JOIN leases ON leases.endpoint = endpoints.id
             LEFT JOIN pools ON pools.network = leases.network
                 AND pools.ipv6 = (instr(leases.address, ':') > 0)
             WHERE endpoints.{condition} ORDER BY endpoints.rowid, pools.ipv6"
        );
        let mut query = self.0.prepare_cached(&sql)?;
        let mut found = query.query([value])?;
        let mut endpoints: Vec<Endpoint> = Vec::new();
        while let Some(row) = found.next()? {
            let mut row = Columns::of(row);
            let (address, subnet): (Option<String>, Option<String>) = (row.next()?, row.next()?);
            let endpoint = endpoint_from(&mut row)?;
            if endpoints.last().is_none_or(|last| last.id != endpoint.id) {
                endpoints.push(endpoint);
            }
            if let (Some(last), Some(address), Some(subnet)) =
                (endpoints.last_mut(), address, subnet)
            {
                last.addresses.push(address_from(&address, &subnet)?);
            }
        }
        Ok(endpoints)
    }

    /// The lowest slot from 1 up to `limit` that no endpoint has.
    pub fn free_slot(self, limit: u32) -> Result<u16, StoreError> {
        let mut query = self
            .0
            .prepare_cached("SELECT slot FROM endpoints ORDER BY slot")?;
        let taken = query
            .query_map([], |row| row.get(0))?
            .collect::<Result<Vec<_>, _>>()?;
        lowest_free(&taken, "port", limit)
    }

    /// The addresses of a network that endpoints have.
    pub fn leases(self, network: &Id) -> Result<BTreeSet<IpAddr>, StoreError> {
        let mut query = self
            .0
            .prepare_cached("SELECT address FROM leases WHERE network = ?1")?;
        let mut found = query.query([network.as_str()])?;
        let mut leases = BTreeSet::new();
        while let Some(row) = found.next()? {
            leases.insert(parse("address", &row.get::<_, String>(0)?)?);
        }
        Ok(leases)
    }

    /// Writes a new endpoint and its leases.
    pub fn insert_endpoint(self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let aliases: Vec<&str> = endpoint.aliases.iter().map(EndpointName::as_str).collect();
        self.0.execute(
            "INSERT INTO endpoints VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            params![
                endpoint.id.as_str(),
                endpoint.network.as_str(),
                endpoint.sandbox.as_str(),
                endpoint.name.as_str(),
                to_json(&aliases),
                endpoint.state.as_str(),
                endpoint.slot,
                endpoint.mac.to_string(),
                endpoint.interface.as_str(),
                endpoint.ifindex,
                endpoint.trusted,
                to_json(&endpoint.links.iter().map(link_to).collect::<Vec<_>>()),
            ],
        )?;
        for address in &endpoint.addresses {
            self.0.execute(
                "INSERT INTO leases VALUES (?1, ?2, ?3)",
                [
                    endpoint.network.as_str(),
                    &address.addr().to_string(),
                    endpoint.id.as_str(),
                ],
            )?;
        }
        Ok(())
    }

    /// Moves an endpoint to `state`.
    pub fn set_endpoint_state(self, id: &Id, state: State) -> Result<(), StoreError> {
        let sql = "UPDATE endpoints SET state = ?2 WHERE id = ?1";
        self.0.execute(sql, [id.as_str(), state.as_str()])?;
        Ok(())
    }

    /// Records the index of an endpoint's host leg.
    pub fn set_ifindex(self, id: &Id, ifindex: u32) -> Result<(), StoreError> {
        let sql = "UPDATE endpoints SET ifindex = ?2 WHERE id = ?1";
        self.0.execute(sql, params![id.as_str(), ifindex])?;
        Ok(())
    }

    /// Forgets the indices of the host legs of a sandbox's endpoints.
    pub fn forget_ifindexes(self, sandbox: &Id) -> Result<(), StoreError> {
        let sql = "UPDATE endpoints SET ifindex = NULL WHERE sandbox = ?1";
        self.0.execute(sql, [sandbox.as_str()])?;
        Ok(())
    }

    /// Forgets an endpoint; its leases go with it.
    pub fn delete_endpoint(self, id: &Id) -> Result<(), StoreError> {
        self.0
            .execute("DELETE FROM endpoints WHERE id = ?1", [id.as_str()])?;
        Ok(())
    }
}

/// The endpoint of a row, without addresses: its columns as in `COLUMNS`.
fn endpoint_from(row: &mut Columns<'_>) -> Result<Endpoint, StoreError> {
    Ok(Endpoint {
        id: row.parse("id")?,
        network: row.parse("network")?,
        sandbox: row.parse("sandbox")?,
        name: row.parse("name")?,
        aliases: from_json::<Vec<String>>("aliases", &row.next::<String>()?)?
            .iter()
            .map(|a| parse("aliases", a))
            .collect::<Result<_, _>>()?,
        state: row.parse("state")?,
        slot: row.next()?,
        mac: row.parse("mac")?,
        interface: row.parse("interface")?,
        ifindex: row.next()?,
        trusted: row.next()?,
        links: from_json::<Vec<LinkRow>>("links", &row.next::<String>()?)?
            .iter()
            .map(link_from)
            .collect::<Result<_, _>>()?,
        addresses: Vec::new(),
    })
}

/// Target, alias and sandbox of a link.
type LinkRow = (String, String, Option<String>);

fn link_to(link: &EndpointLink) -> LinkRow {
    (
        link.target.to_string(),
        link.alias.to_string(),
        link.sandbox.as_ref().map(ToString::to_string),
    )
}

fn link_from((target, alias, sandbox): &LinkRow) -> Result<EndpointLink, StoreError> {
    let sandbox = sandbox.as_deref().map(|id| parse("links", id));
    Ok(EndpointLink {
        target: parse("links", target)?,
        alias: parse("links", alias)?,
        sandbox: sandbox.transpose()?,
    })
}

/// An address, with its subnet's prefix length.
fn address_from(address: &str, subnet: &str) -> Result<IpNet, StoreError> {
    let ip: IpAddr = parse("address", address)?;
    let subnet: IpNet = parse("subnet", subnet)?;
    IpNet::new(ip, subnet.prefix_len()).map_err(|e| StoreError::Value {
        column: "address",
        value: ip.to_string(),
        reason: e.to_string(),
    })
}
