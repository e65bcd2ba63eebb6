//! Starting a command in a sandbox of its own.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Child;
use std::time::SystemTime;

use super::RunError;
use super::keep::{self, Keeper};
use super::plan::{Place, name_taken, netns_path};
use crate::fault;
use crate::kernel::launch::{Launch, LaunchError, Surroundings};
use crate::kernel::netns::NetNs;
use crate::kernel::process::{self, Signals};
use crate::model::{
    AddHost, EndpointLink, EndpointName, ExposedPorts, GivenOptions, Id, MacAddress, Network,
    NetworkMode, ProcessId, PublishRequest, Run, RunState, Sandbox, SandboxRef,
};
use crate::ops::lock::Object;
use crate::ops::{ConnectSpec, Context, Error, random_id};

/// A run as a user asks for it.
#[derive(Debug, Clone)]
pub struct RunSpec {
    /// Its name, else the first digits of its id.
    pub name: Option<EndpointName>,
    /// Where its network comes from.
    pub network: NetworkMode,
    /// Further names on the first network.
    pub aliases: Vec<EndpointName>,
    /// Names that it alone has for others, on the first network.
    pub links: Vec<EndpointLink>,
    /// Fixed addresses on the first network, at most one a family.
    pub addresses: Vec<IpAddr>,
    /// Fixed MAC address on the first network.
    pub mac: Option<MacAddress>,
    /// Host name, else the first digits of its id.
    pub hostname: Option<EndpointName>,
    /// Name servers, else the host's.
    pub dns: Vec<IpAddr>,
    /// Further lines of its hosts file.
    pub add_hosts: Vec<AddHost>,
    /// What is published of it, on the first network with a way out.
    pub publish: PublishRequest,
    /// Ports that the command serves.
    pub exposed: Vec<ExposedPorts>,
    /// Run it in the background, its output in a log.
    pub detached: bool,
    /// Forget it when it ends.
    pub remove: bool,
    /// The command and its arguments.
    pub command: Vec<OsString>,
}

/// A run whose command is executed.
#[derive(Debug)]
pub struct Started {
    /// Its id.
    pub id: Id,
    /// In the foreground, who has to wait for it.
    pub keeper: Option<Keeper>,
}

impl RunSpec {
    fn check(&self, mode: &NetworkMode) -> Result<(), RunError> {
        mode.check(&GivenOptions {
            hostname: self.hostname.is_some(),
            dns: !self.dns.is_empty(),
            add_hosts: !self.add_hosts.is_empty(),
            mac: self.mac.is_some(),
            address: !self.addresses.is_empty(),
            aliases: !self.aliases.is_empty(),
            links: !self.links.is_empty(),
            publish: !self.publish.is_empty(),
            expose: !self.exposed.is_empty(),
        })?;
        let wants_gateway = self.add_hosts.iter().any(|host| host.address.is_none());
        if wants_gateway && !matches!(mode, NetworkMode::Networks(_)) {
            return Err(RunError::NoGateway(mode.as_text()));
        }
        Ok(())
    }
}

impl Context {
    /// Starts a command in a sandbox of its own. What was made for it goes again on an error.
    pub fn start(&mut self, spec: &RunSpec) -> Result<Started, Error> {
        let mode = self.by_name(&spec.network)?;
        spec.check(&mode)?;
        let id = random_id()?;
        let name = match &spec.name {
            Some(name) => name.clone(),
            None => id.short().parse()?,
        };
        self.check_name(&name)?;
        let place = self.place(&mode)?;
        place.check_names(spec)?;
        let run = Run {
            config: self.config(spec, &mode, &place, &id, &name),
            id,
            name,
            state: RunState::Creating,
            created: SystemTime::now(),
            boot_id: self.boot_id.clone(),
            process: None,
            keeper: None,
            started: None,
            finished: None,
            exit_code: None,
            remove: spec.remove,
        };
        let _lock = self.lock(Object::Id(&run.id))?;
        self.store.write(|rows| -> Result<(), Error> {
            if let Some(other) = rows.run_named(run.name.as_str())? {
                return Err(name_taken(&other).into());
            }
            Ok(rows.put_run(&run)?)
        })?;
        fault::step();
        self.make(&run, spec, &place)
            .map_err(|cause| cause.undone(self.discard(&run.id)))
    }

    fn make(&mut self, run: &Run, spec: &RunSpec, place: &Place) -> Result<Started, Error> {
        let netns = match place {
            Place::Host => None,
            Place::Own(networks) => {
                self.make_sandbox(run, spec, networks)?;
                Some(netns_path(&run.name))
            }
            Place::Joined(owner) if !owner.has_sandbox() => None,
            Place::Joined(owner) => Some(netns_path(&owner.name)),
        };
        if !matches!(place, Place::Joined(..)) {
            self.write_files(run)?;
        }
        let surroundings = Surroundings {
            netns,
            etc: run.config.files.clone().map(PathBuf::from),
            hostname: Some(run.config.hostname.clone()),
        };
        let owner = match place {
            Place::Joined(owner) => owner.as_ref(),
            _ => run,
        };
        self.execute(run, &spec.command, &surroundings, owner)
    }

    /// The namespace, its name, its hosts file, and an endpoint on each network.
    fn make_sandbox(
        &mut self,
        run: &Run,
        spec: &RunSpec,
        networks: &[Network],
    ) -> Result<(), Error> {
        let namespace = NetNs::create()?;
        let is = namespace.id();
        let sandbox = Sandbox {
            id: run.id.clone(),
            reference: SandboxRef::Named(run.name.clone()),
            cookie: is.cookie,
            inode: is.inode,
            boot_id: self.boot_id.clone(),
            created: true,
            owns_hosts: false,
        };
        self.store.write(|rows| rows.insert_sandbox(&sandbox))?;
        fault::step();
        namespace.bind(run.name.as_str())?;
        fault::step();
        self.write_names(&sandbox)?;
        fault::step();
        // As with Docker, where ports are published on the endpoint that the default route goes by.
        let outside = networks.iter().position(|network| !network.internal);
        for (at, network) in networks.iter().enumerate() {
            let mut connect = ConnectSpec::new(network.name.as_str(), sandbox.reference.clone());
            if at == 0 {
                connect.aliases.clone_from(&spec.aliases);
                connect.links.clone_from(&spec.links);
                connect.addresses.clone_from(&spec.addresses);
                connect.mac = spec.mac;
            }
            if at == outside.unwrap_or_default() {
                connect.publish.clone_from(&spec.publish);
            }
            self.join(network, &sandbox, &namespace, &connect)?;
            fault::step();
        }
        Ok(())
    }

    /// Has the command executed: its process is written down before it may begin.
    fn execute(
        &mut self,
        run: &Run,
        command: &[OsString],
        surroundings: &Surroundings,
        owner: &Run,
    ) -> Result<Started, Error> {
        let failed = |action| RunError::process(action, &run.name);
        let refused = |cause: LaunchError| RunError::Launch {
            name: run.name.to_string(),
            cause,
        };
        let (mut launch, socket) = Launch::socket().map_err(failed("reach the launcher"))?;
        let mut signals = None;
        let child = if run.config.detached {
            let log = self.make_log(&run.id)?;
            fault::step();
            keep::spawn_keeper(&self.paths, &run.id, log, &socket, surroundings, command)
        } else {
            signals = Some(Signals::block().map_err(failed("block signals"))?);
            keep::spawn_launcher(&socket, surroundings, command)
        };
        let child = child.map_err(failed("start the launcher"))?;
        drop(socket);
        let pid = launch.ready().map_err(refused)?;
        // A name may have led elsewhere when the launcher entered.
        if let Some(sandbox) = self.store.rows().sandbox(&owner.id)? {
            let is_in = NetNs::open(&process::namespace_path(pid, "net"))?.id();
            if is_in.cookie != sandbox.cookie {
                return Err(RunError::NotJoinable(owner.name.to_string()).into());
            }
        }
        let mut run = Run {
            process: process::identify(pid).map_err(failed("identify the process"))?,
            keeper: keeper_of(&child, run).map_err(failed("identify the keeper"))?,
            ..run.clone()
        };
        self.store.write(|rows| rows.put_run(&run))?;
        fault::step();
        launch.go().map_err(refused)?;
        fault::step();
        run.state = RunState::Running;
        run.started = Some(SystemTime::now());
        self.store.write(|rows| rows.put_run(&run))?;
        fault::step();
        let keeper =
            signals.map(|signals| Keeper::new(run.id.clone(), self.paths.clone(), child, signals));
        Ok(Started { id: run.id, keeper })
    }

    /// The process of a run's command, while it runs.
    pub(super) fn running_process(&self, run: &Run) -> Result<Option<ProcessId>, Error> {
        let current = self.store.rows().run(&run.id)?;
        let is_current = |run: &Run| run.state == RunState::Running && run.boot_id == self.boot_id;
        let Some(process) = current.filter(is_current).and_then(|run| run.process) else {
            return Ok(None);
        };
        let runs =
            process::runs(process).map_err(RunError::process("look at the process", &run.name))?;
        Ok(runs.then_some(process))
    }
}

/// In the background the child is the keeper; in the foreground it is the command, and the keeper
/// this process.
fn keeper_of(child: &Child, run: &Run) -> std::io::Result<Option<ProcessId>> {
    if run.config.detached {
        process::identify(child.id())
    } else {
        process::identify_self().map(Some)
    }
}
