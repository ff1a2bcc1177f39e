//! A response that is to be stored once its body has been read.

use std::rc::Rc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::http_cache::{
    BodyCoding, CacheKey, CacheRules, Entry, Family, Meta, body_is_whole,
};
use crate::message::body::{Body, BodyError};
use crate::message::forward::Failure;
use crate::store::Write;

use super::failures::How;
use super::insert::{InsertOptions, Inserted};
use super::memory::CacheMemory;
use super::refresh::Kept;
use super::refreshes::{Failed, Standing};
use super::saves::SaveId;
use super::single_flight::{Fails, NotStored};

/// A response that is to be stored once its body has been read.
#[derive(Debug)]
pub struct Fill {
    pub(super) key: CacheKey,
    /// The key under which requests share the response, if it is a failure of the origin.
    pub(super) failure: Option<CacheKey>,
    /// Whether the response is only shared for a moment, and not stored.
    pub(super) only_shared: bool,
    pub(super) rules: CacheRules,
    pub(super) meta: Meta,
    pub(super) coding: BodyCoding,
    /// The field lines as the origin sent them.
    pub(super) received: Vec<(String, String)>,
    /// When the store was asked for the epochs that the entry will carry.
    pub(super) checked_at: Timestamp,
    pub(super) largest: usize,
    pub(super) time: Duration,
    pub(super) options: InsertOptions,
    /// The memory that the body takes while it is read.
    pub(super) save: SaveId,
    /// Whether its client may be handed the coded body by the platform, which does not tell when
    /// the client has read it.
    pub(super) unseen: bool,
}

impl Fill {
    /// The largest body that is stored, in bytes. If the body turns out longer, call
    /// [`Fill::fail`]; the rest need not be read.
    pub const fn largest_body(&self) -> usize {
        self.largest
    }

    /// How long the body may take, counted from the response's head. If it has not ended by then,
    /// call [`Fill::fail`]; the rest need not be read.
    pub const fn time(&self) -> Duration {
        self.time
    }

    /// Call this when so many bytes of the body have arrived. If it returns false, there is no room
    /// for them: call [`Fill::fail`].
    pub fn grows<B: Body>(&self, length: usize, memory: &mut CacheMemory<B>) -> bool {
        memory.saves.grows(self.save, length)
    }

    /// Whether the client may be handed a body with a content coding as it is, in a way that does
    /// not show when the client has read it. If not, the body must be decoded and coded again.
    pub const fn may_be_unseen(&self) -> bool {
        self.unseen
    }

    /// Whether the response becomes an entry. If not, it is only shared with requests that wait.
    pub const fn is_stored(&self) -> bool {
        !self.only_shared
    }

    /// Whether the platform undoes the content coding of the body when it is read here.
    pub const fn is_decoded(&self) -> bool {
        self.meta.decoded
    }

    /// Call this if the body is still arriving [`LONGEST_WAIT`](super::LONGEST_WAIT) after its
    /// head. The returned write tells other isolates not to wait for it.
    pub fn still_arriving<B: Body>(&self, memory: &CacheMemory<B>) -> Option<Write> {
        let lease = self.options.lease.as_ref()?;
        Some(memory.mark(lease, NotStored::Uncacheable))
    }

    /// Stores the response. `body` is the whole body.
    pub fn finish<B: Body>(
        self,
        body: B,
        memory: &mut CacheMemory<B>,
        store_is_up: bool,
        now: Timestamp,
    ) -> Inserted {
        if !body_is_whole(&self.received, self.coding, body.len() as u64) {
            return self.fail(BodyError::Broken, memory, now);
        }
        memory.saves.end(self.save);
        if self.unseen {
            memory.saves.unseen(body.len(), now);
        }
        let (mut key, mut meta) = (self.key, self.meta);
        let version = self.rules.version.as_ref();
        meta.version = version.and_then(|source| source.of(&meta.headers, &body.bytes()));
        // Another variant was stored while this one was fetched: that one leads the family.
        if let Some(leader) = memory.entries.get(&key, now).map(|entry| &entry.meta)
            && let Some(family) = Family::of(leader)
            && let Some(beside) = family.key_beside(&key, leader, &meta)
        {
            meta.key = beside.text().to_owned();
            meta.generation = 0;
            key = beside;
        }
        let entry: Entry<B> = Entry {
            freshness: meta.freshness(&self.rules),
            body_len: body.len(),
            body,
            meta: Rc::new(meta),
            checked_at: self.checked_at,
        };
        let preceded = |known: &Entry<B>| known.precedes(&entry.meta);
        if let Some(failure) = &self.failure
            && (self.only_shared || memory.entries.get(&key, now).is_some_and(preceded))
        {
            memory.share(failure, entry, self.options.leading.as_deref(), now);
            return Inserted::nowhere(None);
        }
        memory.insert(&key, entry, &self.options, store_is_up, now)
    }

    /// Call this if the body broke off, is too large or did not end in time.
    pub fn fail<B: Body>(
        &self,
        why: BodyError,
        memory: &mut CacheMemory<B>,
        now: Timestamp,
    ) -> Inserted {
        memory.saves.end(self.save);
        let leading = self.options.leading.as_deref();
        if self.only_shared || why == BodyError::Broken {
            let varies = |(name, _): &(String, _)| name != "accept-encoding";
            let key = (!self.meta.vary.iter().any(varies)).then_some(&self.key);
            let told = key.map(|key| (key, How::Unanswered(Failure::Failed), Fails::Twice));
            let asked = self.meta.request_time.max(self.checked_at);
            let write = match leading {
                Some(digest) => Some(memory.fail(digest, told, asked, now)),
                None => self.refresh_broke_off(memory, now),
            };
            // Other isolates were told of a failure when its head arrived.
            return Inserted::nowhere(write.filter(|_| !self.only_shared));
        }
        let why = match why {
            BodyError::NoRoom => NotStored::NoRoom,
            BodyError::TooLong | BodyError::TooSlow | BodyError::Broken => NotStored::Uncacheable,
        };
        let write = match leading {
            None if why == NotStored::NoRoom => self.not_refreshed(memory, now),
            leading => memory.give_up(leading, why, now),
        };
        Inserted::nowhere(write)
    }

    /// Defers the next attempt if the response was that to a refresh in the background, and there
    /// was no memory for it.
    fn not_refreshed<B: Body>(&self, memory: &mut CacheMemory<B>, now: Timestamp) -> Option<Write> {
        let (digest, sent_at) = (self.key.hex(), self.meta.request_time);
        if !memory.refreshes.is_under_way(&digest, sent_at, now) {
            return None;
        }
        let kept = memory.entries.get(&self.key, now)?.meta.response_time;
        memory.not_refreshed(&digest, self.options.lease.is_some(), kept, now)
    }

    /// Defers the next attempt if the response was that to a refresh in the background.
    fn refresh_broke_off<B: Body>(
        &self,
        memory: &mut CacheMemory<B>,
        now: Timestamp,
    ) -> Option<Write> {
        let (digest, sent_at) = (self.key.hex(), self.meta.request_time);
        if !memory.refreshes.is_under_way(&digest, sent_at, now) {
            return None;
        }
        let kept = Kept::of(memory.entries.get(&self.key, now)?);
        let standing = match self.options.lease {
            Some(_) => Standing::Granted,
            None => Standing::Unknown,
        };
        let request = Failed {
            sent_at,
            late: false,
            standing,
        };
        memory.refresh_failed(&digest, request, kept, now)
    }
}
