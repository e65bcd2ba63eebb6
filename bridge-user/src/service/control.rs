//! The daemon's socket: who connects is told how the daemon is, in one line of JSON.
//!
//! Systemd may have opened it, and started the daemon when somebody connected; else it is made here.

use std::fs::{self, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::ServiceError;
use crate::kernel::activation;
use crate::model::{DAEMON_SOCKET, DaemonStatus};

/// How long who connected may take, and the daemon to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sockets of this namespace, their paths among them (proc_pid_net(5)).
const UNIX_SOCKETS: &str = "/proc/self/net/unix";

/// `__SO_ACCEPTCON`: the socket listens (include/uapi/linux/net.h, v6.18).
const LISTENS: &str = "00010000";

/// The socket; one that was made here goes with it.
#[derive(Debug)]
pub(super) struct Control {
    listener: UnixListener,
    is_own: bool,
}

impl Control {
    /// Takes what the service manager hands over, or makes the socket. The caller is the daemon of
    /// this host: a socket that nobody listens at is what another one left that was killed.
    pub(super) fn open() -> Result<Self, ServiceError> {
        let given = activation::listener()?;
        let is_own = given.is_none();
        let listener = match given {
            Some(listener) => listener,
            None => bind()?,
        };
        let start = || {
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener)
        };
        let listener = start().map_err(failed("listen at"))?;
        Ok(Self { listener, is_own })
    }

    /// The next one who asks.
    pub(super) async fn asked(&self) -> io::Result<UnixStream> {
        let (stream, _) = self.listener.accept().await?;
        Ok(stream)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if self.is_own {
            // What is left is what a killed daemon leaves too.
            let _ = fs::remove_file(DAEMON_SOCKET);
        }
    }
}

fn bind() -> Result<StdListener, ServiceError> {
    if has_listener().map_err(failed("look who listens at"))? {
        return Err(ServiceError::SocketTaken);
    }
    match fs::remove_file(DAEMON_SOCKET) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed("remove")(e)),
        _ => {}
    }
    let listener = StdListener::bind(DAEMON_SOCKET).map_err(failed("listen at"))?;
    // Nobody else gets into the directory meanwhile.
    fs::set_permissions(DAEMON_SOCKET, Permissions::from_mode(0o660))
        .map_err(failed("set the mode of"))?;
    Ok(listener)
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> ServiceError {
    let path = DAEMON_SOCKET.into();
    move |source| ServiceError::File {
        action,
        path,
        source,
    }
}

/// Whether somebody listens there. Not asked by connecting: that would start a service.
fn has_listener() -> io::Result<bool> {
    let sockets = fs::read_to_string(UNIX_SOCKETS)?;
    Ok(sockets.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.nth(3) == Some(LISTENS) && words.last() == Some(DAEMON_SOCKET)
    }))
}

/// Tells who connected, and does not wait for a slow one for ever.
pub(super) async fn tell(mut stream: UnixStream, status: DaemonStatus) {
    let tell = async {
        let mut line = serde_json::to_vec(&status)?;
        line.push(b'\n');
        stream.write_all(&line).await
    };
    if let Ok(Err(error)) = timeout(PATIENCE, tell).await {
        tracing::debug!("who asked for the status did not wait for it: {error}");
    }
}

/// Asks the daemon of this host how it is.
pub fn status() -> io::Result<DaemonStatus> {
    let mut stream = StdStream::connect(DAEMON_SOCKET)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}
