//! `POST /__edge/purge`: makes entries void by tag and by URL, here and in the store.
//!
//! The page reads a body, in which [`names`] stand, has the store set their epochs, and answers once the
//! store has confirmed that. What this isolate holds is dropped in any case, and twice: before the store
//! is asked, should nobody come back from there, and after, for the sake of what was read meanwhile.

mod names;

use bytes::Bytes;
use serde_json::json;

use crate::clock::{Timestamp, millis};
use crate::engine::cache::{CacheKey, PURGE_REMEMBERED, Tag, epoch, tag_key, url_key};
use crate::error::Error;
use crate::redis::{Command, Value};

use super::Gate;
use super::answer::Answer;
use super::body::Body;
use super::head::Head;
use super::problem::Problem;
use super::step::Step;
pub use names::{Unpurgeable, is_tag_name, purged_key};

/// The longest body that the page takes, in bytes.
const LONGEST_BODY: usize = 64 << 10;

/// What to read of a request's body. Only who may purge comes by one.
#[derive(Debug)]
pub struct Reading(());

impl Reading {
    /// The longest body that is of use, in bytes.
    pub const fn most(&self) -> usize {
        LONGEST_BODY
    }
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It is longer than it may be ([`Reading::most`], [`Save::largest_body`](super::Save::largest_body)).
    TooLong,
    /// It was not over when its time was ([`Save::time`](super::Save::time)).
    TooSlow,
    /// It broke off.
    Broken,
}

/// Epochs for the store to set.
///
/// ```
/// # use omnitrade_edge::gateway::Purge;
/// let mut purge = Purge::new("ot", 7);
/// purge.tag("symbol:BTCUSDT");
/// assert_eq!(purge.commands().len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    prefix: String,
    epoch: String,
    keys: Vec<(Named, String)>,
}

/// How a key was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Tag,
    Url,
    /// Another key of a URL that was named.
    Also,
}

/// What the store has confirmed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// How many tags are purged.
    pub tags: usize,
    /// How many URLs are.
    pub urls: usize,
}

impl Purge {
    /// A purge of nothing so far. `prefix` is that of all keys in the store; `random` a number that is
    /// not likely to come again.
    pub fn new(prefix: &str, random: u64) -> Self {
        Self {
            prefix: prefix.to_owned(),
            epoch: epoch(random),
            keys: Vec::new(),
        }
    }

    /// Purges what has the tag of this name, too.
    pub fn tag(&mut self, name: &str) {
        let key = tag_key(&self.prefix, &Tag::of(name.as_bytes()));
        self.add(Named::Tag, key);
    }

    /// Purges the responses to a URL, too: [`purged_key`].
    pub fn url(&mut self, url: &CacheKey) {
        let key = url_key(&self.prefix, url);
        self.add(Named::Url, key);
    }

    /// Another key of a URL that is purged.
    fn also(&mut self, url: &CacheKey) {
        let key = url_key(&self.prefix, url);
        self.add(Named::Also, key);
    }

    fn add(&mut self, named: Named, key: String) {
        if !self.keys.iter().any(|(_, known)| *known == key) {
            self.keys.push((named, key));
        }
    }

    /// What to run in the store: one command for each tag and URL.
    ///
    /// None of them may be sent again once it may have run: the epoch of another purge that came in
    /// between would be lost, and with it that purge. A new purge does no harm.
    pub fn commands(&self) -> Vec<Command> {
        let set = |(_, key): &(Named, String)| {
            Command::new("SET")
                .arg(key)
                .arg(&self.epoch)
                .arg("PX")
                .arg(millis(PURGE_REMEMBERED))
        };
        self.keys.iter().map(set).collect()
    }

    /// The keys that the commands set.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|(_, key)| key.as_str())
    }

    /// What they are set to.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// What the replies to the commands confirm, and whether that is all.
    pub fn confirmed<E>(&self, replies: &[Result<Value, E>]) -> (Done, bool) {
        let each = self.keys.iter().zip(replies);
        let done = each.filter(|(_, reply)| reply.is_ok());
        let done = Self::count(done.clone().map(|((named, _), _)| *named));
        let all = replies.len() == self.keys.len() && replies.iter().all(Result::is_ok);
        (done, all)
    }

    /// All that is named.
    pub fn named(&self) -> Done {
        Self::count(self.keys.iter().map(|(named, _)| *named))
    }

    fn count(keys: impl Iterator<Item = Named>) -> Done {
        keys.fold(Done::default(), |done, named| Done {
            tags: done.tags + usize::from(named == Named::Tag),
            urls: done.urls + usize::from(named == Named::Url),
        })
    }
}

impl Done {
    pub(super) fn to_json(self) -> serde_json::Value {
        json!({ "tags": self.tags, "urls": self.urls })
    }
}

/// What to do about a request to the page from somebody who may purge.
pub(super) fn read<B: Body>(head: &impl Head) -> Step<B> {
    let announced = head.value("content-length");
    let announced = announced.and_then(|length| length.trim().parse::<usize>().ok());
    match announced.is_some_and(|length| length > LONGEST_BODY) {
        true => Problem::BodyTooLarge.into(),
        false => Step::Read(Reading(())),
    }
}

impl<B: Body> Gate<B> {
    /// Takes the body of a request that is to purge.
    pub fn body_read(
        &mut self,
        head: &impl Head,
        _: Reading,
        body: Result<Bytes, Unread>,
        now: Timestamp,
    ) -> Step<B> {
        let now = self.memory.limiter.clock.correct(now);
        let body = match body {
            Ok(body) if body.len() <= LONGEST_BODY => body,
            Ok(_) | Err(Unread::TooLong) => return Problem::BodyTooLarge.into(),
            Err(Unread::Broken | Unread::TooSlow) => {
                return Problem::MalformedBody {
                    expected: "expected the body to come to its end",
                }
                .into();
            }
        };
        let random = self.memory.limiter.random();
        let mut purge = Purge::new(&self.plan.store.key_prefix, random);
        if let Err(problem) = self.name(&mut purge, &body, head.url()) {
            return problem.into();
        }
        self.memory.purge(now);
        if !self.has_store {
            let purged = purge.named().to_json();
            return told(&json!({ "purged": purged, "scope": "isolate" }));
        }
        match self.memory.limiter.breaker.allows(now) {
            true => Step::Purge(purge),
            false => self.unconfirmed(Some(Done::default()), now),
        }
    }

    /// Takes what the store said to a purge.
    pub fn purged(
        &mut self,
        purge: &Purge,
        replies: Result<Vec<Result<Value, Error>>, Error>,
        now: Timestamp,
    ) -> Step<B> {
        let now = self.memory.limiter.clock.correct(now);
        self.memory.purge(now);
        self.memory.limiter.heard(replies.as_ref().err(), now);
        match replies {
            Ok(replies) => match purge.confirmed(&replies) {
                (done, true) => told(&json!({ "purged": done.to_json() })),
                (done, false) => self.unconfirmed(Some(done), now),
            },
            Err(error) => self.unconfirmed((!error.may_have_run()).then(Done::default), now),
        }
    }

    fn unconfirmed(&self, done: Option<Done>, now: Timestamp) -> Step<B> {
        let retry_after = self.memory.limiter.breaker.retry_after(now);
        Problem::PurgeUnconfirmed { done, retry_after }.into()
    }
}

fn told<B: Body>(body: &serde_json::Value) -> Step<B> {
    let mut answer = Answer::text(200, "application/json", body.to_string());
    answer.set("cache-control", "no-store".to_owned());
    answer.into()
}
