//! How a TC program is held to a link: by a pinned tcx link, or on kernels before 6.6 by a clsact
//! filter, which stays until the link goes.

pub(super) mod clsact;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};

use super::BpfError;
use super::error::failed;
use super::pins::ensure_file_absent;
use crate::fault;
use crate::kernel::probe;

/// How the program is attached to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// A pinned tcx link (Linux 6.6).
    Tcx,
    /// A filter at the clsact qdisc (Linux 4.5).
    Clsact,
    /// Native XDP by a pinned link (Linux 5.9), and one of the others behind it.
    Xdp,
}

impl Hook {
    /// The word for it in commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
            Self::Xdp => "xdp",
        }
    }
}

/// Whether this kernel has tcx links.
pub(super) fn has_links() -> bool {
    static TCX: LazyLock<bool> = LazyLock::new(|| !forced_clsact() && probe::has_tcx());
    *TCX
}

#[cfg(feature = "fault-injection")]
fn forced_clsact() -> bool {
    std::env::var("BRIDGE_USER_TEST_HOOK").is_ok_and(|hook| hook == "clsact")
}

#[cfg(not(feature = "fault-injection"))]
fn forced_clsact() -> bool {
    false
}

/// Where a program is held: at the ingress of host legs, the egress of bridges, at uplinks both.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The link; programs are attached by name.
    pub(super) link: &'a str,
    /// At its egress.
    pub(super) egress: bool,
    /// The link is an uplink, which is somebody else's.
    pub(super) uplink: bool,
}

impl Place<'_> {
    fn attach_type(self) -> TcAttachType {
        if self.egress {
            TcAttachType::Egress
        } else {
            TcAttachType::Ingress
        }
    }
}

/// As iproute2 has it.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hook = if self.egress { "egress" } else { "ingress" };
        write!(f, "{} {hook}", self.link)
    }
}

/// Makes the program be held there; `pin` is the path of its link, where there is one.
pub(super) fn ensure_attached(
    program: &mut SchedClassifier,
    place: Place<'_>,
    pin: &Path,
) -> Result<Hook, BpfError> {
    if has_links() {
        if pin.exists() && update(program, pin)? {
            return Ok(Hook::Tcx);
        }
        ensure_file_absent(pin)?;
        fault::step();
        attach_tcx(program, place, pin)?;
        Ok(Hook::Tcx)
    } else {
        clsact::attach(program, place)?;
        Ok(Hook::Clsact)
    }
}

/// A link that is not pinned yet ends with us: a crash in between leaves nothing.
fn attach_tcx(program: &mut SchedClassifier, place: Place<'_>, pin: &Path) -> Result<(), BpfError> {
    tracing::info!(
        "tcx link: the program at {place}, pinned at {}",
        pin.display()
    );
    let options = TcAttachOptions::TcxOrder(LinkOrder::default());
    let id = program
        .attach_with_options(place.link, place.attach_type(), options)
        .map_err(failed("attach the program to", place))?;
    let link = program
        .take_link(id)
        .map_err(failed("take the link of", place))?;
    let link = FdLink::try_from(link).map_err(failed("take the link of", place))?;
    link.pin(pin).map_err(failed("pin", pin.display()))?;
    Ok(())
}

/// Puts the program behind a pinned link. `false`: the link's device is gone (`ENOLINK`).
fn update(program: &mut SchedClassifier, pin: &Path) -> Result<bool, BpfError> {
    let pinned = PinnedLink::from_pin(pin).map_err(failed("open", pin.display()))?;
    let link = SchedClassifierLink::try_from(FdLink::from(pinned))
        .map_err(failed("use", pin.display()))?;
    match program.attach_to_link(link) {
        Ok(_) => Ok(true),
        Err(ProgramError::SyscallError(e)) if e.io_error.raw_os_error() == Some(libc::ENOLINK) => {
            Ok(false)
        }
        Err(error) => Err(failed("update", pin.display())(error)),
    }
}

/// Makes the program not be held there; `pin` is the path of its link, where there is one.
pub(super) fn ensure_detached(place: Place<'_>, pin: &Path) -> Result<(), BpfError> {
    if has_links() {
        ensure_file_absent(pin)
    } else {
        clsact::ensure_detached(place)
    }
}

/// Puts the program behind these pinned links.
pub(super) fn replace_all(
    program: &mut SchedClassifier,
    pins: impl IntoIterator<Item = PathBuf>,
) -> Result<(), BpfError> {
    for pin in pins {
        // A link without its device has nothing to update; it goes with what it was for.
        update(program, &pin)?;
    }
    Ok(())
}

/// What holds the program there.
pub(super) fn attached(
    program: &SchedClassifier,
    place: Place<'_>,
) -> Result<Option<Hook>, BpfError> {
    if !has_links() {
        return Ok(clsact::has_filter(place)?.then_some(Hook::Clsact));
    }
    let own = program
        .info()
        .map_err(failed("examine", "the program"))?
        .id();
    let (_, programs) = SchedClassifier::query_tcx(place.link, place.attach_type())
        .map_err(failed("query the programs of", place))?;
    Ok(programs
        .iter()
        .any(|program| program.id() == own)
        .then_some(Hook::Tcx))
}
