//! `daemon`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::CliError;
use crate::ipam::AddressPool;
use crate::model::{DnsConfig, HostListen, LogConfig, LogFormat, LogLevel, Upstream};
use crate::ops::{self, Config, Context, Paths};
use crate::service::{self, Settings};

/// It stays attached to whatever started it, and ends with SIGTERM; SIGHUP reloads.
#[derive(Debug, Clone, Args)]
pub(super) struct DaemonArguments {
    /// Log for people: with time and level. Else with the priorities that a service manager reads, or
    /// as the configuration says.
    #[arg(long)]
    foreground: bool,
    /// What the log says: error, warn, info or debug; else as the configuration says.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// Ask this nameserver others' names, not those of the configuration or of /etc/resolv.conf;
    /// several in their order.
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    upstream: Vec<Upstream>,
    /// Answer the host's own questions at this loopback address too, not at those of the configuration;
    /// several at each.
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    listen: Vec<HostListen>,
    /// Take the subnets of networks from this block, not from those of the configuration; several in
    /// their order. It counts until a daemon is started without it.
    #[arg(long, value_name = "base=CIDR,size=PREFIX_LENGTH")]
    default_address_pool: Vec<AddressPool>,
}

pub(super) fn run(arguments: &DaemonArguments, paths: &Paths) -> Result<(), CliError> {
    ops::check_host()?;
    let instance = service::Instance::become_it()?;
    ops::set_address_pools(paths, &arguments.default_address_pool)?;
    let settings = Settings {
        state_directory: paths.state.clone(),
        dns: dns(arguments, paths)?,
        reload: {
            let (arguments, paths) = (arguments.clone(), paths.clone());
            Box::new(move || match dns(&arguments, &paths) {
                Ok(dns) => Some(dns),
                Err(error) => {
                    tracing::error!("nothing is changed: {}", ops::chain(&error));
                    None
                }
            })
        },
        sweep: {
            let paths = paths.clone();
            Arc::new(move || sweep(&paths))
        },
        followed: ops::RESOLVER_FILES.map(PathBuf::from).into(),
        follow: {
            let paths = paths.clone();
            Arc::new(move || follow(&paths))
        },
    };
    Ok(service::run(&instance, &settings)?)
}

/// The options count before the configuration.
fn dns(arguments: &DaemonArguments, paths: &Paths) -> Result<DnsConfig, ops::Error> {
    let mut dns = Config::read(paths.config.as_deref())?.dns;
    if !arguments.upstream.is_empty() {
        dns.upstreams.clone_from(&arguments.upstream);
    }
    if !arguments.listen.is_empty() {
        dns.listen.clone_from(&arguments.listen);
    }
    Ok(dns)
}

/// Opening the state makes right what is not, as it does for every command.
fn sweep(paths: &Paths) {
    let wrong = match Context::open_existing(paths) {
        Ok(context) => context.and_then(|c| c.left_wrong().map(|error| ops::chain(error))),
        Err(error) => Some(ops::chain(&error)),
    };
    if let Some(error) = wrong {
        tracing::warn!("not everything is as it should be: {error}");
    }
}

/// Sandboxes ask the host's nameservers where the daemon does not answer.
fn follow(paths: &Paths) {
    let followed = Context::open_existing(paths).and_then(|context| match context {
        Some(mut context) => context.refresh_resolvers(),
        None => Ok(()),
    });
    if let Err(error) = followed {
        tracing::warn!(
            "resolver files are not as they should be: {}",
            ops::chain(&error)
        );
    }
}

/// Sends what the daemon has to tell to standard error.
pub(super) fn tell(arguments: &DaemonArguments, verbose: u8, config: LogConfig) {
    let level = arguments.log_level.unwrap_or(config.level);
    // What operations tell of the kernel is more than a log wants to know.
    let (service, rest) = match (verbose, level) {
        (2.., _) | (_, LogLevel::Debug) => (Level::DEBUG, Level::DEBUG),
        (1, _) => (Level::INFO, Level::INFO),
        (0, LogLevel::Info) => (Level::INFO, Level::WARN),
        (0, LogLevel::Warn) => (Level::WARN, Level::WARN),
        (0, LogLevel::Error) => (Level::ERROR, Level::ERROR),
    };
    let levels = Targets::new()
        .with_target("bridge_user", rest)
        .with_target("bridge_user::service", service)
        .with_default(Level::ERROR);
    let lines = fmt::layer().with_writer(io::stderr);
    let registry = tracing_subscriber::registry();
    if arguments.foreground || config.format == LogFormat::Text {
        let lines = lines.with_timer(SystemTime).with_target(false);
        registry.with(lines.with_filter(levels)).init();
    } else {
        registry
            .with(lines.event_format(Priorities).with_filter(levels))
            .init();
    }
}

/// Lines as sd-daemon(3) wants them: the manager has the time, and takes the priority off.
struct Priorities;

impl<S, N> FormatEvent<S, N> for Priorities
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
