//! The daemon: one process, one thread for the network, others for what may block.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, timeout_at};

use super::control::{self, Control};
use super::dns::Dns;
use super::instance::Instance;
use super::runs::RunWatch;
use super::watch::{Wakes, follow_when_wanted, pass_on_events, sweep_when_wanted};
use super::{ServiceError, notify};
use crate::kernel::files::Stamp;
use crate::kernel::netns;
use crate::model::{DaemonStatus, DnsConfig};

/// How often we look whether we listen where we should, events or not.
const LOOK: Duration = Duration::from_secs(1);

/// After an error that another try meets again at once, such as a lack of memory.
const PAUSE: Duration = Duration::from_millis(50);

/// What the daemon is told, and what it calls.
pub struct Settings {
    /// Where the state is.
    pub state_directory: PathBuf,
    /// Whom its DNS asks, and where else it answers.
    pub dns: DnsConfig,
    /// Reads that again; `None` where that fails, of which it tells itself.
    pub reload: Box<dyn Fn() -> Option<DnsConfig>>,
    /// Makes right what is not; it may block, and tells of its errors itself.
    pub sweep: Arc<dyn Fn() + Send + Sync>,
    /// Files of the host that `follow` has to be called after changes of, and at first.
    pub followed: Vec<PathBuf>,
    /// Makes what depends on those files right; as `sweep`.
    pub follow: Arc<dyn Fn() + Send + Sync>,
}

/// Runs until SIGTERM or SIGINT. Who calls is the daemon of this host as long.
pub fn run(_instance: &Instance, settings: &Settings) -> Result<(), ServiceError> {
    raise_open_files();
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(ServiceError::Start)?
        .block_on(serve(settings))
}

async fn serve(settings: &Settings) -> Result<(), ServiceError> {
    let on = |kind| signal(kind).map_err(ServiceError::Start);
    let (mut term, mut int) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let mut hup: Signal = on(SignalKind::hangup())?;
    let control = Control::open()?;
    let wakes = Arc::new(Wakes::default());
    pass_on_events(&settings.state_directory, Arc::clone(&wakes))?;
    let boot_id = netns::boot_id()?;
    let mut runs = RunWatch::new(&settings.state_directory, boot_id, Arc::clone(&wakes));
    let mut dns = Dns::new(&settings.state_directory);
    dns.configure(&settings.dns);
    dns.listen();
    runs.ensure();
    // Whatever happened while no daemon ran.
    wakes.sweep.notify_one();
    notify::ready();
    tracing::info!("ready");
    let working = sweep_when_wanted(&wakes, Arc::clone(&settings.sweep));
    let following = follow_when_wanted(&wakes, Arc::clone(&settings.follow));
    tokio::pin!(working, following);
    let mut followed = Vec::new();
    let mut look_at = Instant::now() + LOOK;
    loop {
        let stamps: Vec<_> = settings
            .followed
            .iter()
            .map(|path| Stamp::of(path))
            .collect();
        if stamps != followed {
            followed = stamps;
            wakes.follow.notify_one();
        }
        tokio::select! {
            () = &mut working => {}
            () = &mut following => {}
            asked = control.asked() => answer(asked, dns.status()).await,
            // What an event did not tell, a second does, whoever asks meanwhile how we are: an
            // address that others had, say.
            _ = timeout_at(look_at, wakes.refresh.notified()) => {
                look_at = Instant::now() + LOOK;
                dns.listen();
                runs.ensure();
            }
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = hup.recv() => {
                notify::reloading();
                tracing::info!("reloading");
                if let Some(config) = (settings.reload)() {
                    dns.configure(&config);
                }
                dns.listen();
                wakes.sweep.notify_one();
                notify::ready();
            }
        }
    }
    notify::stopping();
    tracing::info!("stopping");
    Ok(())
}

/// Tells who connected to the daemon's socket how it is.
async fn answer(asked: io::Result<UnixStream>, status: DaemonStatus) {
    match asked {
        Ok(stream) => drop(tokio::spawn(control::tell(stream, status))),
        Err(error) => {
            tracing::debug!("failed to accept a connection: {error}");
            sleep(PAUSE).await;
        }
    }
}

/// Every connection and every question that is passed on needs a file of its own.
fn raise_open_files() {
    let raise = || {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    };
    if let Err(errno) = raise() {
        tracing::warn!("failed to raise the limit of open files: {errno}");
    }
}
