//! A sandbox's kernel side: finding its namespace, making it where asked to, and letting it go.

use super::error::Errors;
use super::lock::{Lock, Object};
use super::{Context, Error, random_id};
use crate::fault;
use crate::kernel::netlink;
use crate::kernel::netns::{self, NetNs, NetNsError, NetNsId};
use crate::model::{EndpointName, Id, Sandbox, SandboxRef};

/// A sandbox that this command alone works on.
pub(super) struct HeldSandbox {
    pub(super) sandbox: Sandbox,
    pub(super) namespace: NetNs,
    _lock: Lock,
}

/// What became of a sandbox.
pub(super) enum Liveness {
    /// Its namespace is where it was.
    Alive(NetNs),
    /// The namespace lives (a process or mount holds it), but its file is gone: leave it alone.
    Unreachable,
    /// A namespace of its name is there again after a reboot.
    Returned(NetNs),
    /// It has not come back since a reboot, and may.
    Dormant,
    /// It ended.
    Gone,
}

impl Context {
    pub(super) fn lock(&self, object: Object<'_>) -> Result<Lock, Error> {
        self.locks.exclusive(object).map_err(self.locks.failed())
    }

    pub(super) fn try_lock(&self, object: Object<'_>) -> Result<Option<Lock>, Error> {
        self.locks
            .try_exclusive(object)
            .map_err(self.locks.failed())
    }

    /// Finds or makes the sandbox and its row, and holds it.
    pub(super) fn hold_sandbox(
        &mut self,
        reference: &SandboxRef,
        create: bool,
    ) -> Result<HeldSandbox, Error> {
        self.check_connectable(reference)?;
        loop {
            let held = match NetNs::open(&reference.path()) {
                Ok(namespace) => self.hold_namespace(reference, namespace)?,
                Err(NetNsError::NotFound { .. } | NetNsError::NotNamespace { .. })
                    if create && self.wait_for_maker(reference)? =>
                {
                    None
                }
                Err(NetNsError::NotFound { .. }) => match (create, reference.netns_name()) {
                    (true, Some(name)) => self.create_sandbox(reference, name)?,
                    _ => return Err(Error::SandboxNotFound(reference.to_string())),
                },
                Err(error) => return Err(error.into()),
            };
            if let Some(held) = held {
                return Ok(held);
            }
        }
    }

    /// Waits for commands that are making the sandbox, or clears away what a crashed one left.
    /// `true`: something was cleared, look again.
    fn wait_for_maker(&mut self, reference: &SandboxRef) -> Result<bool, Error> {
        let text = reference.to_string();
        let makers = self.store.rows().sandboxes_named(&text)?;
        for maker in &makers {
            self.reconcile_sandbox(&maker.id, true)?;
        }
        Ok(self.store.rows().sandboxes_named(&text)?.len() < makers.len())
    }

    /// `None`: the row came or went meanwhile, look again.
    fn hold_namespace(
        &mut self,
        reference: &SandboxRef,
        namespace: NetNs,
    ) -> Result<Option<HeldSandbox>, Error> {
        let id = namespace.id();
        if id.cookie == self.host_cookie {
            return Err(Error::HostNamespace(reference.to_string()));
        }
        let known = self
            .store
            .rows()
            .sandbox_with_cookie(&self.boot_id, id.cookie)?;
        let sandbox = match &known {
            Some(sandbox) => sandbox.clone(),
            None => self.new_sandbox(reference, id, false)?,
        };
        let lock = self.lock(Object::Id(&sandbox.id))?;
        let current = self.store.write(|rows| -> Result<_, Error> {
            let there = rows.sandbox_with_cookie(&sandbox.boot_id, sandbox.cookie)?;
            if there.is_none() && known.is_none() {
                rows.insert_sandbox(&sandbox)?;
                return Ok(Some(sandbox.clone()));
            }
            Ok(there.filter(|there| there.id == sandbox.id))
        })?;
        fault::step();
        Ok(current.map(|sandbox| HeldSandbox {
            sandbox,
            namespace,
            _lock: lock,
        }))
    }

    /// Makes a namespace, writes its row, and only then gives it its name: a crash before that
    /// leaves a row whose namespace is gone. `None`: somebody else was quicker.
    fn create_sandbox(
        &mut self,
        reference: &SandboxRef,
        name: &EndpointName,
    ) -> Result<Option<HeldSandbox>, Error> {
        let namespace = NetNs::create()?;
        let sandbox = self.new_sandbox(reference, namespace.id(), true)?;
        let lock = self.lock(Object::Id(&sandbox.id))?;
        self.store.write(|rows| rows.insert_sandbox(&sandbox))?;
        fault::step();
        match namespace.bind(name.as_str()) {
            Ok(()) => {
                fault::step();
                Ok(Some(HeldSandbox {
                    sandbox,
                    namespace,
                    _lock: lock,
                }))
            }
            Err(error) => {
                self.store.write(|rows| rows.delete_sandbox(&sandbox.id))?;
                match error {
                    NetNsError::NameTaken { .. } => Ok(None),
                    error => Err(error.into()),
                }
            }
        }
    }

    fn new_sandbox(
        &self,
        reference: &SandboxRef,
        namespace: NetNsId,
        created: bool,
    ) -> Result<Sandbox, Error> {
        Ok(Sandbox {
            id: random_id()?,
            reference: reference.clone(),
            cookie: namespace.cookie,
            inode: namespace.inode,
            boot_id: self.boot_id.clone(),
            created,
            owns_hosts: false,
        })
    }

    /// What became of the sandbox's namespace.
    pub(super) fn liveness(&mut self, sandbox: &Sandbox) -> Result<Liveness, Error> {
        if self.is_over(&sandbox.id)? {
            return Ok(Liveness::Gone);
        }
        let opened = match NetNs::open(&sandbox.reference.path()) {
            Ok(namespace) => Some(namespace),
            Err(NetNsError::NotFound { .. } | NetNsError::NotNamespace { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if sandbox.boot_id != self.boot_id {
            // A process id means another process now, and a namespace of ours ended with the boot.
            let may_return = sandbox.reference.netns_name().is_some() && !sandbox.created;
            return Ok(match opened {
                Some(namespace) if may_return && namespace.id().cookie != self.host_cookie => {
                    Liveness::Returned(namespace)
                }
                _ if may_return => Liveness::Dormant,
                _ => Liveness::Gone,
            });
        }
        if let Some(namespace) = opened
            && namespace.id().cookie == sandbox.cookie
        {
            return Ok(Liveness::Alive(namespace));
        }
        // The inode says nothing about a namespace that is gone: another may have it. Its legs do.
        let mut has_leg = false;
        for endpoint in self.store.rows().endpoints_in_sandbox(&sandbox.id)? {
            let leg = netlink::link(&mut self.netlink, endpoint.host_leg().as_str())?;
            has_leg |= leg.is_some();
        }
        if has_leg && netns::held(sandbox.inode)? {
            return Ok(Liveness::Unreachable);
        }
        Ok(Liveness::Gone)
    }

    /// Lets a sandbox go that no endpoint is left in: its namespace if we made it, what we wrote
    /// into its hosts file, its row.
    pub(super) fn release_sandbox(&mut self, id: &Id) -> Result<(), Error> {
        let Some(sandbox) = self.store.rows().sandbox(id)? else {
            return Ok(());
        };
        if !self.store.rows().endpoints_in_sandbox(id)?.is_empty() {
            return Ok(());
        }
        if self.is_run_in(id)? {
            return Ok(());
        }
        let mut errors = Errors::default();
        let _names = self.lock(Object::Names)?;
        errors.note(Self::remove_names(&sandbox));
        fault::step();
        if sandbox.created
            && let Some(name) = sandbox.reference.netns_name()
        {
            errors.note(NetNs::ensure_name_absent(name.as_str(), sandbox.cookie));
        }
        errors.into_result()?;
        fault::step();
        Ok(self.store.write(|rows| rows.delete_sandbox(id))?)
    }
}
