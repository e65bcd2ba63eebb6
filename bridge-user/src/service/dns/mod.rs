//! DNS on the gateway addresses of the networks: names of endpoints, and of others by asking the
//! host's upstreams.
//!
//! ```text
//! socket of a gateway -> limits -> message: read -> names of this moment -> answer -> write
//!                                                         |  not ours: forward: cache, upstreams
//!                 rows of the state, if they changed -----/
//! ```
//! An answer is as right as the state is when it is made: every question looks whether rows have
//! changed (`store::Reader`), and nobody has to tell the daemon.

mod answer;
mod asked;
mod cache;
mod counts;
mod exchange;
mod forward;
mod limits;
mod links;
mod listen;
mod message;
mod names;
mod queue;
mod upstreams;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hickory_proto::op::{Message, ResponseCode};

use self::answer::{Answer, answer};
use self::counts::Counts;
use self::forward::Forwarder;
use self::limits::{Held, Limits, What};
use self::listen::Listener;
use self::message::Question;
use self::names::Names;
use self::upstreams::Upstreams;
use crate::model::{DaemonListener, DaemonStatus, DnsConfig, Id};
use crate::store::{Reader, StoreError};

/// Where a host says who its nameservers are (resolv.conf(5)).
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Where questions are answered, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    address: SocketAddr,
    /// Whose gateway it is; none where the host asks.
    network: Option<Id>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", self.address.ip(), self.address.port())
    }
}

/// The way out where another server has the port.
const LISTEN_ELSEWHERE: &str = "have another server leave the gateways of networks alone, dnsmasq by \
    bind-interfaces and except-interface; it is tried again every second, and doctor tells more";

/// What answers questions, whatever socket they come by.
#[derive(Debug)]
struct Resolver {
    names: Mutex<Source>,
    turn: AtomicUsize,
    limits: Arc<Limits>,
    counts: Counts,
    forwarder: Forwarder,
}

/// Names, and where they come from.
#[derive(Debug)]
struct Source {
    reader: Reader,
    names: Arc<Names>,
    /// An error is told once, not by every question that meets it.
    failing: bool,
}

/// What becomes of a question at first.
enum Step {
    /// Nobody is answered.
    Silence,
    /// It could not be read.
    Refuse(Box<Message>),
    /// It is answered.
    Answer(Box<Question>, Message),
    /// Others have to be asked.
    Forward(Forward),
}

/// A question that others are to be asked.
struct Forward {
    question: Box<Question>,
    client: IpAddr,
    /// Who is asked; none: the host's nameservers.
    nameservers: Vec<IpAddr>,
    _held: Held,
}

/// DNS of this host.
#[derive(Debug)]
pub(super) struct Dns {
    resolver: Arc<Resolver>,
    /// Where the host asks.
    host: Vec<SocketAddr>,
    listeners: BTreeMap<Place, Result<Listener, String>>,
}

impl Dns {
    pub(super) fn new(state_directory: &Path) -> Self {
        let resolver = Resolver {
            names: Mutex::new(Source {
                reader: Reader::new(state_directory),
                names: Arc::default(),
                failing: false,
            }),
            turn: AtomicUsize::new(0),
            limits: Arc::default(),
            counts: Counts::default(),
            forwarder: Forwarder::new(Upstreams::new(RESOLV_CONF.into())),
        };
        Self {
            resolver: Arc::new(resolver),
            host: Vec::new(),
            listeners: BTreeMap::new(),
        }
    }

    /// Does as the user says from now on: whom to ask what is not ours, the host's nameservers if
    /// nobody; and where to answer the host besides.
    pub(super) fn configure(&mut self, config: &DnsConfig) {
        self.host = config.listen.iter().map(|listen| listen.0).collect();
        self.resolver
            .forwarder
            .configure(&config.upstreams, &self.host);
    }

    /// What there is to say of it.
    pub(super) fn status(&self) -> DaemonStatus {
        let listeners = self.listeners.iter().map(|(place, listener)| {
            let error = match listener {
                Ok(listener) if listener.is_alive() => None,
                Ok(_) => Some("it ended".into()),
                Err(error) => Some(error.clone()),
            };
            DaemonListener {
                address: place.address,
                network: place.network.as_ref().map(|id| id.as_str().into()),
                error,
            }
        });
        DaemonStatus {
            pid: std::process::id(),
            listeners: listeners.collect(),
            upstreams: self.resolver.forwarder.upstreams(),
            questions: self.resolver.counts.read(),
        }
    }

    /// Listens at the gateways that there are now, and no longer at others.
    pub(super) fn listen(&mut self) {
        let Ok(names) = self.resolver.names() else {
            return;
        };
        let mut wanted = names.listening();
        wanted.extend(self.host.iter().map(|address| Place {
            address: *address,
            network: None,
        }));
        self.listeners.retain(|place, _| wanted.contains(place));
        for place in wanted {
            let present = self.listeners.get(&place);
            if matches!(present, Some(Ok(listener)) if listener.is_alive()) {
                continue;
            }
            let started = match Listener::start(&self.resolver, &place) {
                Ok(listener) => Ok(listener),
                Err(error) => {
                    let error = error.to_string();
                    if matches!(present, Some(Err(before)) if before.starts_with(&error)) {
                        continue;
                    }
                    Err(match listen::other_server(place.address) {
                        Some(other) => format!("{error}: {other}"),
                        None => error,
                    })
                }
            };
            match &started {
                Ok(_) => tracing::info!("serving names at {place}"),
                Err(error) => {
                    tracing::error!("failed to listen at {place}: {error}");
                    tracing::error!("hint: {LISTEN_ELSEWHERE}");
                }
            }
            self.listeners.insert(place, started);
        }
    }
}

impl Resolver {
    /// The names of this moment.
    fn names(&self) -> Result<Arc<Names>, StoreError> {
        let mut source = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let read = source.reader.if_changed(|rows| match rows {
            Some(rows) => {
                let (networks, endpoints) = (rows.networks()?, rows.endpoints()?);
                Ok(Names::new(&networks, &endpoints, rows.runs()?))
            }
            None => Ok(Names::default()),
        });
        match read {
            Ok(changed) => {
                if let Some(names) = changed {
                    source.names = Arc::new(names);
                }
                source.failing = false;
                Ok(Arc::clone(&source.names))
            }
            Err(error) => {
                if !std::mem::replace(&mut source.failing, true) {
                    tracing::error!("names cannot be read: {error}");
                }
                Err(error)
            }
        }
    }

    /// Answers a question, or finds that others have to be asked; counts it.
    fn begin(&self, network: Option<&Id>, client: IpAddr, bytes: &[u8]) -> Step {
        let step = self.first_step(network, client, bytes);
        match step {
            Step::Silence | Step::Refuse(_) => &self.counts.malformed,
            Step::Answer(..) => &self.counts.answered,
            Step::Forward(_) => &self.counts.forwarded,
        }
        .fetch_add(1, Ordering::Relaxed);
        step
    }

    fn first_step(&self, network: Option<&Id>, client: IpAddr, bytes: &[u8]) -> Step {
        let question = match Question::read(bytes) {
            Ok(question) => Box::new(question),
            Err(Some(refusal)) => return Step::Refuse(refusal),
            Err(None) => return Step::Silence,
        };
        let answer = match self.find(network, client, &question) {
            Answer::Records(records) => question.answer_own(records),
            Answer::Code(code) => question.answer_with(code),
            Answer::Others(_) if !question.recursion_desired() => {
                question.answer_with(ResponseCode::Refused)
            }
            Answer::Others(nameservers) => match self.limits.hold(client, What::Forward) {
                Some(held) => {
                    return Step::Forward(Forward {
                        question,
                        client,
                        nameservers,
                        _held: held,
                    });
                }
                None => question.answer_with(ResponseCode::ServFail),
            },
        };
        Step::Answer(question, answer)
    }

    fn find(&self, network: Option<&Id>, client: IpAddr, question: &Question) -> Answer {
        let Ok(names) = self.names() else {
            return Answer::Code(ResponseCode::ServFail);
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        match names.asker(network, client) {
            Some(asker) => answer(&asker, &question.query, turn),
            None => Answer::Code(ResponseCode::Refused),
        }
    }

    /// Asks others, and answers whatever comes of that.
    async fn forward(&self, forward: Forward) -> Message {
        let Forward {
            question,
            client,
            nameservers,
            _held,
        } = forward;
        let Ok(names) = self.names() else {
            return question.answer_with(ResponseCode::ServFail);
        };
        let is_here = |address| names.is_gateway(address);
        self.forwarder
            .answer(&question, client, nameservers, is_here)
            .await
    }
}
