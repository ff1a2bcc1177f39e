//! One request of a subject, and how it is decided.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::redis::Place;
use crate::store::ADMIT;

use super::counter::{Counter, TIMER};
use super::limited::{Limited, Refused};
use super::limits::Limits;
use super::taken::{Want, take_all, take_at_once};

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
        let mut taken = take_all(&[self.want()]).await;
        let limited = taken.all.results.pop();
        limited.unwrap_or_else(|| self.counter.unlimited())
    }

    /// [`RateLimiter::limit_now`](super::RateLimiter::limit_now).
    pub fn limit_now(self) -> Option<Limited> {
        let mut taken = take_at_once(&[self.want()])?;
        taken.all.results.pop()
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
        let want = self.want();
        want.counter.peek(want.taking()).await
    }

    /// [`RateLimiter::refund`](super::RateLimiter::refund) of its cost.
    ///
    /// # Errors
    ///
    /// Those of [`Client::script`](crate::redis::Client::script); none for a limiter without a
    /// store.
    pub async fn refund(self) -> Result<(), Error> {
        let want = self.want();
        let (counter, taking) = (want.counter, want.taking());
        let asked = counter.limits().refund(taking, want.cost, counter.now());
        let (Some(ask), Place::Store(redis)) = (asked, &counter.place) else {
            return Ok(());
        };
        let reply = redis.script(&ADMIT, &ask.keys, &ask.args).await?;
        Limits::refunded(&ask, reply)
    }

    /// What it wants of the limit.
    pub(crate) fn want(&self) -> Want<'a> {
        Want {
            counter: self.counter,
            key: self.counter.rule.key(&self.id),
            cost: self.cost,
            quota: self.quota,
        }
    }
}
