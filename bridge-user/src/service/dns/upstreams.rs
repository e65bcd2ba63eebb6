//! Who is asked what is not ours: those that the user says, or the nameservers of the host's
//! resolv.conf(5), as it is now.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::kernel::files::Stamp;
use crate::model::{ResolvConf, Upstream};

/// For how long a server that did not answer in time is asked after the others.
const SLOW: Duration = Duration::from_secs(30);

/// The host's nameservers.
#[derive(Debug)]
pub(super) struct Upstreams {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The user says who: the file does not count.
    fixed: bool,
    /// Of the file that was read.
    stamp: Option<Stamp>,
    servers: Vec<SocketAddr>,
    /// Where we listen for the host.
    own: Vec<SocketAddr>,
    slow: HashMap<SocketAddr, Instant>,
}

impl Upstreams {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            known: Mutex::default(),
        }
    }

    /// Whether the file has changed since it was read last; if so, it is read.
    pub(super) fn changed(&self) -> bool {
        let stamp = Stamp::of(&self.path);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.fixed || known.stamp == stamp {
            return false;
        }
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let addresses = ResolvConf::parse(&text).nameservers;
        let servers = addresses.iter().map(|ip| Upstream::from(*ip).0).collect();
        tracing::info!("upstreams of {}: {addresses:?}", self.path.display());
        *known = Known {
            stamp,
            servers,
            own: std::mem::take(&mut known.own),
            ..Known::default()
        };
        true
    }

    /// Asks these from now on; the file's, if there are none. Where we listen ourselves, never.
    pub(super) fn set(&self, upstreams: &[Upstream], own: &[SocketAddr]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Known {
            own: own.into(),
            fixed: !upstreams.is_empty(),
            servers: upstreams.iter().map(|upstream| upstream.0).collect(),
            ..Known::default()
        };
    }

    /// Whom to ask, in this order: those that are given, else as the file has them; those that were
    /// slow lately last.
    pub(super) fn servers(
        &self,
        given: &[IpAddr],
        may_ask: impl Fn(IpAddr) -> bool,
    ) -> Vec<SocketAddr> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut servers = match given {
            [] => known.servers.clone(),
            given => given.iter().map(|ip| Upstream::from(*ip).0).collect(),
        };
        servers.retain(|server| may_ask(server.ip()) && !known.own.contains(server));
        let is_slow = |server: &SocketAddr| {
            let since = known.slow.get(server);
            since.is_some_and(|since| since.elapsed() < SLOW)
        };
        servers.sort_by_key(is_slow);
        servers
    }

    /// Whether an address is a nameserver's.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.servers.iter().any(|server| server.ip() == address)
    }

    /// Takes note that one server answered before these did, which were asked earlier.
    pub(super) fn note(&self, answered: SocketAddr, earlier: &[SocketAddr]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.slow.remove(&answered);
        known.slow.retain(|_, since| since.elapsed() < SLOW);
        for server in earlier.iter().filter(|server| **server != answered) {
            known.slow.insert(*server, Instant::now());
        }
    }
}
