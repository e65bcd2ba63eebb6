//! Published ports: which of the host's an endpoint gets, and that they lead to it.
//!
//! ```text
//! publish:    rows, each port tried by a bind -> endpoint -> reserved -> the programs' map -> the table's maps
//! unpublish:  the table's maps -> what was translated by them is forgotten -> the programs' map
//!             -> connected sockets end -> not reserved -> rows -> endpoint
//! ```

mod error;
mod reserve;

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use error::Missing;
pub use error::NotPublished;

use super::error::{Errors, chain};
use super::lock::Object;
use super::{Context, Error};
use crate::fault;
use crate::kernel::reserved_ports::reserved_ports;
use crate::kernel::sockets::{self, PortError};
use crate::kernel::{cgroup, conntrack, netlink, nft};
use crate::model::{
    Endpoint, Id, Network, PortRange, Protocol, Publication, PublishRequest, Published,
};
use crate::store::Rows;

impl Context {
    /// Makes the published ports of an endpoint lead to it. The caller holds its sandbox.
    pub(super) fn ensure_published(&mut self, endpoint: &Endpoint) -> Result<(), Error> {
        let published = self.published_of(endpoint)?;
        if published.is_empty() {
            return Ok(());
        }
        let _lock = self.lock(Object::Shared)?;
        self.ensure_reserved(&published)?;
        let sizes = self.config.maps;
        self.data_plane()?.ensure_published(&sizes, &published)?;
        fault::step();
        let no_cgroup: LazyCell<bool> = LazyCell::new(|| cgroup::root().is_none());
        for Published { publication, .. } in &published {
            if let Err(error) = check_loopback(publication, &no_cgroup) {
                tracing::warn!("warning: {}: {}", endpoint.name, chain(&error));
            }
        }
        // A table that somebody changed meanwhile is written whole.
        if nft::ensure_published(&published).is_err() {
            self.write_shared(None)?;
        }
        fault::step();
        conntrack::forget_before(&published);
        self.ensure_uplinks()
    }

    /// Refuses published ports that a process of the host has all the same: it may have come between the
    /// look at them and the programs that keep others from them, or before its endpoint came back.
    pub(super) fn check_unserved(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let published = self.published_of(endpoint)?;
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let publications = published.iter().map(|published| &published.publication);
            let of_protocol = publications.filter(|publication| publication.protocol == protocol);
            let at: Vec<SocketAddr> = of_protocol.map(Publication::at).collect();
            if at.is_empty() {
                continue;
            }
            if let Some((at, holder)) = sockets::first_served(protocol, &at) {
                let source = PortError::InUse(Some(holder));
                return Err(NotPublished::Bind {
                    at,
                    protocol,
                    source,
                }
                .into());
            }
        }
        Ok(())
    }

    /// Makes those of an endpoint that is going lead nowhere. Connections go with the endpoint.
    pub(super) fn ensure_unpublished(&mut self, endpoint: &Endpoint) -> Result<(), Error> {
        let published = self.published_of(endpoint)?;
        if published.is_empty() {
            return Ok(());
        }
        let _lock = self.lock(Object::Shared)?;
        let mut errors = Errors::default();
        let mut others = self.store.rows().published(&self.boot_id)?;
        others.retain(|other| other.publication.endpoint != endpoint.id);
        if nft::ensure_published_absent(&published, &others).is_err() {
            errors.note(self.write_shared(None));
        }
        fault::step();
        if let Some(Some(data_plane)) = errors.note(self.pinned_data_plane()) {
            errors.note(data_plane.ensure_published_absent(&published));
        }
        fault::step();
        end_connected(&published);
        errors.note(self.ensure_not_reserved(endpoint, &published));
        errors.note(self.ensure_uplinks());
        errors.into_result()?;
        // Who goes at the same time has to see that it is the last at a port.
        self.store
            .write(|rows| rows.delete_publications(&endpoint.id))?;
        fault::step();
        Ok(())
    }

    fn published_of(&self, endpoint: &Endpoint) -> Result<Vec<Published>, Error> {
        let publications = self.store.rows().publications_of(&endpoint.id)?;
        let leading = publications.into_iter().filter_map(|publication| {
            let address = endpoint.address(publication.host.is_ipv6())?;
            Some(Published {
                publication,
                address,
            })
        });
        Ok(leading.collect())
    }
}

/// Ends the connected sockets of the host's processes that lead to these: they are connected to the
/// endpoint's own address, and would stay with whoever gets it next.
fn end_connected(published: &[Published]) {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let of_protocol = published
            .iter()
            .filter(|published| published.publication.protocol == protocol);
        let peers: Vec<SocketAddr> = of_protocol
            .map(|published| (published.address, published.publication.port).into())
            .collect();
        if peers.is_empty() {
            continue;
        }
        match netlink::end_connected(protocol.number(), &peers) {
            Ok(()) => {}
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP)) => {
                tracing::info!("connected sockets stay: the kernel ends none ({e})");
            }
            Err(e) => tracing::warn!("warning: sockets of the host may stay connected: {e}"),
        }
    }
}

/// Refuses what nothing leads on from.
fn check_loopback(
    publication: &Publication,
    no_cgroup: &LazyCell<bool>,
) -> Result<(), NotPublished> {
    let protocol = publication.protocol;
    let missing = match protocol {
        _ if !publication.host.is_loopback() => return Ok(()),
        Protocol::Sctp => Missing::Calls,
        _ if **no_cgroup => Missing::Cgroup,
        _ => return Ok(()),
    };
    Err(NotPublished::Loopback {
        at: publication.at(),
        protocol,
        missing,
    })
}

/// Chooses ports of the host for all that a new endpoint publishes, and writes them down. `random`
/// says where the search for free ones begins.
pub(super) fn insert(
    rows: Rows<'_>,
    network: &Network,
    endpoint: &Endpoint,
    request: &PublishRequest,
    random: u16,
) -> Result<(), Error> {
    if request.is_empty() {
        return Ok(());
    }
    check_way_out(rows, network, endpoint)?;
    let mut chooser = Chooser {
        rows,
        endpoint,
        range: sockets::free_port_range(),
        reserved: reserved_ports()?,
        next: random,
    };
    let no_cgroup: LazyCell<bool> = LazyCell::new(|| cgroup::root().is_none());
    for spec in &request.specs {
        let hosts = hosts(network, endpoint, spec.host)?;
        for (port, choice) in spec.pairs() {
            let asked = |host| Publication {
                endpoint: endpoint.id.clone(),
                protocol: spec.protocol,
                host,
                host_port: 0,
                port,
                sources: request.sources.clone(),
            };
            let mut wanted: Vec<Publication> = hosts.iter().copied().map(asked).collect();
            chooser.choose(&mut wanted, choice.map(PortRange::ports))?;
            for publication in &wanted {
                check_loopback(publication, &no_cgroup)?;
                rows.insert_publication(publication)?;
            }
        }
    }
    Ok(())
}

/// An endpoint answers by its sandbox's default route, which goes by the oldest one that leads outside.
fn check_way_out(rows: Rows<'_>, network: &Network, endpoint: &Endpoint) -> Result<(), Error> {
    if network.internal {
        return Err(NotPublished::Internal(network.name.to_string()).into());
    }
    for other in rows.endpoints_in_sandbox(&endpoint.sandbox)? {
        let by = rows.network(&other.network)?;
        if other.id != endpoint.id
            && let Some(by) = by.filter(|by| !by.internal)
        {
            return Err(NotPublished::NotTheWayOut {
                network: network.name.to_string(),
                sandbox: endpoint.name.to_string(),
                other: by.name.to_string(),
            }
            .into());
        }
    }
    Ok(())
}

/// The addresses of the host that a spec is for: where it says none, those that the network's option
/// says, or all of the families that the endpoint has.
fn hosts(
    network: &Network,
    endpoint: &Endpoint,
    given: Option<IpAddr>,
) -> Result<Vec<IpAddr>, Error> {
    let Some(host) = given.or(network.options.host_binding) else {
        let all = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let has = |host: &IpAddr| endpoint.address(host.is_ipv6()).is_some();
        return Ok(all.into_iter().filter(has).collect());
    };
    if endpoint.address(host.is_ipv6()).is_none() {
        return Err(Error::NoFamily {
            endpoint: endpoint.name.to_string(),
            family: if host.is_ipv6() { "IPv6" } else { "IPv4" },
        });
    }
    Ok(vec![host])
}

/// Finds ports that are nobody's, by our rows and by a bind.
struct Chooser<'a> {
    rows: Rows<'a>,
    endpoint: &'a Endpoint,
    /// Where free ones are looked for.
    range: RangeInclusive<u16>,
    /// Which of these are kept for who asks by number, by us or by others.
    reserved: BTreeSet<u16>,
    /// How far the search in it has come.
    next: u16,
}

impl Chooser<'_> {
    /// Gives all of `wanted` the first port of `choice` that all of them can have.
    fn choose(
        &mut self,
        wanted: &mut [Publication],
        choice: Option<RangeInclusive<u16>>,
    ) -> Result<(), Error> {
        let is_given = choice.is_some();
        let start = if is_given { 0 } else { self.next };
        let range = choice.unwrap_or_else(|| self.range.clone());
        let (first, last) = (*range.start(), *range.end());
        let count = u32::from(last - first) + 1;
        for at in 0..count {
            let offset = (u32::from(start) + at) % count;
            let offset = u16::try_from(offset).expect("it is less than the range has");
            if !is_given && self.is_kept(first + offset)? {
                continue;
            }
            for publication in wanted.iter_mut() {
                publication.host_port = first + offset;
            }
            match self.check(wanted) {
                Ok(()) => {
                    if !is_given {
                        self.next = offset.wrapping_add(1);
                    }
                    return Ok(());
                }
                // A range has others; what is wrong with the address is wrong with each port.
                Err(Error::NotPublished(error)) if count > 1 && error.is_held() => {}
                Err(Error::NotPublished(error)) => return Err(error.with_holder().into()),
                Err(error) => return Err(error),
            }
        }
        let exposed = wanted.first().map(Publication::exposed);
        Err(NotPublished::NoneFree {
            range,
            exposed: exposed.unwrap_or_default(),
        }
        .into())
    }

    /// Whether somebody else keeps a port for who asks for it. Ours may be free for another protocol.
    fn is_kept(&self, port: u16) -> Result<bool, Error> {
        let is_reserved = self.reserved.contains(&port);
        Ok(is_reserved && !self.rows.is_published_by_others(port, &self.endpoint.id)?)
    }

    fn check(&self, wanted: &[Publication]) -> Result<(), Error> {
        for publication in wanted {
            let (at, protocol) = (publication.at(), publication.protocol);
            let there = self.rows.publications_at(protocol, publication.host_port)?;
            if let Some(other) = there.iter().find(|other| other.conflicts_with(publication)) {
                return Err(NotPublished::Allocated {
                    at,
                    protocol,
                    endpoint: self.name_of(&other.endpoint)?,
                }
                .into());
            }
            sockets::try_port(protocol, at).map_err(|source| NotPublished::Bind {
                at,
                protocol,
                source,
            })?;
        }
        Ok(())
    }

    /// The endpoint, and where it is.
    fn name_of(&self, id: &Id) -> Result<String, Error> {
        let other = self.rows.endpoint(id)?;
        let endpoint = other.as_ref().unwrap_or(self.endpoint);
        let network = self.rows.network(&endpoint.network)?;
        let network = network.map_or_else(String::new, |n| format!(" of network {}", n.name));
        Ok(format!("{}{network}", endpoint.name))
    }
}
