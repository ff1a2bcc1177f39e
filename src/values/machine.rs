//! A cache of values for programs, without input or output: what the process remembers, what it
//! asks the store, and what it writes there.
//!
//! A load has one caller at a time in the world: the store's script lends the same refresh lease as
//! for responses. Entries have epochs like those of responses, so a purge is one `SET` for each tag
//! or key.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::{Timestamp, millis};
use crate::engine::http_cache::{PURGE_REMEMBERED, Tag, epoch, tag_key};
use crate::engine::recent::Recent;
use crate::engine::value::{Content, Entry, Rules, Use, digest, epoch_keys};
use crate::error::Error;
use crate::redis::Value;
use crate::store::{Ask, EntryQuery, Lease, Link, Stored, Write};

use super::purges::Purges;

/// How long a value in memory is used without asking the store whether it was purged.
pub(super) const BELIEVED: Duration = Duration::from_secs(1);

/// How long nobody waits for a value that could not be stored.
const UNSTORED: Duration = Duration::from_secs(10);

/// What a process remembers of the values in one store.
///
/// Its methods take the time of the process's own clock; it corrects it by the store's.
#[derive(Debug)]
pub struct Values {
    prefix: String,
    link: Link,
    entries: Recent<Held>,
    largest: u64,
    purges: Purges,
    lease_for: Duration,
    /// Reads base64, where octets are remembered as such.
    read_octets: Option<ReadOctets>,
}

type ReadOctets = fn(&str) -> Option<Bytes>;

#[derive(Debug, Clone)]
struct Held {
    entry: Entry,
    /// When the store last confirmed it.
    checked_at: Timestamp,
    /// When it was made here, as a number of [`Purges`]; 0: it was read.
    made: u64,
}

/// About what an entry takes beside its texts, in bytes.
const OVERHEAD: usize = 200;

/// The usual size of an entry in bytes, by which the number of entries is estimated.
const TYPICAL: u64 = 1 << 10;

/// The most entries that are expected.
const MOST_ITEMS: usize = 1 << 16;

/// One entry takes at most one in this many of all bytes.
const LARGEST_SHARE: u64 = 4;

/// A value, and what may be done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// It.
    pub entry: Entry,
    /// How old it is.
    pub age: Duration,
    /// What may be done with it. It is never [`Use::No`].
    pub usable: Use,
}

/// A question on its way to the store.
#[derive(Debug)]
pub struct Asking {
    /// The call of the script.
    pub ask: Ask,
    key: String,
    tags: Vec<String>,
    since: u64,
}

/// What the store says about a value.
#[derive(Debug)]
pub struct Answer {
    /// What may be used of it.
    pub found: Option<Found>,
    /// Who is to load it. [`Lease::NotDue`]: the store takes it for fresh; if what was found is
    /// not, it has to be asked once more, for the lease.
    pub lease: Lease,
    /// Whether there is one that may have other tags than those that were asked for: then it can be
    /// [read](Values::read).
    pub is_other: bool,
    /// What a value that is loaded now is kept with.
    pub origin: Origin,
}

/// What was known when a load began. What is purged after that is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The epochs of the key and of these tags, as they stand in an entry; `None` if the store did
    /// not tell them, or if one has changed since: then the value is not written there.
    epochs: Option<String>,
    tags: Vec<String>,
    /// How much had happened here.
    since: u64,
    /// When the store was asked for the epochs.
    at: Timestamp,
}

impl Origin {
    /// Whether the epochs of these tags were known.
    pub fn is_for(&self, tags: &[String]) -> bool {
        tags.iter().all(|tag| self.tags.contains(tag))
    }

    /// Whether the store has told the epochs: a value without them is not written.
    pub const fn is_told(&self) -> bool {
        self.epochs.is_some()
    }

    /// Takes the epochs of more tags, which were named while the value was made. If one that was
    /// known has changed, the value was purged meanwhile.
    pub fn retag(&mut self, other: Self) {
        let both = self.epochs.as_deref().zip(other.epochs.as_deref());
        let mut all = both.map(|(epochs, _)| epochs.to_owned());
        let mut told = both.map_or("", |(_, told)| told).split(',');
        if told.next() != self.epoch(None) {
            all = None;
        }
        let mut tags = self.tags.clone();
        for tag in other.tags {
            let epoch = told.next().unwrap_or_default();
            match self.epoch(Some(&tag)) {
                Some(known) if known != epoch => all = None,
                Some(_) => {}
                None => {
                    if let Some(all) = &mut all {
                        all.push(',');
                        all.push_str(epoch);
                    }
                    tags.push(tag);
                }
            }
        }
        self.tags = tags;
        self.epochs = all;
    }

    /// The epochs of the key and these tags.
    fn epochs_of(&self, tags: &[String]) -> Option<String> {
        let mut epochs = self.epoch(None)?.to_owned();
        for tag in tags {
            epochs.push(',');
            epochs.push_str(self.epoch(Some(tag))?);
        }
        Some(epochs)
    }

    /// The epoch of a tag, or that of the key.
    fn epoch(&self, tag: Option<&str>) -> Option<&str> {
        let place = match tag {
            Some(tag) => self.tags.iter().position(|known| known == tag)? + 1,
            None => 0,
        };
        self.epochs.as_deref()?.split(',').nth(place)
    }
}

impl Values {
    /// An empty memory of `capacity` bytes. The calls of the store take at most `timeout`; `None`:
    /// there is none. A load takes at most `lease_for`. `seed` is a random number.
    pub fn new(
        prefix: &str,
        capacity: u64,
        timeout: Option<Duration>,
        lease_for: Duration,
        seed: u64,
    ) -> Self {
        let items = usize::try_from(capacity / TYPICAL).unwrap_or(usize::MAX);
        Self {
            prefix: prefix.to_owned(),
            link: match timeout {
                Some(timeout) => Link::new(timeout, seed),
                None => Link::absent(seed),
            },
            entries: Recent::weighing(items.clamp(1, MOST_ITEMS), capacity),
            largest: capacity / LARGEST_SHARE,
            purges: Purges::default(),
            lease_for,
            read_octets: None,
        }
    }

    /// Remembers octets as such, and not as base64, which this function reads.
    pub fn reading_octets(self, read: ReadOctets) -> Self {
        Self {
            read_octets: Some(read),
            ..self
        }
    }

    /// What memory knows about a value. `None` if it knows nothing, or if the store has to be asked
    /// whether it still holds.
    pub fn recall(&mut self, key: &str, local_now: Timestamp) -> Option<Found> {
        let now = self.link.now(local_now);
        let held = self.entries.get(key)?;
        let is_believed = now.since(held.checked_at) < BELIEVED && held.checked_at <= now;
        if !is_believed && self.link.is_up() {
            return None;
        }
        self.remembered(key, now)
    }

    fn remembered(&mut self, key: &str, now: Timestamp) -> Option<Found> {
        let found = found(self.entries.get(key)?.entry.clone(), now);
        if found.is_none() {
            self.entries.remove(key);
        }
        found
    }

    /// Asks the store about a value, and who is to load it: if `is_wanted`, even one that is fresh,
    /// because it is of no use here. `None` if the store must not be asked now. The reply goes to
    /// [`answered`](Self::answered).
    pub fn ask(
        &mut self,
        key: &str,
        tags: &[String],
        is_wanted: bool,
        local_now: Timestamp,
    ) -> Option<Asking> {
        let now = self.link.now(local_now);
        if !self.link.allows(now) {
            return None;
        }
        let held = self.entries.get(key).map(|held| &held.entry);
        let tags = held.map_or(tags, |entry| &entry.tags).to_vec();
        let digest = digest(key);
        let query = EntryQuery {
            entry: self.key("v", &digest),
            lease: self.key("f", &digest),
            epochs: epoch_keys(&self.prefix, &digest, &tags),
            lease_for: Some(self.lease_for),
            early: if is_wanted { FOREVER } else { Duration::ZERO },
            known: held.and_then(Entry::head),
        };
        let mut ask = self.link.call(now);
        ask.look_up(&query);
        Some(Asking {
            ask,
            key: key.to_owned(),
            tags,
            since: self.purges.count(),
        })
    }

    /// Takes the store's reply. If there is none, memory decides, and the caller loads.
    pub fn answered(
        &mut self,
        asking: &Asking,
        reply: Result<Value, Error>,
        local_now: Timestamp,
    ) -> Answer {
        let key = &asking.key;
        let received = self.link.received(&asking.ask, reply, local_now);
        let asked_at = self.link.asked_at(&asking.ask);
        let told = received.and_then(|(reply, now)| Some((reply.cached?, now)));
        let Some((told, now)) = told else {
            return self.unasked(key, local_now);
        };
        let mut is_other = told.entry == Stored::Void;
        let found = match told.entry {
            Stored::Same => {
                self.entries.change(key, |held| {
                    if held.made <= asking.since {
                        held.checked_at = asked_at;
                    }
                });
                self.remembered(key, now)
            }
            Stored::Nothing | Stored::Void => self.take(key, None, asking.since, asked_at, now),
            Stored::Entry(text) => {
                let entry = std::str::from_utf8(&text).ok();
                let entry = entry.and_then(|text| self.decode(text, key));
                // The epochs of other tags say nothing about it.
                let entry = entry.filter(|entry| {
                    is_other = *entry.tags != *asking.tags;
                    !is_other
                });
                // What is too large for the memory can be used all the same.
                self.take(key, entry, asking.since, asked_at, now)
            }
        };
        Answer {
            found,
            lease: told.lease,
            is_other,
            origin: Origin {
                epochs: Some(told.epochs),
                tags: asking.tags.clone(),
                since: asking.since,
                at: asked_at,
            },
        }
    }

    /// The answer if the store cannot be asked: memory decides, and the caller loads.
    pub fn unasked(&mut self, key: &str, local_now: Timestamp) -> Answer {
        let now = self.link.now(local_now);
        Answer {
            found: self.remembered(key, now),
            lease: Lease::Granted,
            is_other: false,
            origin: self.origin(None, &[], self.purges.count(), local_now),
        }
    }

    /// What a value with these tags is kept with that is about to be made. `epochs`: the values of
    /// its [`epoch_keys`](Self::epoch_keys), if they are known; `since` and the time are from
    /// before they were read.
    pub fn origin(
        &self,
        epochs: Option<&[Value]>,
        tags: &[String],
        since: u64,
        local_now: Timestamp,
    ) -> Origin {
        Origin {
            epochs: epochs.map(joined),
            tags: tags.to_vec(),
            since,
            at: self.link.now(local_now),
        }
    }

    /// The keys whose values are the epochs of a value with these tags.
    pub fn epoch_keys(&self, key: &str, tags: &[String]) -> Vec<String> {
        epoch_keys(&self.prefix, &digest(key), tags)
    }

    /// Keeps a value that was made now, here and in the store: the returned command writes it
    /// there, or tells others not to wait for it. `origin`: what was known when the load began, or
    /// before the value was made.
    pub fn keep(
        &mut self,
        key: &str,
        content: impl Into<Arc<Content>>,
        rules: &Rules,
        origin: Origin,
        local_now: Timestamp,
    ) -> Option<Write> {
        if self.is_purged(key, &rules.tags, &origin) {
            return self.release(key);
        }
        let now = self.link.now(local_now);
        let epochs = origin.epochs_of(&rules.tags);
        let entry = Entry::new(content, rules, epochs, now);
        let ttl_ms = millis(entry.keep_until.since(now));
        if ttl_ms == 0 {
            return self.unstored(key);
        }
        // The store learns from the entry that the lease is over, so the entry must not expire
        // before the lease.
        let ttl_ms = ttl_ms
            .min(millis(LONGEST_STORED))
            .max(millis(self.lease_for));
        let text = self.link.is_up().then(|| entry.encode(key)).flatten();
        // It may have been purged elsewhere while it was made.
        let (checked_at, made) = (origin.at.min(now), self.purges.next());
        self.hold(key, entry, checked_at, made);
        match text {
            None => self.release(key),
            Some(text) if text.len() > LONGEST_TEXT => self.mark(key),
            Some(value) => Some(Write::Set {
                key: self.key("v", &digest(key)),
                value,
                ttl_ms,
            }),
        }
    }

    /// Whether a value with these tags, of which so much was known before, was purged since.
    pub fn is_purged(&self, key: &str, tags: &[String], origin: &Origin) -> bool {
        self.purges.hit_made(key, tags, origin.since)
    }

    /// The load has failed: the command lets others load at once.
    pub fn release(&self, key: &str) -> Option<Write> {
        let lease = self.key("f", &digest(key));
        self.link.is_up().then(|| Write::give_back(lease))
    }

    /// The load brought nothing that is kept: the command tells others not to wait for it.
    pub fn unstored(&mut self, key: &str) -> Option<Write> {
        self.entries.remove(key);
        self.mark(key)
    }

    fn mark(&self, key: &str) -> Option<Write> {
        self.link.is_up().then(|| Write::Set {
            key: self.key("f", &digest(key)),
            value: "u".to_owned(),
            ttl_ms: millis(UNSTORED),
        })
    }

    /// How much has happened here: [`peeked`](Self::peeked) and [`origin`](Self::origin) take the
    /// number from before the read.
    pub const fn count(&self) -> u64 {
        self.purges.count()
    }

    /// The keys to read a value by, whatever its tags, with `MGET`: the value and its own epoch.
    pub fn read(&self, key: &str) -> [String; 2] {
        let digest = digest(key);
        [
            self.key("v", &digest),
            [&self.prefix, ":t:@", &digest].concat(),
        ]
    }

    /// The value in the reply to [`read`](Self::read), if its epochs are these; its tags if their
    /// epochs are not known.
    pub fn peeked(
        &mut self,
        key: &str,
        text: &Value,
        own: &Value,
        of_tags: Option<&[Value]>,
        since: u64,
        local_now: Timestamp,
    ) -> Peeked {
        let now = self.link.now(local_now);
        let mut entry = text.as_str().and_then(|text| self.decode(text, key));
        if let Some(Entry { tags, epochs, .. }) = &entry {
            let of_tags = match of_tags {
                Some(values) => values,
                None if tags.is_empty() => &[],
                None => {
                    let keys = epoch_keys(&self.prefix, &digest(key), tags);
                    return Peeked::Tags(keys.into_iter().skip(1).collect());
                }
            };
            let all: Vec<_> = std::iter::once(own).chain(of_tags).cloned().collect();
            if *epochs != Some(joined(&all)) {
                entry = None;
            }
        }
        let found = self.take(key, entry, since, now, now);
        found.map_or(Peeked::Nothing, Peeked::Found)
    }

    /// Takes what the store has. `since`: how much had happened when it was asked.
    fn take(
        &mut self,
        key: &str,
        entry: Option<Entry>,
        since: u64,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> Option<Found> {
        let held = self.entries.get(key);
        if held.is_some_and(|held| held.made > since) {
            // It was set since then.
            return self.remembered(key, now);
        }
        let is_valid = |entry: &Entry| !self.purges.hit_read(key, &entry.tags, since);
        let Some(entry) = entry.filter(is_valid) else {
            self.entries.remove(key);
            return None;
        };
        self.hold(key, entry.clone(), asked_at, 0);
        found(entry, now)
    }

    /// Makes all values with these tags and keys void, here at once and elsewhere by the returned
    /// commands. [`purged`](Self::purged) takes the number that comes with them once they have been
    /// carried out, or have failed.
    pub fn purge(&mut self, tags: &[String], keys: &[String]) -> (u64, Vec<Write>) {
        let number = self.purges.begin(tags, keys);
        for key in keys {
            self.entries.remove(key);
        }
        let has_one = |held: &Held| held.entry.tags.iter().any(|tag| tags.contains(tag));
        self.entries.retain(|held| !has_one(held));
        if !self.link.exists() {
            return (number, Vec::new());
        }
        let value = epoch(self.link.random());
        let digests: Vec<_> = keys.iter().map(|key| digest(key)).collect();
        let tags = tags
            .iter()
            .map(|tag| tag_key(&self.prefix, &Tag::of(tag.as_bytes())));
        let own = digests
            .iter()
            .map(|digest| [&self.prefix, ":t:@", digest].concat());
        let set = |key| Write::Set {
            key,
            value: value.clone(),
            ttl_ms: millis(PURGE_REMEMBERED),
        };
        let mut writes: Vec<_> = tags.chain(own).map(set).collect();
        if !digests.is_empty() {
            // Without an entry a lease would be one for a load that is under way.
            let keys = digests
                .iter()
                .flat_map(|digest| ["v", "f"].map(|kind| self.key(kind, digest)));
            let keys = keys.collect();
            writes.push(Write::Delete { keys });
        }
        (number, writes)
    }

    /// A purge is over. What the store was asked for before that may be from before the purge.
    pub fn purged(&mut self, number: u64) {
        self.purges.end(number);
    }

    /// Takes the outcome of a call other than one of the script.
    pub fn heard(&mut self, error: Option<&Error>, local_now: Timestamp) {
        let now = self.link.now(local_now);
        self.link.heard(error, now);
    }

    /// Whether the store may be asked now.
    pub fn allows(&mut self, local_now: Timestamp) -> bool {
        let now = self.link.now(local_now);
        self.link.allows(now)
    }

    fn decode(&self, text: &str, key: &str) -> Option<Entry> {
        let mut entry = Entry::decode(text, key)?;
        if let Some(read) = self.read_octets.filter(|_| entry.content.is_octets) {
            let octets = read(&entry.content.text)?;
            entry.content = written(octets);
        }
        Some(entry)
    }

    fn hold(&mut self, key: &str, mut entry: Entry, checked_at: Timestamp, made: u64) {
        let content = &entry.content;
        if let Some(octets) = content.octets.clone().filter(|_| !content.text.is_empty()) {
            entry.content = written(octets);
        }
        let bytes = key.len() + entry.size() + OVERHEAD;
        match u32::try_from(bytes) {
            Ok(weight) if u64::from(weight) <= self.largest => {
                let held = Held {
                    entry,
                    checked_at,
                    made,
                };
                self.entries.insert_weighing(key.to_owned(), held, weight);
            }
            _ => self.entries.remove(key),
        }
    }

    fn key(&self, kind: &str, digest: &str) -> String {
        [&self.prefix, ":", kind, ":", digest].concat()
    }
}

/// The result of [`Values::peeked`].
#[derive(Debug, PartialEq, Eq)]
pub enum Peeked {
    /// The value.
    Found(Found),
    /// It has tags, whose epochs lie under these keys.
    Tags(Vec<String>),
    /// There is none that may be used.
    Nothing,
}

/// Epochs as they stand in an entry: as in the script.
fn joined(epochs: &[Value]) -> String {
    let word = |value: &Value| match value.as_bytes() {
        Some(text) => text
            .iter()
            .take(64)
            .map(|b| match b.is_ascii_alphanumeric() {
                true => char::from(*b),
                false => '.',
            })
            .collect(),
        None => "-".to_owned(),
    };
    epochs.iter().map(word).collect::<Vec<_>>().join(",")
}

/// Octets of which the text is not needed any more.
fn written(octets: Bytes) -> Arc<Content> {
    Arc::new(Content {
        octets: Some(octets),
        ..Content::new(String::new(), true)
    })
}

fn found(entry: Entry, now: Timestamp) -> Option<Found> {
    let usable = entry.usable(now);
    (usable != Use::No).then(|| Found {
        age: now.since(entry.stamp),
        usable,
        entry,
    })
}

/// The longest text that is stored, in bytes. A store takes no request of any length, and a reply
/// of more than 8 MiB is not read.
const LONGEST_TEXT: usize = 4 << 20;

/// Longer than any value is fresh.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The longest time for which a value is stored.
const LONGEST_STORED: Duration = crate::engine::http_cache::LONGEST_STORED;
