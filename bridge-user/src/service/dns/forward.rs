//! Asking others: from the cache, by joining who asks the same already, or one upstream after the
//! other.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use tokio::task::JoinSet;
use tokio::time::{Instant as Clock, sleep_until, timeout};

use super::asked::Asked;
use super::cache::Cache;
use super::exchange::ask;
use super::message::{Question, QuestionKey};
use super::upstreams::Upstreams;
use crate::model::Upstream;

/// How long one upstream is waited for before the next is asked besides.
const NEXT: Duration = Duration::from_millis(400);

/// How long all are waited for before they are asked again: datagrams get lost.
const AGAIN: Duration = Duration::from_millis(1500);

/// How often each is asked.
const ROUNDS: usize = 2;

/// When to give up: a sandbox asks for five seconds (`ResolvConf::for_sandbox`), as glibc's resolver
/// does by itself (`RES_TIMEOUT`, resolv.h).
const PATIENCE: Duration = Duration::from_millis(4500);

/// `None`: nobody answered.
type Found = Option<Arc<Message>>;

/// What asks others.
#[derive(Debug)]
pub(super) struct Forwarder {
    upstreams: Arc<Upstreams>,
    cache: Mutex<Cache<QuestionKey>>,
    /// Questions that are on their way: who asks the same waits for the same answer.
    asked: Mutex<Asked<QuestionKey, Found>>,
}

impl Forwarder {
    pub(super) fn new(upstreams: Upstreams) -> Self {
        Self {
            upstreams: Arc::new(upstreams),
            cache: Mutex::new(Cache::new()),
            asked: Mutex::new(Asked::new()),
        }
    }

    /// Asks these from now on, and not those places, which are our own; forgets what was answered.
    pub(super) fn configure(&self, upstreams: &[Upstream], own: &[SocketAddr]) {
        self.upstreams.set(upstreams, own);
        self.forget();
    }

    /// Whom it asks, whoever asks it.
    pub(super) fn upstreams(&self) -> Vec<SocketAddr> {
        if self.upstreams.changed() {
            self.forget();
        }
        self.upstreams.servers(&[], |_| true)
    }

    fn forget(&self) {
        self.cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// What these answer, or the host's nameservers where there are none. `is_here` says which
    /// addresses are this host's own gateways: asking there would be asking ourselves.
    pub(super) async fn answer(
        &self,
        question: &Question,
        client: IpAddr,
        nameservers: Vec<IpAddr>,
        is_here: impl Fn(IpAddr) -> bool,
    ) -> Message {
        if self.upstreams.changed() {
            self.forget();
        }
        let key = question.key(nameservers);
        let now = Instant::now();
        let kept = self
            .cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key, now);
        if let Some((answer, age)) = kept {
            return question.answer_of_others(&answer, age);
        }
        let joined = self.asked().join(key.clone(), client);
        let Some((asked, is_first)) = joined else {
            return question.answer_with(ResponseCode::ServFail);
        };
        // Whom we may have asked asks us the same: it would wait for itself.
        let is_asked = |ip| key.nameservers.contains(&ip) || self.upstreams.has(ip);
        if !is_first && (is_here(client) || is_asked(client)) {
            tracing::debug!("{client} asks us what we ask it: {:?}", question.query);
            return question.answer_with(ResponseCode::Refused);
        }
        // The host is many, and one of them may answer the others.
        let may_ask = |ip| (ip != client || client.is_loopback()) && !is_here(ip);
        let servers = self.upstreams.servers(&key.nameservers, may_ask);
        let ask = || self.ask_all(servers, question.for_others());
        let found = asked.get_or_init(ask).await.clone();
        self.asked().leave(&key, &asked);
        let Some(answer) = found else {
            return question.answer_with(ResponseCode::ServFail);
        };
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if is_first {
            cache.keep(key, Arc::clone(&answer), Instant::now());
        }
        question.answer_of_others(&answer, 0)
    }

    fn asked(&self) -> MutexGuard<'_, Asked<QuestionKey, Found>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask_all(&self, servers: Vec<SocketAddr>, question: Message) -> Found {
        let asking = ask_in_turn(&servers, &question, &self.upstreams);
        timeout(PATIENCE, asking).await.ok().flatten().map(Arc::new)
    }
}

/// Asks the first, and the next whenever one fails or is slow, while the earlier ones may still
/// answer. A server's own failure counts only if no other knows better.
async fn ask_in_turn(
    servers: &[SocketAddr],
    question: &Message,
    upstreams: &Upstreams,
) -> Option<Message> {
    let mut turns = servers.iter().copied().cycle().take(servers.len() * ROUNDS);
    let mut asking = JoinSet::new();
    let mut begun = Vec::new();
    let mut failure = None;
    let mut next_at = Clock::now();
    loop {
        let turn_left = begun.len() < servers.len() * ROUNDS;
        tokio::select! {
            Some(joined) = asking.join_next(), if !asking.is_empty() => match joined {
                Ok((server, Ok(answer))) => {
                    if is_final(&answer) {
                        upstreams.note(server, &begun);
                        return Some(answer);
                    }
                    failure = Some(answer);
                    next_at = Clock::now();
                }
                Ok((server, Err(error))) => {
                    tracing::debug!("upstream {server} cannot be asked: {error}");
                    next_at = Clock::now();
                }
                Err(error) => tracing::debug!("asking was cut off: {error}"),
            },
            () = sleep_until(next_at), if turn_left => {
                let server = turns.next()?;
                let question = question.clone();
                asking.spawn(async move { (server, ask(server, question).await) });
                begun.push(server);
                let is_round_done = begun.len() % servers.len() == 0;
                next_at += if is_round_done { AGAIN } else { NEXT };
            }
            else => return failure,
        }
    }
}

fn is_final(answer: &Message) -> bool {
    [ResponseCode::NoError, ResponseCode::NXDomain].contains(&answer.metadata.response_code)
}
