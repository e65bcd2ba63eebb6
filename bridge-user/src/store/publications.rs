//! Published ports.

use ipnet::IpNet;
use rusqlite::OptionalExtension as _;
use rusqlite::params;

use super::{Columns, Rows, StoreError, from_json, parse, to_json};
use crate::model::{Id, Protocol, Publication, Published};

const COLUMNS: &str = "publications.endpoint, protocol, host, host_port, port, sources";

impl Rows<'_> {
    /// The published ports of an endpoint.
    pub fn publications_of(self, endpoint: &Id) -> Result<Vec<Publication>, StoreError> {
        self.publications_where("endpoint = ?1", &[&endpoint.as_str()])
    }

    /// The lowest and the highest port that an endpoint publishes; `None` where it publishes none.
    pub fn published_range(self, endpoint: &Id) -> Result<Option<[u16; 2]>, StoreError> {
        let sql =
            "SELECT min(port), max(port) FROM publications WHERE endpoint = ?1 HAVING count(*)";
        let mut query = self.0.prepare_cached(sql)?;
        let range = query.query_row([endpoint.as_str()], |row| Ok([row.get(0)?, row.get(1)?]));
        Ok(range.optional()?)
    }

    /// The networks whose endpoints publish any, in this boot.
    pub fn publishing_networks(self, boot_id: &str) -> Result<Vec<Id>, StoreError> {
        let sql = "SELECT DISTINCT endpoints.network FROM publications
                   JOIN endpoints ON endpoints.id = publications.endpoint
                   JOIN sandboxes ON sandboxes.id = endpoints.sandbox
                   WHERE endpoints.state != 'deleting' AND sandboxes.boot_id = ?1";
        let mut query = self.0.prepare_cached(sql)?;
        let mut found = query.query([boot_id])?;
        let mut networks = Vec::new();
        while let Some(row) = found.next()? {
            networks.push(Columns::of(row).parse("network")?);
        }
        Ok(networks)
    }

    /// Those of a port of the host, whosever they are.
    pub fn publications_at(
        self,
        protocol: Protocol,
        host_port: u16,
    ) -> Result<Vec<Publication>, StoreError> {
        let condition = "protocol = ?1 AND host_port = ?2";
        self.publications_where(condition, &[&protocol.as_str(), &host_port])
    }

    /// Whether another endpoint publishes at a port of the host, by whatever protocol.
    pub fn is_published_by_others(self, host_port: u16, but: &Id) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM publications
                   WHERE protocol IN ('tcp', 'udp', 'sctp') AND host_port = ?1 AND endpoint != ?2";
        let mut query = self.0.prepare_cached(sql)?;
        Ok(query.exists(params![host_port, but.as_str()])?)
    }

    fn publications_where(
        self,
        condition: &str,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<Publication>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM publications WHERE {condition}
             ORDER BY port, protocol, instr(host, ':'), host, host_port"
        );
        let mut query = self.0.prepare_cached(&sql)?;
        let mut found = query.query(values)?;
        let mut publications = Vec::new();
        while let Some(row) = found.next()? {
            publications.push(publication_from(&mut Columns::of(row))?);
        }
        Ok(publications)
    }

    /// What is published in this boot, each with the endpoint's address of the host address's family:
    /// that of endpoints that are not going, in sandboxes that have come back.
    pub fn published(self, boot_id: &str) -> Result<Vec<Published>, StoreError> {
        let sql = format!(
            "SELECT leases.address, {COLUMNS} FROM publications
             JOIN endpoints ON endpoints.id = publications.endpoint
             JOIN sandboxes ON sandboxes.id = endpoints.sandbox
             JOIN leases ON leases.endpoint = endpoints.id
                 AND (instr(leases.address, ':') > 0) = (instr(host, ':') > 0)
             WHERE endpoints.state != 'deleting' AND sandboxes.boot_id = ?1"
        );
        let mut query = self.0.prepare_cached(&sql)?;
        let mut found = query.query([boot_id])?;
        let mut published = Vec::new();
        while let Some(row) = found.next()? {
            let mut row = Columns::of(row);
            let address = row.parse("address")?;
            let publication = publication_from(&mut row)?;
            published.push(Published {
                publication,
                address,
            });
        }
        Ok(published)
    }

    /// Writes a new one.
    pub fn insert_publication(self, publication: &Publication) -> Result<(), StoreError> {
        let sql = "INSERT INTO publications VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let sources: Vec<String> = publication.sources.iter().map(IpNet::to_string).collect();
        self.0.prepare_cached(sql)?.execute(params![
            publication.endpoint.as_str(),
            publication.protocol.as_str(),
            publication.host.to_string(),
            publication.host_port,
            publication.port,
            to_json(&sources),
        ])?;
        Ok(())
    }

    /// Deletes those of an endpoint.
    pub fn delete_publications(self, endpoint: &Id) -> Result<(), StoreError> {
        let sql = "DELETE FROM publications WHERE endpoint = ?1";
        self.0.execute(sql, [endpoint.as_str()])?;
        Ok(())
    }
}

/// The publication of a row: its columns as in `COLUMNS`.
fn publication_from(row: &mut Columns<'_>) -> Result<Publication, StoreError> {
    Ok(Publication {
        endpoint: row.parse("endpoint")?,
        protocol: row.parse("protocol")?,
        host: row.parse("host")?,
        host_port: row.next()?,
        port: row.next()?,
        sources: from_json::<Vec<String>>("sources", &row.next::<String>()?)?
            .iter()
            .map(|source| parse("sources", source))
            .collect::<Result<_, _>>()?,
    })
}
