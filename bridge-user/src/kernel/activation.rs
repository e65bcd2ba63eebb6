//! Socket activation: sockets that a service manager opened and hands over (sd_listen_fds(3)).

use std::env;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::process;

use socket2::{Socket, Type};

use super::sys;

/// The first that is handed over: `SD_LISTEN_FDS_START` (sd-daemon.h).
const FIRST: RawFd = 3;

/// Why what was handed over cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// More than one, or a number that is none.
    #[error("the service manager hands over {0:?} sockets (LISTEN_FDS), and one is taken")]
    Count(String),
    /// It is not open.
    #[error("descriptor {FIRST}, which the service manager hands over, cannot be used")]
    Closed(#[source] io::Error),
    /// It is something else.
    #[error(
        "descriptor {FIRST}, which the service manager hands over, is no Unix stream socket that listens"
    )]
    NoListener,
}

/// The one Unix stream socket that was handed over; `None` where nothing was, or to another process.
/// To be called once.
pub fn listener() -> Result<Option<UnixListener>, ActivationError> {
    let variable = |name| env::var(name).unwrap_or_default();
    if variable("LISTEN_PID") != process::id().to_string() {
        return Ok(None);
    }
    match variable("LISTEN_FDS").as_str() {
        "" | "0" => Ok(None),
        "1" => {
            let fd = sys::inherited(FIRST).map_err(ActivationError::Closed)?;
            listening(fd).map(Some)
        }
        count => Err(ActivationError::Count(count.into())),
    }
}

fn listening(fd: OwnedFd) -> Result<UnixListener, ActivationError> {
    let socket = Socket::from(fd);
    let is_unix = socket.local_addr().is_ok_and(|address| address.is_unix());
    let is_stream = socket.r#type().is_ok_and(|kind| kind == Type::STREAM);
    if is_unix && is_stream && socket.is_listener().unwrap_or(false) {
        Ok(OwnedFd::from(socket).into())
    } else {
        Err(ActivationError::NoListener)
    }
}
