//! Use cases, one a file, over state and kernel.
//!
//! Every object has `ensure` (make the kernel be as the row says) and `ensure_absent` (make it
//! gone), both idempotent, and they are the only way to the kernel: creation, repair, restoring
//! after a reboot, undoing a failure and removal are all made of these two.

mod attach;
mod config;
mod create;
mod demo;
mod detach;
mod doctor;
mod endpoint;
mod error;
mod explain;
mod file;
mod forwarding;
mod frame;
mod hint;
mod inspect;
mod links;
mod lock;
mod names;
mod network;
mod next_hop;
mod pools;
mod ports;
mod publish;
mod purge;
mod reconcile;
mod remove;
mod resolv;
mod run;
mod sandbox;
mod shared;
mod trace;
mod uplinks;

use std::io;
use std::path::PathBuf;

pub use attach::ConnectSpec;
pub use config::{Config, ConfigError, NetworkDefaults};
pub use create::CreateSpec;
pub use demo::demo;
pub use doctor::{Finding, SeenDaemon, Status, doctor};
pub use error::{Error, chain};
pub use explain::{ExplainSpec, Explanation, Outcome};
pub use frame::Payload;
pub use inspect::{NetworkDetails, NetworkSummary, SandboxEndpoint};
pub use pools::set_address_pools;
pub use ports::{FdbDetails, PortDetails, PortTraffic, ReceivedTraffic};
pub use publish::NotPublished;
pub use purge::purge;
pub use resolv::HOST_FILES as RESOLVER_FILES;
pub use run::{
    Ended, Keeper, LogReader, RunDetails, RunError, RunSpec, Started, execute_in_run, keep,
};
pub use trace::{Trace, Traced};

use crate::kernel::bpf::{self, DataPlane};
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::{self, NetNs};
use crate::kernel::probe;
use crate::model::{Id, Network};
use crate::store::Store;
use lock::{Lock, LockFile};

/// Where the files are that a command works with.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Directory of the state.
    pub state: PathBuf,
    /// The configuration, if the user says where it is.
    pub config: Option<PathBuf>,
}

/// What an operation works on: the state of this host and its kernel.
pub struct Context {
    config: Config,
    store: Store,
    locks: LockFile,
    paths: Paths,
    netlink: Netlink,
    boot_id: String,
    host_cookie: u64,
    owner: u64,
    /// Opened at first need: a command that only reads rows loads no program.
    data_plane: Option<DataPlane>,
    /// What networks share goes, though there are some: they go, too.
    nothing_shared: bool,
    /// What could not be made right at the start. It stands in nobody else's way.
    left_wrong: Option<Error>,
    /// Nobody removes the state meanwhile; purge holds it alone, and longer.
    _in_use: Option<Lock>,
}

/// Whether commands can work on this host at all.
pub fn check_host() -> Result<(), Error> {
    Ok(probe::check()?)
}

impl Context {
    /// Reads the configuration, opens the state and makes right what happened since the last
    /// command: crashed commands, namespaces that ended, a reboot.
    pub fn open(paths: &Paths) -> Result<Self, Error> {
        probe::check()?;
        let config = Config::read(paths.config.as_deref())?;
        Self::check_new(paths)?;
        Store::ensure_directory(&paths.state)?;
        let locks = LockFile::new(&paths.state);
        let in_use = locks.state(false).map_err(locks.failed())?;
        Self::open_in_use(paths, config, locks, Some(in_use))
    }

    /// Refuses a state that would be made where another one has the pins, before anything of it is.
    fn check_new(paths: &Paths) -> Result<(), Error> {
        if Store::exists(&paths.state) {
            return Ok(());
        }
        Ok(bpf::check_unowned()?)
    }

    /// As [`Self::open`], for a state that is there; where there is none, none is made.
    pub fn open_existing(paths: &Paths) -> Result<Option<Self>, Error> {
        probe::check()?;
        let config = Config::read(paths.config.as_deref())?;
        let locks = LockFile::existing(&paths.state);
        let in_use = match locks.state(false) {
            Ok(in_use) => in_use,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(locks.failed()(e)),
        };
        if !Store::exists(&paths.state) {
            return Ok(None);
        }
        Self::open_in_use(paths, config, locks, Some(in_use)).map(Some)
    }

    fn open_in_use(
        paths: &Paths,
        config: Config,
        locks: LockFile,
        in_use: Option<Lock>,
    ) -> Result<Self, Error> {
        let mut context = Self::open_as_it_is(paths, config, locks, in_use)?;
        let known = context.store.rows().host()?;
        let same_boot = known.is_some_and(|(boot, _)| boot == context.boot_id);
        let made_right = if same_boot {
            context.sweep()
        } else {
            context.reconcile()
        };
        if !same_boot && made_right.is_ok() {
            let Self {
                store,
                boot_id,
                host_cookie,
                ..
            } = &mut context;
            store.write(|rows| rows.set_host(boot_id, *host_cookie))?;
        }
        context.left_wrong = made_right.err();
        Ok(context)
    }

    /// The same, and nothing is made right.
    fn open_as_it_is(
        paths: &Paths,
        config: Config,
        locks: LockFile,
        in_use: Option<Lock>,
    ) -> Result<Self, Error> {
        let store = Store::open(&paths.state)?;
        let boot_id = netns::boot_id()?;
        let host_cookie = NetNs::host_cookie()?;
        let known = store.rows().host()?;
        if known.is_some_and(|(boot, cookie)| boot == boot_id && cookie != host_cookie) {
            return Err(Error::OtherHost(paths.state.clone()));
        }
        let owner = store.rows().owner()?;
        bpf::check_owner(owner)?;
        Ok(Self {
            config,
            locks,
            paths: paths.clone(),
            netlink: Netlink::open()?,
            store,
            boot_id,
            host_cookie,
            owner,
            data_plane: None,
            nothing_shared: false,
            left_wrong: None,
            _in_use: in_use,
        })
    }

    /// What could not be made right when the state was opened; the next command tries again.
    pub fn left_wrong(&self) -> Option<&Error> {
        self.left_wrong.as_ref()
    }

    fn data_plane(&mut self) -> Result<&mut DataPlane, Error> {
        if self.data_plane.is_none() {
            self.data_plane = Some(DataPlane::ensure(self.owner, &self.config.maps)?);
        }
        Ok(self.data_plane.as_mut().expect("it was opened above"))
    }

    /// The one that is there, for what is to be gone from it; `None` where nothing is pinned.
    fn pinned_data_plane(&mut self) -> Result<Option<&mut DataPlane>, Error> {
        if self.data_plane.is_none() {
            self.data_plane = DataPlane::open(self.owner)?;
        }
        Ok(self.data_plane.as_mut())
    }

    /// The bridge network that a user names: by name, id, or the first digits of its id.
    fn find_network(&self, text: &str) -> Result<Option<Network>, Error> {
        Ok(self.find_summary(text)?.and_then(|summary| summary.network))
    }
}

/// `N` random bytes from the kernel.
fn random_bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    Ok(bytes)
}

fn random_id() -> Result<Id, Error> {
    Ok(Id::from_bytes(random_bytes()?))
}
