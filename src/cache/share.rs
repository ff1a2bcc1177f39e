//! Which failures of the origin are shared, and with which requests. A request that waits for
//! another one, or comes within a second after it, need not find out for itself that the origin
//! fails.

use std::rc::Rc;

use crate::clock::{Timestamp, millis};
use crate::engine::http_cache::{
    CacheKey, CacheStatus, Entry, Exchange, Fields, IN_PLACE, Meta, Use, asks_for_more,
    is_for_some, is_origin_error, may_store,
};
use crate::message::answer::Answer;
use crate::message::body::Body;
use crate::message::forward::Failure;
use crate::message::head::{Head, announced_length};
use crate::store::Write;

use super::collapse::Place;
use super::failures::{How, LARGEST_FAILURE, Shared};
use super::fetching::{Fetching, Miss};
use super::fill::Fill;
use super::insert::InsertOptions;
use super::lookup::Lookup;
use super::memory::CacheMemory;
use super::plan::CachePlan;
use super::received::body_coding;
use super::refreshes::{Failed, Standing};
use super::serve;
use super::single_flight::{FAILED, Fails, NotStored};

/// What answers a request in place of a call of the origin, which has just failed for another
/// request.
#[derive(Debug)]
pub enum InPlace<B> {
    /// The stored response, which may be served if the origin fails.
    Stored(Answer<B>),
    /// The origin's own answer.
    Failed(Answer<B>),
    /// Nothing: the origin gave no answer.
    Unanswered(Failure, CacheStatus),
}

impl<B: Body> Fetching<B> {
    /// What the origin's answer, of this status, or its failure means for the requests that wait.
    /// Returns what is served in place of the origin's failure, if something may be, and what to
    /// write to the store. `refreshes`: the request is a refresh in the background.
    pub fn answered(
        &self,
        head: &impl Head,
        status: Result<u16, Failure>,
        refreshes: bool,
        place: &mut Place,
        memory: &mut CacheMemory<B>,
        now: Timestamp,
    ) -> (Option<Answer<B>>, Vec<Write>) {
        let how = match status {
            Ok(status) if !is_origin_error(status) => return (None, Vec::new()),
            Ok(status) => How::Status(status),
            Err(failure) => How::Unanswered(failure),
        };
        let stored = self.answer_on_error(head, status.ok(), now);
        let after = match status {
            // They have a stored response, or have waited for as long as the origin may take.
            _ if stored.is_some() => Some(Fails::Once),
            Err(Failure::TimedOut) => Some(Fails::Once),
            Err(Failure::Failed) => Some(Fails::Twice),
            // The head of the answer decides.
            Ok(_) => None,
        };
        let leads = place.leads();
        let told = after.and_then(|after| self.failed(head, how, after, place, memory, now));
        let late = status == Err(Failure::TimedOut);
        let deferred = match stored.is_some() {
            _ if refreshes => self.refresh_failed(late, memory, now),
            // Those who share the failure are served the stored response, and refresh it.
            true if leads => {
                let request = Failed {
                    sent_at: self.sent_at,
                    late,
                    standing: Standing::Denied,
                };
                let digest = self.lookup.key.hex();
                memory.refreshes.failed(&digest, request, now);
                None
            }
            _ => None,
        };
        (stored, told.into_iter().chain(deferred).collect())
    }

    /// Ends the fetch because the origin failed, and tells the requests that have waited for it, if
    /// so many calls have failed. The returned write tells other isolates not to wait.
    fn failed(
        &self,
        head: &impl Head,
        how: How<B>,
        after: Fails,
        place: &mut Place,
        memory: &mut CacheMemory<B>,
        now: Timestamp,
    ) -> Option<Write> {
        let digest = place.take_digest()?;
        let key = self.lookup.failure_key();
        let key = key.filter(|_| !self.lookup.is_unusual(head));
        let told = key.map(|key| (key, how, after));
        Some(memory.fail(&digest, told, self.sent_at, now))
    }

    /// Ends the fetch because the origin answered with a failure that is not stored. If requests
    /// wait for it and it may be given to every client, it is shared once its body is there. The
    /// returned write tells other isolates not to wait. `digest` is that of the key.
    pub(super) fn not_stored(
        &self,
        head: &impl Head,
        answered: &Exchange<'_, impl Fields>,
        digest: &str,
        plan: &CachePlan,
        memory: &mut CacheMemory<B>,
    ) -> (Option<Fill>, Option<Write>) {
        let now = answered.response_time;
        let fill = self.sharing(head, answered, digest, plan, memory);
        let write = match &fill {
            Some(fill) => {
                memory.fetches.head_arrived(digest, fill.time(), now);
                memory.mark(digest, NotStored::Failed)
            }
            None => {
                let told = self.told(head, answered);
                let told = told.map(|key| (key, How::Unanswered(Failure::Failed), Fails::Twice));
                memory.fail(digest, told, self.sent_at, now)
            }
        };
        (fill, Some(write))
    }

    /// The key under which every request may be told that the origin has failed, although its
    /// answer may not be given to them; `None` if it failed for one client, or for those who send
    /// the same.
    fn told(&self, head: &impl Head, answered: &Exchange<'_, impl Fields>) -> Option<&CacheKey> {
        let (lookup, status) = (&self.lookup, answered.status.as_u16());
        let one = is_for_some(answered, &lookup.request.rules)
            || lookup.is_for_one(head, answered.response, status).is_some();
        lookup.failure_key().filter(|_| !one)
    }

    /// How an answer is shared, if it may be. The rules are those for stored responses.
    fn sharing(
        &self,
        head: &impl Head,
        answered: &Exchange<'_, impl Fields>,
        digest: &str,
        plan: &CachePlan,
        memory: &mut CacheMemory<B>,
    ) -> Option<Fill> {
        let (lookup, status) = (&self.lookup, answered.status.as_u16());
        let (received, now) = (answered.response, answered.response_time);
        let key = lookup.failure_key()?.clone();
        if status < 500
            || !memory.fetches.is_awaited(digest)
            || lookup.is_for_one(head, received, status).is_some()
            || announced_length(received).is_some_and(|length| length > LARGEST_FAILURE)
        {
            return None;
        }
        let rules = lookup.request.rules.for_failure(status, FAILED);
        may_store(answered, &rules).ok()?;
        let coding = body_coding(received)?;
        let mut meta = Meta::from_response(answered, &key, coding, &rules);
        lookup.set_epochs(&mut meta);
        if !meta.freshness(&rules).is_fresh(now) {
            return None;
        }
        let time = plan.arrival().min(FAILED);
        let save = memory.begin_save(received, coding, time, now)?;
        Some(Fill {
            unseen: memory.may_be_unseen(received, now),
            save,
            failure: Some(key.clone()),
            only_shared: true,
            key,
            rules,
            meta,
            coding,
            received: received.to_vec(),
            checked_at: lookup.checked_at(),
            largest: LARGEST_FAILURE,
            time,
            options: InsertOptions {
                leading: Some(digest.to_owned()),
                ..InsertOptions::default()
            },
        })
    }
}

impl<B: Body> CacheMemory<B> {
    /// Shares a failure of the origin with the requests that wait for it, and for a moment with
    /// those that come later. `digest` is that of their key.
    pub(super) fn share(
        &mut self,
        key: &CacheKey,
        mut entry: Entry<B>,
        digest: Option<&str>,
        now: Timestamp,
    ) {
        let until = match entry.freshness.lifetime.source.is_of_the_response() {
            true => entry.freshness.fresh_until.min(now + FAILED),
            false => now + FAILED,
        };
        let asked = entry.meta.request_time.max(entry.checked_at);
        entry.freshness = entry.freshness.ending(until);
        let meta = Rc::make_mut(&mut entry.meta);
        key.text().clone_into(&mut meta.key);
        let shared = Shared {
            how: How::Answered(entry),
            since: now,
            until,
        };
        let kept = self.failures.share(key, shared, asked);
        match digest {
            Some(digest) if kept => {
                self.fetches.fail(digest, now);
            }
            // After a purge one of the followers asks anew.
            Some(digest) => self.fetches.finish(digest),
            None => {}
        }
    }
}

impl<B: Body> Miss<B> {
    /// What answers the request although the cache has nothing fresh: the origin has just failed
    /// for another request, and this one need not call it.
    pub fn in_place(
        &self,
        head: &impl Head,
        memory: &CacheMemory<B>,
        now: Timestamp,
    ) -> Option<InPlace<B>> {
        let lookup = &self.lookup;
        let shared = lookup.shared(memory, now)?;
        let unanswered = matches!(shared.how, How::Unanswered(_));
        let stored = lookup.usable_on_error(head, now);
        // An earlier failure is no better than the latest one.
        let better = |entry: &&Entry<B>| unanswered || !is_origin_error(entry.meta.status);
        if let Some(entry) = stored.filter(better) {
            let mut status = lookup.said(entry.freshness.ttl_left(now), IN_PLACE);
            let answered = match &shared.how {
                How::Answered(failure) => Some(failure.meta.status),
                How::Status(status) => Some(*status),
                How::Unanswered(_) => None,
            };
            status.fwd_status = answered.filter(|_| status.collapsed);
            return Some(InPlace::Stored(serve::serve_stored(
                entry, head, status, now,
            )));
        }
        match &shared.how {
            How::Answered(entry) if lookup.answered_by(entry, head, now) => {
                let status = lookup.said(entry.freshness.ttl_left(now), DETAIL);
                Some(InPlace::Failed(serve::answer(entry, head, status, now)))
            }
            How::Unanswered(failure) => {
                let left = millis(shared.until.since(now));
                let status = lookup.said(i64::try_from(left).unwrap_or(i64::MAX), DETAIL);
                Some(InPlace::Unanswered(*failure, status))
            }
            How::Answered(_) | How::Status(_) => None,
        }
    }
}

impl<B: Body> Lookup<B> {
    /// The key under which a failure is shared; `None` if it cannot be told whom it would answer,
    /// because the key leaves out both parameters and request headers.
    pub(super) fn failure_key(&self) -> Option<&CacheKey> {
        match (&self.request.exact, &self.family) {
            (None, _) => Some(&self.key),
            (Some(exact), None) => Some(exact),
            (Some(_), Some(_)) => None,
        }
    }

    /// The failure that the request may share, unless its own directives ask for the origin.
    pub fn shared<'a>(&self, memory: &'a CacheMemory<B>, now: Timestamp) -> Option<&'a Shared<B>> {
        let shared = memory.failures.get(self.failure_key()?, now)?;
        let (age, left) = (now.since(shared.since), shared.until.since(now));
        let asks = asks_for_more(&self.request.directives, age, left);
        (!asks && !self.request.for_one).then_some(shared)
    }

    /// Whether the origin's answer to another request answers this one: it was selected by the same
    /// headers, and no purge is known since.
    fn answered_by(&self, entry: &Entry<B>, head: &impl Head, now: Timestamp) -> bool {
        let (request, checked_at) = (&self.request, entry.checked_at);
        let current = match &self.epochs {
            Some(epochs) => {
                checked_at > epochs.asked_at || entry.meta.epochs.as_ref() == Some(&epochs.values)
            }
            None => request
                .believed_for
                .is_none_or(|limit| now.since(checked_at) < limit),
        };
        let usage = self.evaluate_entry(entry, head, now);
        current && matches!(usage, Use::Fresh { .. })
    }

    /// What `Cache-Status` says about an answer to this request that another request has brought.
    fn said(&self, ttl_ms: i64, detail: &'static str) -> CacheStatus {
        let waited = self.waited.map(CacheStatus::forwarded);
        let mut status = waited.unwrap_or_else(CacheStatus::hit);
        status.collapsed = self.waited.is_some();
        status.ttl_ms = Some(ttl_ms);
        status.detail = Some(detail);
        status
    }
}

/// The `detail` in `Cache-Status` of a failure that another request has met.
const DETAIL: &str = "shared-failure";
