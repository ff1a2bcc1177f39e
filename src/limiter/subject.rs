//! One request of a subject, and how it is decided.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::redis::Place;
use crate::store::ADMIT;

use super::counter::{Counter, TIMER};
use super::limited::{All, Limited, Refused};
use super::limits::{Decided, Limits, Recalled, Taking};

/// A request of a subject for permits of one limit: what
/// [`RateLimiter::subject`](super::RateLimiter::subject) begins.
///
/// ```
/// # use std::time::Duration;
/// # use omnitrade_edge::limiter::RateLimiter;
/// # async fn example(per_user: RateLimiter, per_ip: RateLimiter) {
/// // A customer whose plan has a quota of its own, and a request that costs as much as three.
/// let limited = per_user.subject("user-7").quota(500).cost(3).limit().await;
///
/// // From both or from none.
/// let all = RateLimiter::all([
///     per_ip.subject("203.0.113.9"),
///     per_user.subject("user-7").quota(500),
/// ])
/// .await;
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is taken before `limit` is called"]
pub struct Subject<'a> {
    counter: &'a Arc<Counter>,
    id: Cow<'a, str>,
    cost: u64,
    quota: Option<u64>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(counter: &'a Arc<Counter>, id: impl Into<Cow<'a, str>>) -> Self {
        Self {
            counter,
            id: id.into(),
            cost: 1,
            quota: None,
        }
    }

    /// Sets how many permits the request takes; one by default.
    pub const fn cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    /// Sets how many permits the subject has in a window, in place of the rule's: a customer's
    /// plan.
    pub const fn quota(mut self, quota: u64) -> Self {
        self.quota = Some(quota);
        self
    }

    /// [`RateLimiter::limit`](super::RateLimiter::limit).
    pub async fn limit(self) -> Limited {
        let (_, mut all) = take(std::slice::from_ref(&self)).await;
        all.pop().unwrap_or_else(|| self.counter.unlimited())
    }

    /// [`RateLimiter::limit_now`](super::RateLimiter::limit_now).
    pub fn limit_now(self) -> Option<Limited> {
        let (key, counter) = (self.key(), self.counter);
        let takings = [self.taking(&key)];
        let recalled = counter.limits().recall_at_once(&takings, counter.now())?;
        match recalled {
            Recalled::Decided(decided) => told(&[self], &decided).1.pop(),
            // It has said that memory suffices.
            Recalled::Ask(_) => None,
        }
    }

    /// [`RateLimiter::until_allowed`](super::RateLimiter::until_allowed).
    ///
    /// # Errors
    ///
    /// [`Refused`] if the permits come later than `timeout`, or never.
    pub async fn until_allowed(self, timeout: Duration) -> Result<Limited, Refused> {
        let until = self.counter.now() + timeout;
        loop {
            let limited = self.clone().limit().await;
            if limited.success {
                return Ok(limited);
            }
            let wait = limited.retry_after;
            let never = wait.is_zero() || self.cost > limited.limit;
            if never || self.counter.now() + wait > until {
                return Err(Refused { limited, never });
            }
            self.counter.sleep(wait + TIMER).await;
        }
    }

    /// [`RateLimiter::peek`](super::RateLimiter::peek).
    ///
    /// # Errors
    ///
    /// Those of [`Client::script`](crate::redis::Client::script); none for a limiter without a
    /// store.
    pub async fn peek(self) -> Result<Limited, Error> {
        let (key, counter) = (self.key(), self.counter);
        let taking = self.taking(&key);
        let asked = counter.limits().peek(taking, counter.now());
        let told = match (asked, &counter.place) {
            (Err(told), _) => told,
            (Ok(ask), Place::Store(redis)) => {
                let reply = redis.script(&ADMIT, &ask.keys, &ask.args).await?;
                let now = counter.now();
                counter.limits().peeked(taking, &ask, reply, now)?
            }
            (Ok(_), Place::Process(_)) => return Ok(counter.unlimited()),
        };
        Ok(counter.limited(told))
    }

    /// [`RateLimiter::refund`](super::RateLimiter::refund) of its cost.
    ///
    /// # Errors
    ///
    /// Those of [`Client::script`](crate::redis::Client::script); none for a limiter without a
    /// store.
    pub async fn refund(self) -> Result<(), Error> {
        let (key, counter) = (self.key(), self.counter);
        let taking = self.taking(&key);
        let asked = counter.limits().refund(taking, self.cost, counter.now());
        let (Some(ask), Place::Store(redis)) = (asked, &counter.place) else {
            return Ok(());
        };
        let reply = redis.script(&ADMIT, &ask.keys, &ask.args).await?;
        Limits::refunded(&ask, reply)
    }

    /// The key of its state.
    fn key(&self) -> String {
        self.counter.rule.key(&self.id)
    }

    fn taking<'k>(&'k self, key: &'k str) -> Taking<'k> {
        Taking {
            rule: &self.counter.rule,
            key,
            cost: self.cost,
            quota: self.quota,
        }
    }
}

/// Takes from all subjects of limiters that share their memory, or from none, and says whether the
/// request may pass.
pub(super) async fn take(subjects: &[Subject<'_>]) -> (bool, Vec<Limited>) {
    let Some(counter) = subjects.first().map(|subject| subject.counter) else {
        return (true, Vec::new());
    };
    let keys: Vec<_> = subjects.iter().map(Subject::key).collect();
    let takings = keys.iter().zip(subjects);
    let takings: Vec<_> = takings.map(|(key, subject)| subject.taking(key)).collect();
    let recalled = counter.limits().recall(&takings, counter.now());
    let decided = match (recalled, &counter.place) {
        (Recalled::Decided(decided), _) => decided,
        (Recalled::Ask(asking), Place::Store(redis)) => {
            let ask = &asking.ask;
            let reply = redis.script(&ADMIT, &ask.keys, &ask.args).await;
            let now = counter.now();
            counter.limits().answered(*asking, reply, now)
        }
        // Without a store, nothing is asked.
        (Recalled::Ask(_), Place::Process(_)) => return (true, Vec::new()),
    };
    told(subjects, &decided)
}

/// The results of a decided request, and whether it may pass. What is left to do is done, or handed
/// over with the first result.
fn told(subjects: &[Subject<'_>], decided: &Decided) -> (bool, Vec<Limited>) {
    let told = decided.limits().zip(subjects);
    let mut all: Vec<_> = told
        .map(|(told, subject)| subject.counter.limited(told))
        .collect();
    if let (Some(limited), Some(subject)) = (all.first_mut(), subjects.first()) {
        limited.pending = subject.counter.after(decided);
    }
    (decided.passes(), all)
}

/// Takes from all subjects or from none, whatever their limiters.
pub(super) async fn take_all(subjects: &[Subject<'_>]) -> All {
    let mut taken: Vec<(usize, Limited)> = Vec::with_capacity(subjects.len());
    let mut success = true;
    for group in groups(subjects) {
        let (places, together): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let (passes, results) = take(&together).await;
        if !passes {
            for (place, _) in &taken {
                if let Some(earlier) = subjects.get(*place) {
                    // If it fails, the permits come back with the window.
                    let _ = earlier.clone().refund().await;
                }
            }
        }
        taken.extend(places.into_iter().zip(results));
        success = passes;
        if !passes {
            break;
        }
    }
    // Those that were not asked any more.
    for (place, subject) in subjects.iter().enumerate() {
        if taken.iter().all(|(at, _)| *at != place) {
            let looked = subject.clone().peek().await;
            taken.push((
                place,
                looked.unwrap_or_else(|_| subject.counter.unlimited()),
            ));
        }
    }
    taken.sort_by_key(|(place, _)| *place);
    let results = taken.into_iter().map(|(_, limited)| limited).collect();
    All { success, results }
}

/// The subjects and their places, those together whose limiters share their memory.
fn groups<'a>(subjects: &[Subject<'a>]) -> Vec<Vec<(usize, Subject<'a>)>> {
    let mut groups: Vec<Vec<(usize, Subject<'a>)>> = Vec::new();
    for (place, subject) in subjects.iter().enumerate() {
        let shares = |group: &&mut Vec<(usize, Subject<'a>)>| {
            let first = group.first();
            first.is_some_and(|(_, first)| first.counter.shares_with(subject.counter))
        };
        match groups.iter_mut().find(shares) {
            Some(group) => group.push((place, subject.clone())),
            None => groups.push(vec![(place, subject.clone())]),
        }
    }
    groups
}
