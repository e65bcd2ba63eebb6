//! Networks and their pools.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{OptionalExtension as _, Row, params};

use super::{Rows, StoreError, from_json, lowest_free, parse, to_json};
use crate::model::{Id, Network, Options, Pool, State};

const COLUMNS: &str = "id, name, number, state, created_ns, bridge, bridge_mac, internal, \
                       datapath, options, labels";

impl Rows<'_> {
    /// Every network, in the order of creation.
    pub fn networks(self) -> Result<Vec<Network>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM networks ORDER BY created_ns, number");
        let mut query = self.0.prepare_cached(&sql)?;
        let mut found = query.query([])?;
        let mut networks = Vec::new();
        while let Some(row) = found.next()? {
            networks.push(self.network_from(row)?);
        }
        Ok(networks)
    }

    /// The network with this id.
    pub fn network(self, id: &Id) -> Result<Option<Network>, StoreError> {
        self.network_where("id = ?1", id.as_str())
    }

    /// The network with this name.
    pub fn network_named(self, name: &str) -> Result<Option<Network>, StoreError> {
        self.network_where("name = ?1", name)
    }

    fn network_where(self, condition: &str, value: &str) -> Result<Option<Network>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM networks WHERE {condition}");
        let mut query = self.0.prepare_cached(&sql)?;
        let mut found = query.query([value])?;
        found.next()?.map(|row| self.network_from(row)).transpose()
    }

    /// The lowest number that no network has.
    pub fn free_network_number(self) -> Result<u16, StoreError> {
        let mut query = self
            .0
            .prepare_cached("SELECT number FROM networks ORDER BY number")?;
        let taken = query
            .query_map([], |row| row.get(0))?
            .collect::<Result<Vec<_>, _>>()?;
        lowest_free(&taken, "network number", u16::MAX.into())
    }

    /// Writes a new network.
    pub fn insert_network(self, network: &Network) -> Result<(), StoreError> {
        let created = network
            .created
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        self.0.execute(
            "INSERT INTO networks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                network.id.as_str(),
                network.name.as_str(),
                network.number,
                network.state.as_str(),
                i64::try_from(created).unwrap_or(i64::MAX),
                network.bridge.as_str(),
                network.bridge_mac.to_string(),
                network.internal,
                network.datapath.as_str(),
                to_json(&network.raw_options),
                to_json(&network.labels),
            ],
        )?;
        for pool in &network.pools {
            self.0.execute(
                "INSERT INTO pools VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL)",
                params![
                    network.id.as_str(),
                    pool.subnet().addr().is_ipv6(),
                    pool.subnet().to_string(),
                    pool.gateway().to_string(),
                    pool.ip_range().map(|range| range.to_string()),
                    to_json(pool.aux_addresses()),
                ],
            )?;
        }
        Ok(())
    }

    /// Moves a network to `state`.
    pub fn set_network_state(self, id: &Id, state: State) -> Result<(), StoreError> {
        let sql = "UPDATE networks SET state = ?2 WHERE id = ?1";
        self.0.execute(sql, [id.as_str(), state.as_str()])?;
        Ok(())
    }

    /// Forgets a network; its pools go with it. Fails while an endpoint refers to it.
    pub fn delete_network(self, id: &Id) -> Result<(), StoreError> {
        self.0
            .execute("DELETE FROM networks WHERE id = ?1", [id.as_str()])?;
        Ok(())
    }

    /// The address that was given last out of a network's pool of a family.
    pub fn last_address(self, network: &Id, ipv6: bool) -> Result<Option<IpAddr>, StoreError> {
        let sql = "SELECT last FROM pools WHERE network = ?1 AND ipv6 = ?2";
        let mut query = self.0.prepare_cached(sql)?;
        let last: Option<Option<String>> = query
            .query_row(params![network.as_str(), ipv6], |row| row.get(0))
            .optional()?;
        last.flatten().map(|text| parse("last", &text)).transpose()
    }

    /// Records the address that was given last.
    pub fn set_last_address(self, network: &Id, address: IpAddr) -> Result<(), StoreError> {
        let sql = "UPDATE pools SET last = ?3 WHERE network = ?1 AND ipv6 = ?2";
        self.0.execute(
            sql,
            params![network.as_str(), address.is_ipv6(), address.to_string()],
        )?;
        Ok(())
    }

    fn network_from(self, row: &Row<'_>) -> Result<Network, StoreError> {
        let text = |column: &str| row.get::<_, String>(column);
        let id: Id = parse("id", &text("id")?)?;
        let raw_options: BTreeMap<String, String> = from_json("options", &text("options")?)?;
        let options = Options::parse(&raw_options).map_err(|e| StoreError::Value {
            column: "options",
            value: to_json(&raw_options),
            reason: e.to_string(),
        })?;
        let created = u64::try_from(row.get::<_, i64>("created_ns")?).unwrap_or_default();
        Ok(Network {
            name: parse("name", &text("name")?)?,
            number: row.get("number")?,
            state: parse("state", &text("state")?)?,
            created: SystemTime::UNIX_EPOCH + Duration::from_nanos(created),
            bridge: parse("bridge", &text("bridge")?)?,
            bridge_mac: parse("bridge_mac", &text("bridge_mac")?)?,
            internal: row.get("internal")?,
            datapath: parse("datapath", &text("datapath")?)?,
            pools: self.pools(&id)?,
            raw_options,
            options,
            labels: from_json("labels", &text("labels")?)?,
            id,
        })
    }

    fn pools(self, network: &Id) -> Result<Vec<Pool>, StoreError> {
        let sql =
            "SELECT subnet, gateway, ip_range, aux FROM pools WHERE network = ?1 ORDER BY ipv6";
        let mut query = self.0.prepare_cached(sql)?;
        let mut found = query.query([network.as_str()])?;
        let mut pools = Vec::new();
        while let Some(row) = found.next()? {
            let subnet: String = row.get(0)?;
            let gateway = parse("gateway", &row.get::<_, String>(1)?)?;
            let ip_range: Option<String> = row.get(2)?;
            let ip_range = ip_range
                .map(|range| parse("ip_range", &range))
                .transpose()?;
            let aux = from_json("aux", &row.get::<_, String>(3)?)?;
            let pool = Pool::new(parse("subnet", &subnet)?, Some(gateway), ip_range, aux);
            pools.push(pool.map_err(|e| StoreError::Value {
                column: "subnet",
                value: subnet,
                reason: e.to_string(),
            })?);
        }
        Ok(pools)
    }
}
