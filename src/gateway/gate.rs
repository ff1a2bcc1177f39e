//! The gate of one isolate: its configuration and what it remembers.

use std::rc::Rc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::cache::CacheMemory;
use crate::clock::Timestamp;
use crate::config::{Config, ConfigError};
use crate::engine::http_cache::Target;
use crate::engine::subject::hex;
use crate::error::Error;
use crate::identity::{AdminToken, ClientDigests, Identities, KeyReply, KeySecrets};
use crate::limiter::{LimitMemory, UnknownKeys};
use crate::message::body::Body;
use crate::message::head::Head;
use crate::ops::Ops;
use crate::store::{Ask, EntryQuery, Link, Write};

use super::context::Context;
use super::plan::Plan;

/// The gate of one isolate: its configuration and what it remembers. `B` is the type of a stored
/// body.
#[derive(Debug)]
pub struct Gate<B: Body> {
    pub(super) plan: Plan,
    pub(super) link: Link,
    pub(super) limits: LimitMemory,
    /// Unknown keys from addresses that are refused.
    pub(super) unknown_keys: UnknownKeys,
    pub(super) cache: CacheMemory<B>,
    /// Whom tokens stand for, if they are verified.
    pub(super) identities: Option<Identities>,
    /// The token for the protected admin pages, if one is set.
    pub(super) admin_token: Option<AdminToken>,
    /// What this isolate knows of its own work.
    pub(super) ops: Ops,
    notes: Vec<String>,
    /// Whether there was a note about the header with the client's address.
    address_noted: bool,
    /// Whether there was a note about keys that the platform cannot use.
    keys_noted: bool,
}

impl<B: Body> Gate<B> {
    /// A gate with an empty memory. `has_store`: whether there is a store; if not, the gate works
    /// in local mode. `seed`: a random number, so that no two isolates give their calls the same
    /// ids.
    ///
    /// # Errors
    ///
    /// As [`Config::from_json`]; none for a configuration that was not changed after it was read.
    pub fn new(config: &Config, has_store: bool, seed: u64) -> Result<Self, ConfigError> {
        let plan = Plan::new(config)?;
        let mut limits = LimitMemory::default();
        for (quota, cost) in plan.costs() {
            limits.fallback.expect(quota, cost);
        }
        Ok(Self {
            link: match has_store {
                true => Link::new(config.redis.timeout, seed),
                false => Link::absent(seed),
            },
            limits,
            unknown_keys: UnknownKeys::default(),
            cache: CacheMemory::new(&config.redis.key_prefix, config.cache, seed),
            identities: identities(&plan),
            ops: Ops::new(plan.labels.clone(), &plan.store.key_prefix),
            plan,
            admin_token: None,
            notes: Vec::new(),
            address_noted: false,
            keys_noted: false,
        })
    }

    /// The gate with the protected admin pages, which this token opens. Without a token these pages
    /// do not exist.
    #[must_use]
    pub fn with_admin_token(mut self, token: Option<AdminToken>) -> Self {
        self.admin_token = token;
        self
    }

    /// The gate that reports to its operators: with rows of metrics every so often, and with alerts
    /// about outages of the store that last so long.
    #[must_use]
    pub fn with_outlets(mut self, points: Option<Duration>, alerts: Option<Duration>) -> Self {
        if let Some(every) = points {
            self.ops.writes(every);
        }
        if let Some(after) = alerts {
            let gate = [&self.plan.origin, "\n", &self.plan.store.key_prefix].concat();
            self.ops.alerts(after, fingerprint(&gate));
        }
        self
    }

    /// The gate with secrets in the digests that stand for API keys, users and buckets.
    #[must_use]
    pub fn with_key_secrets(mut self, secrets: KeySecrets) -> Self {
        let digests = ClientDigests::new(&self.plan.store.key_prefix, secrets);
        self.plan.digests = Rc::new(digests);
        self.identities = identities(&self.plan);
        self
    }

    /// Whether the store may be asked about a request.
    pub(super) fn store_allows(&mut self, context: &mut Context<B>, now: Timestamp) -> bool {
        let allowed = !context.store_failed && self.link.allows(now);
        context.store_failed = !allowed;
        allowed
    }

    /// The query to the store about the entry for a request; `None` if the cache does not handle
    /// the request.
    pub(super) fn entry_query(
        &self,
        target: &Target<'_>,
        context: &Context<B>,
    ) -> Option<EntryQuery> {
        let plan = context.route.cache.as_ref()?;
        let prefix = &self.plan.store.key_prefix;
        Some(context.cache.lookup()?.ask(target, plan, prefix))
    }

    /// A call of the script that asks about the entry for a request and nothing else.
    pub(super) fn ask_for_entry(
        &mut self,
        head: &impl Head,
        context: &Context<B>,
        now: Timestamp,
    ) -> Option<Ask> {
        let query = self.entry_query(&Target::of(head.url())?, context)?;
        let mut ask = self.link.call(now);
        ask.look_up(&query);
        Some(ask)
    }

    /// Schedules writes to the store after the answer, unless the store is down.
    pub(super) fn write(&self, context: &mut Context<B>, writes: impl IntoIterator<Item = Write>) {
        if self.link.is_up() {
            context.writes.extend(writes);
        }
    }

    /// The address of the issuer's keys if they are to be fetched now, in the background. Report
    /// the response to [`Gate::keys_fetched`].
    pub fn take_key_fetch(&mut self, local_now: Timestamp) -> Option<String> {
        let now = self.link.now(local_now);
        let due = self.identities.as_mut()?.begin_fetch(now);
        self.plan
            .client
            .jwt
            .as_ref()
            .filter(|_| due)
            .map(|jwt| jwt.jwks.clone())
    }

    /// Takes the response to a request for the issuer's keys; `None` if there was none in time, or
    /// its body was too long.
    pub fn keys_fetched(&mut self, reply: Option<&KeyReply>, local_now: Timestamp) {
        let now = self.link.now(local_now);
        let fetched = self.identities.as_mut().map(|i| i.fetched(reply, now));
        if let Some(Err(why)) = fetched {
            self.note(format!(
                "client.jwt.jwks: the keys cannot be fetched ({why}): until they can, a token counts by \
                 its digest if no older key verifies it"
            ));
        }
    }

    /// Notes that a call of the store failed.
    pub fn note_failure(&mut self, error: &Error) {
        self.ops.failed(error);
    }

    /// Notes once that the header with the client's address does not hold one: which header the
    /// platform sets does not change from one request to the next.
    pub(super) fn note_odd_address(&mut self) {
        if !std::mem::replace(&mut self.address_noted, true) {
            let header = &self.plan.client.ip_header;
            self.note(format!(
                "client.ip_header: {header} is there and does not hold one address (a list of addresses \
                 is none): all clients with such a header share one bucket"
            ));
        }
    }

    /// Notes once that the platform cannot use a key of the issuer.
    pub(super) fn note_unusable_key(&mut self) {
        if !std::mem::replace(&mut self.keys_noted, true) {
            let note = "client.jwt.jwks: the platform cannot use a key: its tokens count as none";
            self.note(note.to_owned());
        }
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Takes the lines to log since the last call: changes of the store's state in JSON (see
    /// [`Event`](crate::ops::Event)), limit states in the store that could not be read, a client's
    /// address that [`Gate::decide`] could not read, and keys that could not be fetched or used.
    pub fn take_notes(&mut self, local_now: Timestamp) -> Vec<String> {
        self.ops.seen(self.link.status(), self.link.now(local_now));
        let mut lines = std::mem::take(&mut self.notes);
        lines.append(&mut self.ops.take_lines());
        lines
    }
}

/// What stands for a gate in alerts: the first 8 bytes of a SHA-256, in hexadecimal.
fn fingerprint(gate: &str) -> String {
    hex(Sha256::digest(gate.as_bytes()).iter().take(8))
}

/// Whom tokens stand for, if the plan says that they are verified.
fn identities(plan: &Plan) -> Option<Identities> {
    let jwt = plan.client.jwt.as_ref()?;
    Some(Identities::new(jwt.claims(), Rc::clone(&plan.digests)))
}
