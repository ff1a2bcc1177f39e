//! What the store says about an entry, held against what is at hand.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::engine::cache::{Entry, L1, Meta, envelope};
use crate::limiter::{Looked, Refresh, Stored};

use super::super::body::Body;
use super::{Cached, Caching, Found};

impl<B: Body> Caching<B> {
    /// An entry at hand is believed for so long without asking the store.
    pub fn believe_l1(&mut self, l1_max_age: Option<Duration>) {
        if let Self::On(cached) = self {
            cached.l1_max_age = l1_max_age;
        }
    }

    /// Whether there is an entry at hand of which only the store can say whether it is still good.
    pub fn has_unchecked(&self, now: Timestamp) -> bool {
        matches!(self, Self::On(cached) if cached.is_unchecked(now))
    }

    /// Takes what the store said to a call made at `asked_at`: what is at hand and was purged meanwhile
    /// is dropped, and its entry taken, if that is newer, and kept at hand.
    pub fn store_said(
        &mut self,
        looked: Looked,
        l1: &mut L1<B>,
        asked_at: Timestamp,
        now: Timestamp,
    ) {
        let Self::On(cached) = self else {
            return;
        };
        cached.refresh = Some(match cached.rules.keeps_to_isolate() {
            true => Refresh::Unstored,
            false => looked.refresh,
        });
        cached.drop_void(&looked.epochs, l1, asked_at);
        cached.epochs = Some(looked.epochs);
        cached.epochs_at = asked_at;
        let stored = match looked.entry {
            Stored::Nothing => None,
            Stored::Same => {
                let found = cached.found.as_ref();
                cached.learn_generation(found.map(|found| found.entry.meta.generation));
                return;
            }
            Stored::Entry(bytes) => cached.read(&bytes),
        };
        cached.learn_generation(stored.as_ref().map(|(meta, _)| meta.generation));
        if let Some((meta, body)) = stored {
            cached.take(meta, body, l1, now);
        }
    }
}

impl<B: Body> Cached<B> {
    /// Whether the store should be asked whether the entry at hand is still good.
    pub(super) fn is_unchecked(&self, now: Timestamp) -> bool {
        match (&self.found, self.l1_max_age) {
            (Some(found), Some(limit)) => now.since(found.entry.checked_at) >= limit,
            _ => false,
        }
    }

    /// Writes into a response in which epochs it was asked for.
    pub fn date(&self, meta: &mut Meta) {
        meta.epochs.clone_from(&self.epochs);
    }

    /// Writes into a stored response that was freshened which version it is now.
    pub fn number(&self, meta: &mut Meta) {
        let version = self.rules.version.as_ref();
        let known = meta.version.as_deref();
        meta.version = version.and_then(|source| source.of_head(&meta.headers, known));
    }

    /// Drops what is at hand, if it was made in other epochs than these.
    fn drop_void(&mut self, epochs: &str, l1: &mut L1<B>, asked_at: Timestamp) {
        if let Some(found) = &mut self.found {
            if found.entry.meta.epochs.as_deref() == Some(epochs) {
                found.entry.checked_at = asked_at;
                l1.checked(&self.key, epochs, asked_at);
            } else {
                l1.remove(&self.key);
                self.found = None;
            }
        }
    }

    /// The store has told of which generation the leader is that it has.
    const fn learn_generation(&mut self, stored: Option<u64>) {
        if self.family.is_none() {
            self.generation = Some(stored);
        }
    }

    fn read(&self, entry: &[u8]) -> Option<(Meta, Bytes)> {
        let text = std::str::from_utf8(entry).ok()?;
        let (meta, body) = envelope::decode(text, &self.key).ok()?;
        let body = Bytes::from(body.into_owned());
        self.speaks_for(&meta).then_some((meta, body))
    }

    fn take(&mut self, meta: Meta, body: Bytes, l1: &mut L1<B>, now: Timestamp) {
        let newer = |found: &Found<B>| found.entry.meta.is_newer_than(&meta);
        let freshness = meta.freshness(&self.rules);
        if self.found.as_ref().is_some_and(newer) || now >= freshness.keep_until {
            return;
        }
        let entry = Entry {
            freshness,
            body_len: body.len(),
            body: B::from_bytes(body),
            meta: Rc::new(meta),
            checked_at: self.epochs_at,
        };
        l1.insert(&self.key, entry.clone());
        self.found = Some(Found {
            entry,
            level: "redis",
        });
    }
}
