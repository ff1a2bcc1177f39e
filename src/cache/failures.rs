//! What an isolate remembers of failures of the origin that several requests waited for. They lie
//! beside the entries, so that none takes the place of an entry that may still be served.

use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use crate::clock::Timestamp;
use crate::engine::http_cache::{CacheKey, Entry};
use crate::message::forward::Failure;

use super::single_flight::FAILED;

/// The largest number of bytes that failures take in memory.
const CAPACITY: u64 = 512 << 10;

/// The largest body of a failure that is shared, in bytes.
pub const LARGEST_FAILURE: usize = 64 << 10;

/// The number of failures for which there is room at first.
const TYPICAL: usize = 64;

/// A failure that several requests share.
#[derive(Debug, Clone)]
pub struct Shared<B> {
    /// What happened.
    pub how: How<B>,
    /// Since when it is shared.
    pub since: Timestamp,
    /// It is shared before this instant.
    pub until: Timestamp,
}

impl<B> Shared<B> {
    /// A failure that is shared for [`FAILED`] from now on.
    pub fn from(how: How<B>, now: Timestamp) -> Self {
        Self {
            how,
            since: now,
            until: now + FAILED,
        }
    }
}

/// How the origin failed.
#[derive(Debug, Clone)]
pub enum How<B> {
    /// With an answer that may be given to every client.
    Answered(Entry<B>),
    /// With an answer of this status, of which only that is known: a stored response is served in
    /// its place.
    Status(u16),
    /// Without an answer, or without one that could be told to every client.
    Unanswered(Failure),
}

/// The failures that are shared at the moment, by key.
#[derive(Debug)]
pub struct Failures<B> {
    known: Cache<Id, Shared<B>, Bytes>,
    purged_at: Option<Timestamp>,
}

type Id = [u8; 16];

impl<B> Default for Failures<B> {
    fn default() -> Self {
        Self {
            known: Cache::with_weighter(TYPICAL, CAPACITY, Bytes),
            purged_at: None,
        }
    }
}

impl<B> Failures<B> {
    /// The failure that requests for this key share at `now`.
    pub fn get(&self, key: &CacheKey, now: Timestamp) -> Option<&Shared<B>> {
        let shared = self.known.peek(&key.digest())?;
        let same = match &shared.how {
            How::Answered(entry) => entry.meta.key == key.text(),
            How::Status(_) | How::Unanswered(_) => true,
        };
        (same && now < shared.until).then_some(shared)
    }

    /// Shares a failure of a request that was sent at `asked`. Returns whether it is shared: after
    /// a purge an earlier answer is not.
    pub fn share(&mut self, key: &CacheKey, failure: Shared<B>, asked: Timestamp) -> bool {
        let late = self.purged_at.is_some_and(|at| asked <= at);
        if !late {
            self.known.insert(key.digest(), failure);
        }
        !late
    }

    /// Forgets all failures, and from now on rejects those of requests that were sent until `now`.
    pub fn purge(&mut self, now: Timestamp) {
        self.known.clear();
        self.purged_at = Some(now);
    }
}

/// Weighs failures by their bytes.
#[derive(Debug, Clone)]
struct Bytes;

impl<B> Weighter<Id, Shared<B>> for Bytes {
    fn weight(&self, _: &Id, shared: &Shared<B>) -> u64 {
        let answer = match &shared.how {
            How::Answered(entry) => entry.weight(),
            How::Status(_) | How::Unanswered(_) => 0,
        };
        answer.saturating_add(size_of::<Shared<B>>() as u64)
    }
}
