//! Carries out the steps of a gate: with a store that is the script's model, an origin with
//! scripted answers, and one clock for all.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use omnitrade_edge::cache::Fill;
use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::config::Config;
use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::gateway::{After, Context, Gate, Handoff, Relay, Respond, Step};
use omnitrade_edge::identity::{AdminToken, KeySecrets, Outcome, Verification};
use omnitrade_edge::limiter::Work;
use omnitrade_edge::message::body::BodyError;
use omnitrade_edge::message::forward::Failure;
use omnitrade_edge::message::forward::Fetch;
use omnitrade_edge::redis::Value;
use omnitrade_edge::store::Ask;
use omnitrade_edge::store::Write;

pub use crate::messages::{Request, Response, Seen, get, response};
use crate::messages::{made, octets};
use crate::model::ModelStore;

/// The time at which every test begins: the first millisecond of a sub-bucket of a minute.
pub const START: Timestamp = Timestamp::from_millis(1_700_000_040_000);

/// The token that opens the admin pages.
pub const TOKEN: &str = "t0ken-of-the-admin";

/// The state of the store.
#[derive(Debug, Clone)]
pub enum Store {
    Up,
    /// Every call fails with this error.
    Down(ErrorKind),
    /// Every call gets this reply.
    Says(Value),
}

/// A gate and everything around it.
pub struct Rig {
    pub gate: Gate<Bytes>,
    /// The time, also of the store.
    pub now: Timestamp,
    /// By how many milliseconds the gate's clock is ahead.
    pub ahead_ms: i64,
    pub store: Store,
    pub model: ModelStore,
    /// What the origin answers next; a plain 200 once the queue is empty.
    pub origin: VecDeque<Result<Response, Failure>>,
    /// How long the origin takes for an answer.
    pub origin_takes: Duration,
    pub asks: Vec<Ask>,
    /// The requests that reached the origin.
    pub sent: Vec<Request>,
    pub writes: Vec<Entry>,
    /// The keys that were deleted from the store.
    pub deleted: Vec<String>,
    /// The calls of the script for which no client waited.
    pub background: Vec<Ask>,
    /// The bodies that clients send.
    pub body: Result<Bytes, BodyError>,
    /// The arguments of the scripts that added jobs.
    #[cfg(feature = "queue")]
    pub jobs: Vec<Vec<String>>,
    /// How many of the commands of a purge the store carries out.
    pub purges: usize,
    /// What purges have set in the store.
    pub epochs: Vec<(String, String)>,
    isolates: u64,
    config: Config,
}

/// An entry that was written to the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub value: String,
    pub ttl_ms: u64,
}

/// The result of a step.
enum Advance {
    Step(Step<Bytes>),
    Respond(Respond<Bytes>),
    Relay(Response, Relay<Bytes>),
}

impl Rig {
    /// A gate with a store.
    pub fn new(config: serde_json::Value) -> Self {
        Self::of(config, true)
    }

    /// A gate in local mode.
    pub fn without_store(config: serde_json::Value) -> Self {
        Self::of(config, false)
    }

    fn of(config: serde_json::Value, has_store: bool) -> Self {
        Self::of_config(Config::from_json(config).unwrap(), has_store, 1)
    }

    fn of_config(config: Config, has_store: bool, seed: u64) -> Self {
        Self {
            gate: gate(&config, has_store, seed),
            now: START,
            ahead_ms: 0,
            store: Store::Up,
            model: ModelStore::default(),
            origin: VecDeque::new(),
            origin_takes: Duration::ZERO,
            asks: Vec::new(),
            sent: Vec::new(),
            writes: Vec::new(),
            deleted: Vec::new(),
            background: Vec::new(),
            body: Ok(Bytes::new()),
            #[cfg(feature = "queue")]
            jobs: Vec::new(),
            purges: usize::MAX,
            epochs: Vec::new(),
            isolates: seed,
            config,
        }
    }

    /// Another isolate on the same store, in place of this one.
    pub fn another_isolate(&mut self) {
        self.isolates += 1;
        self.gate = gate(&self.config, true, self.isolates);
    }

    /// The same, with these secrets in its digests.
    pub fn another_isolate_with(&mut self, secrets: KeySecrets) {
        self.isolates += 1;
        self.gate = gate(&self.config, true, self.isolates).with_key_secrets(secrets);
    }

    /// Another isolate with its own memory. The test moves the store between the two.
    pub fn beside(&mut self) -> Self {
        self.isolates += 1;
        let mut beside = Self::of_config(self.config.clone(), true, self.isolates << 8);
        beside.now = self.now;
        beside
    }

    /// The time that the gate's clock shows.
    pub fn shown(&self) -> Timestamp {
        let ms = self.now.as_millis().saturating_add_signed(self.ahead_ms);
        Timestamp::from_millis(ms)
    }

    pub fn wait(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
    }

    /// Sets what the origin answers next.
    pub fn next(&mut self, response: Response) {
        self.origin.push_back(Ok(response));
    }

    /// Sends a `GET`.
    pub fn get(&mut self, path: &str) -> Seen {
        self.send(&get(path))
    }

    /// Sends a request, and carries out all of its steps.
    pub fn send(&mut self, request: &Request) -> Seen {
        let step = self.gate.decide(request, self.shown());
        self.carry_on(request, step)
    }

    /// Starts a request, and goes on until it waits, is answered or goes to the origin.
    pub fn begin(&mut self, request: &Request) -> Step<Bytes> {
        let step = self.gate.decide(request, self.shown());
        self.ask_store(request, step)
    }

    /// Carries out steps as long as they ask the store.
    pub fn ask_store(&mut self, request: &Request, mut step: Step<Bytes>) -> Step<Bytes> {
        while let Step::Ask(ask, context) = step {
            let reply = self.reply(&ask);
            let now = self.shown();
            step = self.gate.resume(request, &ask, context, reply, now);
        }
        step
    }

    /// Swaps stores with another isolate, and sets its clock to the time of this one.
    pub fn swap_stores(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.model, &mut other.model);
        other.now = other.now.max(self.now);
    }

    /// The store's reply to a call.
    pub fn reply(&mut self, ask: &Ask) -> Result<Value, Error> {
        self.asks.push(ask.clone());
        self.said(ask)
    }

    fn said(&mut self, ask: &Ask) -> Result<Value, Error> {
        match &self.store {
            Store::Up => Ok(self.model.call(&ask.keys, &ask.args, self.now)),
            Store::Down(kind) => Err(Error::from(*kind)),
            Store::Says(value) => Ok(value.clone()),
        }
    }

    /// Makes calls for which no client waits.
    pub fn work(&mut self, work: impl IntoIterator<Item = Work>) {
        for work in work {
            self.background.push(work.ask.clone());
            let reply = self.said(&work.ask);
            self.gate.worked(&work, reply, self.shown());
        }
    }

    /// Carries out the remaining steps of a request.
    pub fn carry_on(&mut self, request: &Request, mut step: Step<Bytes>) -> Seen {
        let (asks, sent) = (self.asks.len(), self.sent.len());
        loop {
            let counts = (self.asks.len() - asks, self.sent.len() - sent);
            step = match self.advance(request, step) {
                Advance::Step(step) => step,
                Advance::Respond(respond) => return self.respond(request, respond, counts),
                Advance::Relay(origin, relay) => {
                    let counts = (self.asks.len() - asks, self.sent.len() - sent);
                    return self.relay(request, &origin, relay, counts);
                }
            }
        }
    }

    fn advance(&mut self, request: &Request, step: Step<Bytes>) -> Advance {
        match step {
            Step::Respond(respond) => Advance::Respond(respond),
            Step::Ask(ask, context) => {
                let reply = self.reply(&ask);
                let now = self.shown();
                Advance::Step(self.gate.resume(request, &ask, context, reply, now))
            }
            Step::Wait(pause, context) => {
                self.now = self.now + pause;
                Advance::Step(self.gate.waited(request, context, self.shown()))
            }
            Step::Verify(token) => {
                let outcome = self.verify(&token);
                Advance::Step(self.gate.verified(request, *token, outcome, self.shown()))
            }
            Step::AwaitKeys(pause, awaited) => {
                self.now = self.now + pause;
                Advance::Step(self.gate.keys_awaited(request, awaited, self.shown()))
            }
            Step::AwaitPermits(pause, patient) => {
                self.now = self.now + pause;
                Advance::Step(self.gate.permits_awaited(request, patient, self.shown()))
            }
            #[cfg(feature = "queue")]
            Step::ReadJob(reading, context) => {
                let fits = self
                    .body
                    .clone()
                    .and_then(|body| match body.len() <= reading.most() {
                        true => Ok(body),
                        false => Err(BodyError::TooLong),
                    });
                let now = self.shown();
                Advance::Step(self.gate.job_read(request, context, fits, now))
            }
            #[cfg(feature = "queue")]
            Step::Enqueue(job, context) => {
                let reply = match &self.store {
                    Store::Up => {
                        self.jobs.push(job.args().clone());
                        let facts: serde_json::Value =
                            serde_json::from_str(&job.args()[0]).unwrap();
                        Ok(Value::from(facts[1].as_str().unwrap()))
                    }
                    Store::Down(kind) => Err(Error::from(*kind)),
                    Store::Says(value) => Ok(value.clone()),
                };
                Advance::Step(self.gate.enqueued(context, reply, self.shown()))
            }
            Step::Read(reading) => {
                let body = self.body.clone();
                Advance::Step(self.gate.body_read(request, reading, body, self.shown()))
            }
            Step::Examine => panic!("only the shell can look at the store"),
            Step::Purge(purge) => {
                let replies = self.purge_said(&purge);
                Advance::Step(self.gate.purged(&purge, replies, self.shown()))
            }
            Step::Fetch(fetch, mut context) => {
                self.work(context.take_calls());
                let answered = self.fetch(request, &fetch);
                match self.origin_answered(request, context, &answered) {
                    Handoff::Step(step) => Advance::Step(step),
                    Handoff::Relay(relay) => Advance::Relay(answered.unwrap(), relay),
                }
            }
        }
    }

    /// In place of cryptography: a signature is right if it is the `x` of one of the keys.
    fn verify(&self, token: &Verification) -> Outcome {
        let signed = token.keys.iter().any(|key| {
            let jwk: serde_json::Value = serde_json::from_str(&key.jwk).unwrap();
            jwk["x"].as_str().unwrap().as_bytes() == token.signature
        });
        match signed {
            true => Outcome::Signed,
            false => Outcome::NotSigned,
        }
    }

    fn fetch(&mut self, request: &Request, fetch: &Fetch) -> Result<Response, Failure> {
        let mut headers = request.headers.clone();
        if let Some(keep) = &fetch.keep {
            for name in request.headers.keys() {
                if !keep.iter().any(|kept| kept == name.as_str()) {
                    headers.remove(name);
                }
            }
        }
        for name in &fetch.remove {
            headers.remove(name.as_str());
        }
        for (name, value) in &fetch.set {
            let name = HeaderName::try_from(name).unwrap();
            headers.insert(name, octets(value));
        }
        self.sent.push(Request {
            method: request.method.clone(),
            url: fetch.url.clone(),
            headers,
            limits_only: false,
        });
        self.now = self.now + self.origin_takes;
        let next = self.origin.pop_front();
        next.unwrap_or_else(|| Ok(response(200, "plain")))
    }

    fn origin_answered(
        &mut self,
        request: &Request,
        context: Context<Bytes>,
        answered: &Result<Response, Failure>,
    ) -> Handoff<Bytes> {
        let (answered, now) = (answered.as_ref().map_err(|e| *e), self.shown());
        self.gate.origin_answered(request, context, answered, now)
    }

    fn respond(
        &mut self,
        request: &Request,
        respond: Respond<Bytes>,
        (asks, fetches): (usize, usize),
    ) -> Seen {
        if let Some(tally) = &respond.tally {
            self.gate.answered(tally, self.shown());
        }
        let refresh = self.after(respond.after);
        let refreshed = refresh.is_some();
        if let Some(step) = refresh {
            self.refresh(request, *step);
        }
        let (status, headers, body) = made(respond.answer);
        Seen {
            status,
            headers,
            body,
            asks,
            fetches,
            refreshed,
        }
    }

    /// Carries out the work after an answer, except the refresh, which is returned.
    fn after(&mut self, after: After<Bytes>) -> Option<Box<Step<Bytes>>> {
        after.writes.into_iter().for_each(|write| self.write(write));
        self.work(after.calls);
        after.refresh
    }

    /// Stores a response whose body comes together with its head. Returns whether the isolate has
    /// stored it.
    fn fill(&mut self, fill: Option<Box<Fill>>, body: Bytes) -> bool {
        let Some(fill) = fill else {
            return false;
        };
        let inserted = self.gate.filled(*fill, body, self.shown());
        inserted
            .write
            .into_iter()
            .for_each(|write| self.write(write));
        inserted.kept
    }

    /// Refreshes an entry in the background, as the shells do.
    fn refresh(&mut self, request: &Request, mut step: Step<Bytes>) {
        loop {
            step = match self.advance(request, step) {
                Advance::Step(step) => step,
                Advance::Respond(respond) => match self.after(respond.after) {
                    Some(step) => *step,
                    None => return,
                },
                Advance::Relay(origin, relay) => {
                    self.after(relay.after);
                    self.fill(relay.fill, origin.body);
                    return;
                }
            }
        }
    }

    fn relay(
        &mut self,
        request: &Request,
        origin: &Response,
        relay: Relay<Bytes>,
        (asks, fetches): (usize, usize),
    ) -> Seen {
        self.gate.answered(&relay.tally, self.shown());
        self.after(relay.after);
        let kept = self.fill(relay.fill, origin.body.clone());
        let (status, headers, body) = match relay.instead {
            Some(answer) => made(answer.when(kept)),
            None => {
                let mut headers = origin.headers.clone();
                for name in &relay.remove {
                    headers.remove(name.as_str());
                }
                for (name, value) in relay.set {
                    headers.insert(name, octets(&value));
                }
                for (name, value) in relay.append {
                    headers.append(name, octets(&value));
                }
                if let Some(said) = relay.cache_status {
                    let member = said.when(kept).parse().unwrap();
                    headers.append("cache-status", member);
                }
                let body = match request.method.as_str() {
                    "HEAD" => Bytes::new(),
                    _ => origin.body.clone(),
                };
                (origin.status, headers, body)
            }
        };
        Seen {
            status,
            headers,
            body,
            asks,
            fetches,
            refreshed: false,
        }
    }

    /// What the gate logs.
    pub fn notes(&mut self) -> Vec<String> {
        let now = self.shown();
        self.gate.take_notes(now)
    }

    pub fn write(&mut self, write: Write) {
        let up = matches!(self.store, Store::Up);
        match write {
            Write::Set { key, value, ttl_ms } => {
                if up {
                    self.model.set(&key, &value, ttl_ms, self.now);
                }
                self.writes.push(Entry { key, value, ttl_ms });
            }
            Write::Keep { entry, keys, args } => {
                if up {
                    let reply = self.model.keep(&keys, &args, self.now);
                    let write = Write::Keep {
                        entry,
                        keys: keys.clone(),
                        args: args.clone(),
                    };
                    let (took, now) = (Duration::ZERO, self.shown());
                    self.gate.wrote(&write, Ok(&reply), took, now);
                }
                self.writes.push(Entry {
                    key: keys[0].clone(),
                    value: args[0].clone(),
                    ttl_ms: args[3].parse().unwrap(),
                });
            }
            Write::Delete { keys } => {
                for key in keys {
                    if up {
                        self.model.delete(&key);
                    }
                    self.deleted.push(key);
                }
            }
        }
    }
}

/// The context of a request that waits for another one.
#[track_caller]
pub fn follower(step: Step<Bytes>) -> Context<Bytes> {
    match step {
        Step::Wait(_, context) => context,
        other => panic!("expected a wait: {other:?}"),
    }
}

/// A gate that [`TOKEN`] opens.
fn gate(config: &Config, has_store: bool, seed: u64) -> Gate<Bytes> {
    let gate = Gate::new(config, has_store, seed).unwrap();
    gate.with_admin_token(AdminToken::new(TOKEN))
}
