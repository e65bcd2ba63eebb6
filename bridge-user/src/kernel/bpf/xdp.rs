//! How the XDP program is held to a host leg: by a pinned link (Linux 5.9), native.

use std::path::PathBuf;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::{XdpLink, XdpMode};
use aya::programs::{ProgramError, Xdp};

use super::BpfError;
use super::error::failed;
use super::pins::{ensure_file_absent, xdp_link_path};
use crate::fault;
use crate::kernel::netlink::{self, Netlink, NetlinkError};

pub(super) fn ensure_attached(
    program: &mut Xdp,
    endpoint: &str,
    host_leg: u32,
) -> Result<(), BpfError> {
    let pin = xdp_link_path(endpoint);
    if pin.exists() && update(program, &pin)? {
        return Ok(());
    }
    ensure_file_absent(&pin)?;
    fault::step();
    tracing::info!(
        "xdp link: port_ingress_xdp on link {host_leg}, pinned at {}",
        pin.display()
    );
    // Native, or not at all: generic XDP gains nothing over TC.
    let id = program
        .attach_to_if_index(host_leg, XdpMode::Driver)
        .map_err(failed("attach the XDP program to link", host_leg))?;
    let link = program
        .take_link(id)
        .map_err(failed("take the XDP link of link", host_leg))?;
    let link = FdLink::try_from(link).map_err(failed("take the XDP link of link", host_leg))?;
    link.pin(&pin).map_err(failed("pin", pin.display()))?;
    Ok(())
}

/// Puts the program behind a pinned link. `false`: the link's device is gone (`ENOLINK`).
fn update(program: &mut Xdp, pin: &PathBuf) -> Result<bool, BpfError> {
    let pinned = PinnedLink::from_pin(pin).map_err(failed("open", pin.display()))?;
    let link = XdpLink::try_from(FdLink::from(pinned)).map_err(failed("use", pin.display()))?;
    match program.attach_to_link(link) {
        Ok(_) => Ok(true),
        Err(ProgramError::SyscallError(e)) if e.io_error.raw_os_error() == Some(libc::ENOLINK) => {
            Ok(false)
        }
        Err(error) => Err(failed("update", pin.display())(error)),
    }
}

/// Puts the program behind these pinned links.
pub(super) fn replace_all(program: &mut Xdp, pins: &[PathBuf]) -> Result<(), BpfError> {
    for pin in pins {
        // A link without its device has nothing to update; it goes with its endpoint.
        update(program, pin)?;
    }
    Ok(())
}

/// Whether it is this program that a host leg has.
pub(super) fn is_attached(program: &Xdp, host_leg: &str) -> Result<bool, BpfError> {
    let own = program
        .info()
        .map_err(failed("examine", "the XDP program"))?
        .id();
    let look = || {
        let mut netlink = Netlink::open()?;
        Ok(netlink::link(&mut netlink, host_leg)?.and_then(|leg| leg.xdp_program))
    };
    let there =
        look().map_err(|e: NetlinkError| failed("query the XDP program of", host_leg)(e))?;
    Ok(there == Some(own))
}
