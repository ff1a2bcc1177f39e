//! Lookup: what is known of the response to a request. First comes the entry in the isolate, then
//! the store's reply, and then the choice between variants (RFC 9111 §4.1).

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::engine::http_cache::{
    CacheKey, Entry, Family, Forward, L1, Meta, NoVarySearch, Target, Tier, Use, envelope, evaluate,
};
use crate::message::body::Body;
use crate::message::head::Head;
use crate::store::{EntryQuery, EntryReply, Lease, Stored};

use super::plan::CachePlan;
use super::request::CacheRequest;

/// A request and what is known of the response to it.
#[derive(Debug)]
pub struct Lookup<B: Body> {
    /// The request.
    pub request: CacheRequest,
    /// The key under which the response is stored: that of the URL, or that of a variant.
    pub key: CacheKey,
    /// What all variants of the response have in common, once it is known that there are several.
    pub family: Option<Family>,
    /// The generation of the family's leader in the store, if the store was asked for the leader.
    /// The inner `None`: the store has no leader.
    leader: Option<Option<u64>>,
    /// The stored response.
    pub hit: Option<Hit<B>>,
    /// The store's decision about who refreshes the entry; `None` if the store was not asked.
    pub lease: Option<Lease>,
    /// The epochs that the store has reported, if it was asked.
    pub epochs: Option<Epochs>,
    /// How long before the entry goes stale it may be refreshed.
    pub early: Duration,
    /// Why the request missed, if it has since waited for another request's response.
    pub waited: Option<Forward>,
}

/// A stored response, and where it was found.
#[derive(Debug)]
pub struct Hit<B: Body> {
    /// The response.
    pub entry: Entry<B>,
    /// Where it was found.
    pub tier: Tier,
}

/// The values of a response's epoch keys.
#[derive(Debug)]
pub struct Epochs {
    /// The values, as the store reports them.
    pub values: String,
    /// When the store was asked.
    pub asked_at: Timestamp,
}

impl<B: Body> Lookup<B> {
    /// A lookup of a response of which nothing is known yet.
    pub fn new(request: CacheRequest) -> Self {
        Self {
            key: request.url.clone(),
            request,
            family: None,
            leader: None,
            hit: None,
            lease: None,
            epochs: None,
            early: Duration::ZERO,
            waited: None,
        }
    }

    /// Looks for the response in the isolate.
    pub fn recall(&mut self, head: &impl Head, entries: &mut L1<B>, now: Timestamp) {
        self.look(entries, now);
        self.choose_variant(head, entries, now);
    }

    /// Looks for the response in the isolate after a wait for another request's response. `why`:
    /// why this request missed before.
    pub fn recall_again(
        &mut self,
        head: &impl Head,
        why: Forward,
        entries: &mut L1<B>,
        now: Timestamp,
    ) {
        self.waited = Some(why);
        self.recall(head, entries, now);
        // The entry was requested before the store reported other epochs, so it may have been
        // purged.
        if let (Some(hit), Some(epochs)) = (&self.hit, &self.epochs)
            && self.family.is_none()
            && hit.entry.checked_at < epochs.asked_at
            && hit.entry.meta.epochs.as_ref() != Some(&epochs.values)
        {
            self.hit = None;
        }
    }

    /// Looks for the response in the isolate after the store has failed. Another request may have
    /// stored it in the meantime.
    pub fn recall_without_store(&mut self, head: &impl Head, entries: &mut L1<B>, now: Timestamp) {
        let before = self.hit.take();
        self.look(entries, now);
        if self.hit.is_none() {
            self.hit = before;
        }
        self.choose_variant(head, entries, now);
    }

    fn look(&mut self, entries: &mut L1<B>, now: Timestamp) {
        let entry = entries.get(&self.key, now);
        let entry = entry.filter(|entry| self.speaks_for(&entry.meta));
        self.hit = entry.map(|entry| Hit {
            entry: entry.clone(),
            tier: Tier::L1,
        });
    }

    /// Turns to the variant that answers this request, if the response under the URL's own key does
    /// not. Returns whether it turned.
    pub fn choose_variant(
        &mut self,
        head: &impl Head,
        entries: &mut L1<B>,
        now: Timestamp,
    ) -> bool {
        let leader = self.hit.as_ref().map(|hit| &hit.entry.meta);
        let family = match leader {
            Some(leader)
                if self.family.is_none()
                    && !Family::leader_answers(leader, &self.request.as_forwarded(head)) =>
            {
                Family::of(leader)
            }
            _ => None,
        };
        let Some(family) = family else {
            return false;
        };
        self.key = family.key(&self.request.url, &self.request.as_forwarded(head));
        self.family = Some(family);
        self.lease = None;
        self.look(entries, now);
        true
    }

    /// Whether the store should be asked about the entry. `limited`: the request has to ask the
    /// store about its limits anyway.
    pub fn needs_store(&self, head: &impl Head, limited: bool, now: Timestamp) -> bool {
        match self.evaluate(head, now) {
            Some(Use::Fresh { .. }) => self.is_unchecked(now),
            Some(Use::StaleWhileRevalidate { .. }) => limited || self.is_unchecked(now),
            _ => true,
        }
    }

    /// Whether the entry in the isolate was last checked against the store too long ago.
    pub fn is_unchecked(&self, now: Timestamp) -> bool {
        match (&self.hit, self.request.believed_for) {
            (Some(hit), Some(limit)) => now.since(hit.entry.checked_at) >= limit,
            _ => false,
        }
    }

    /// Whether the store has been asked who is to refresh the entry.
    pub const fn was_asked(&self) -> bool {
        self.lease.is_some()
    }

    /// The query to the store. `plan` is the plan of the route, `prefix` the prefix of all keys in
    /// the store.
    pub fn ask(&self, target: &Target<'_>, plan: &CachePlan, prefix: &str) -> EntryQuery {
        let request = &self.request;
        let leases =
            request.storable && !request.only_if_cached() && !request.rules.keeps_to_isolate();
        let digest = self.key.hex();
        let known = self.hit.as_ref().map(|hit| &hit.entry);
        EntryQuery {
            entry: format!("{prefix}:c:{digest}"),
            lease: format!("{prefix}:f:{digest}"),
            epochs: request.epoch_keys(target, plan, prefix),
            lease_for: leases.then(|| plan.lease()),
            early: self.early,
            known: known.and_then(|entry| envelope::head(&entry.meta, &entry.freshness)),
        }
    }

    /// Takes the store's reply to a call made at `asked_at`. An entry in the isolate that was
    /// purged is dropped. The store's entry is taken and put into the isolate if it is newer.
    pub fn decided(
        &mut self,
        reply: EntryReply,
        entries: &mut L1<B>,
        asked_at: Timestamp,
        now: Timestamp,
    ) {
        self.lease = Some(match self.request.rules.keeps_to_isolate() {
            true => Lease::Uncacheable,
            false => reply.lease,
        });
        self.drop_void(&reply.epochs, entries, asked_at);
        self.epochs = Some(Epochs {
            values: reply.epochs,
            asked_at,
        });
        let stored = match reply.entry {
            Stored::Nothing | Stored::Void => None,
            Stored::Same => {
                let hit = self.hit.as_ref();
                self.learn_leader(hit.map(|hit| hit.entry.meta.generation));
                return;
            }
            Stored::Entry(bytes) => self.read(&bytes),
        };
        self.learn_leader(stored.as_ref().map(|(meta, _)| meta.generation));
        if let Some((meta, body)) = stored {
            self.take(meta, body, entries, now);
        }
    }

    /// Drops the entry in the isolate if its epochs differ from `epochs`.
    fn drop_void(&mut self, epochs: &str, entries: &mut L1<B>, asked_at: Timestamp) {
        if let Some(hit) = &mut self.hit {
            if hit.entry.meta.epochs.as_deref() == Some(epochs) {
                hit.entry.checked_at = asked_at;
                entries.checked(&self.key, epochs, asked_at);
            } else {
                entries.remove(&self.key);
                self.hit = None;
            }
        }
    }

    /// Remembers the generation of the leader in the store, unless the query was about a variant.
    const fn learn_leader(&mut self, stored: Option<u64>) {
        if self.family.is_none() {
            self.leader = Some(stored);
        }
    }

    fn read(&self, entry: &[u8]) -> Option<(Meta, Bytes)> {
        let text = std::str::from_utf8(entry).ok()?;
        let (meta, body) = envelope::decode(text, &self.key).ok()?;
        let body = Bytes::from(body.into_owned());
        self.speaks_for(&meta).then_some((meta, body))
    }

    fn take(&mut self, meta: Meta, body: Bytes, entries: &mut L1<B>, now: Timestamp) {
        let precedes = |hit: &Hit<B>| hit.entry.precedes(&meta);
        let freshness = meta.freshness(&self.request.rules);
        if self.hit.as_ref().is_some_and(precedes) || now >= freshness.keep_until {
            return;
        }
        let entry = Entry {
            freshness,
            body_len: body.len(),
            body: B::from_bytes(body),
            meta: Rc::new(meta),
            checked_at: self.checked_at(),
        };
        entries.insert(&self.key, entry.clone());
        self.hit = Some(Hit {
            entry,
            tier: Tier::Redis,
        });
    }

    /// How the entry may be used for the request.
    pub fn evaluate(&self, head: &impl Head, now: Timestamp) -> Option<Use> {
        let entry = &self.hit.as_ref()?.entry;
        Some(self.evaluate_entry(entry, head, now))
    }

    /// How this entry may be used for the request.
    pub fn evaluate_entry(&self, entry: &Entry<B>, head: &impl Head, now: Timestamp) -> Use {
        evaluate(
            &entry.meta,
            &entry.freshness,
            &self.request.as_forwarded(head),
            &self.request.directives,
            now,
        )
    }

    /// When the store was asked for the epochs of the response; `Timestamp::default()` if it was
    /// not.
    pub fn checked_at(&self) -> Timestamp {
        self.epochs
            .as_ref()
            .map_or_else(Timestamp::default, |epochs| epochs.asked_at)
    }

    /// Sets the epochs of a response to those that the store has reported.
    pub fn set_epochs(&self, meta: &mut Meta) {
        meta.epochs = self.epochs.as_ref().map(|epochs| epochs.values.clone());
    }

    /// Sets the version of a stored response that was freshened.
    pub fn set_version(&self, meta: &mut Meta) {
        let version = self.request.rules.version.as_ref();
        let known = meta.version.as_deref();
        meta.version = version.and_then(|source| source.of_head(&meta.headers, known));
    }

    /// Whether a response answers this request although the key leaves parameters out: the response
    /// itself must say that these do not count.
    fn speaks_for(&self, meta: &Meta) -> bool {
        let asked = &self.request.no_vary_search;
        asked.is_none() || NoVarySearch::of(meta.headers.as_slice()) == *asked
    }

    /// The key under which a response to the request is stored. The key and the generation are
    /// written into `meta`.
    ///
    /// A response that does not vary is stored under the URL's own key, `url`. So is the first one
    /// of a family.
    pub fn place(&self, meta: &mut Meta, url: &CacheKey) -> CacheKey {
        if *url == self.request.url && self.family.is_some() && !meta.vary.is_empty() {
            return self.key.clone();
        }
        meta.key = url.text().to_owned();
        meta.generation = match (meta.vary.is_empty(), &self.family) {
            (true, _) => 0,
            (false, None) if *url == self.request.url => self.generation(meta),
            (false, _) => meta.response_time.as_millis(),
        };
        url.clone()
    }

    /// The generation of a leader. It keeps that of the leader before it as long as the store still
    /// has that leader: if a leader is removed there, its whole family is void.
    fn generation(&self, meta: &Meta) -> u64 {
        let here = self.hit.as_ref().map(|hit| hit.entry.meta.generation);
        let known = match self.leader {
            Some(stored) => stored,
            None => here,
        };
        match known {
            Some(generation) if generation > 0 => generation,
            _ => meta.response_time.as_millis(),
        }
    }
}
