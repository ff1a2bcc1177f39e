//! The limiter for Rust programs: one limit, any number of subjects.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::redis::{Client, Command, Place};
use crate::transport::SendTransport;

use super::counter::Counter;
use super::limited::{All, Limited, Pending, Refused};
use super::rule::Rule;
use super::subject::Subject;
use super::taken::take_all;

/// A sliding-window limiter. It counts in the store, and locally while the store fails.
///
/// A subject is any text. The store holds a digest of it, never the text.
///
/// Any number of threads may use it at once, and it is cheap to clone: a clone is the same limiter.
/// Limiters over clones of one client share what they know of the store.
///
/// ```
/// # #[cfg(feature = "reqwest")]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use omnitrade_edge::limiter::{RateLimiter, Rule};
/// use omnitrade_edge::redis::{Options, RestClient};
/// use omnitrade_edge::shell::ReqwestTransport;
///
/// let options = Options::new("https://example.upstash.io", "token");
/// let redis = RestClient::new(ReqwestTransport::new()?, options)?;
/// let minute = Duration::from_secs(60);
/// let per_user = RateLimiter::new(redis.clone(), Rule::new(100, minute).named("user").leased());
/// let per_ip = RateLimiter::new(redis, Rule::new(300, minute).named("ip"));
///
/// let limited = per_user.limit("user-7", 1).await;
/// if !limited.success {
///     println!("come back in {:?}", limited.retry_after);
/// }
/// // From both or from none, in one store call:
/// let all = RateLimiter::all([(&per_ip, "203.0.113.9"), (&per_user, "user-7")]).await;
/// // For a job that can wait, but not for more than five seconds:
/// per_user.until_allowed("job", 1, Duration::from_secs(5)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RateLimiter(Arc<Counter>);

impl RateLimiter {
    /// A limiter that counts in a store.
    #[cfg_attr(
        target_arch = "wasm32",
        expect(clippy::arc_with_non_send_sync, reason = "there is one thread")
    )]
    pub fn new(redis: impl Client, rule: Rule) -> Self {
        Self(Arc::new(Counter::in_store(redis, rule)))
    }

    /// A limiter without a store, which counts in this process, as exactly. Of `clock` only the
    /// time is used.
    #[cfg_attr(
        target_arch = "wasm32",
        expect(clippy::arc_with_non_send_sync, reason = "there is one thread")
    )]
    pub fn local(clock: impl SendTransport, rule: Rule) -> Self {
        Self(Arc::new(Counter::in_process(clock, rule)))
    }

    /// The limit.
    pub fn rule(&self) -> &Rule {
        &self.0.rule
    }

    /// A request of `id`, whose cost and quota can be set before it is decided.
    pub fn subject<'a>(&'a self, id: impl Into<Cow<'a, str>>) -> Subject<'a> {
        Subject::new(&self.0, id)
    }

    /// Takes `cost` permits of `id`, if that many are left.
    ///
    /// It never fails: while the store fails, the local limits decide.
    pub async fn limit(&self, id: &str, cost: u64) -> Limited {
        self.subject(id).cost(cost).limit().await
    }

    /// The same if memory suffices: permits that were fetched ahead, a refusal that still applies,
    /// or a limiter without a store. `None`: nothing has happened, and the store has to be asked.
    pub fn limit_now(&self, id: &str, cost: u64) -> Option<Limited> {
        self.subject(id).cost(cost).limit_now()
    }

    /// Takes permits of several subjects in one store call: from all of them or, if one has too few
    /// left, from none. The results are in the order of the subjects, and each says whether the
    /// request as a whole may pass.
    pub async fn limit_many(&self, subjects: &[(&str, u64)]) -> Vec<Limited> {
        let wants = subjects.iter();
        let wants: Vec<_> = wants
            .map(|(id, cost)| self.subject(*id).cost(*cost).want())
            .collect();
        let All { success, results } = take_all(&wants).await.all;
        let whole = |limited| Limited { success, ..limited };
        results.into_iter().map(whole).collect()
    }

    /// Takes permits of several limits, from all of them or from none: in one store call, if their
    /// clients are clones of one. Of limiters over several stores, or without one, one is asked
    /// after the other, and what was taken is given back if a later one refuses.
    ///
    /// ```
    /// # use omnitrade_edge::limiter::RateLimiter;
    /// # async fn example(per_ip: RateLimiter, per_user: RateLimiter) {
    /// let all = RateLimiter::all([(&per_ip, "203.0.113.9"), (&per_user, "user-7")]).await;
    /// if !all.success {
    ///     println!("come back in {:?}", all.retry_after());
    /// }
    /// # }
    /// ```
    pub async fn all<'a, S: Into<Subject<'a>>>(subjects: impl IntoIterator<Item = S>) -> All {
        let subjects = subjects.into_iter().map(Into::into);
        let wants: Vec<_> = subjects
            .map(|subject: Subject<'a>| subject.want())
            .collect();
        take_all(&wants).await.all
    }

    /// Takes `cost` permits of `id` as soon as that many are left. It waits exactly as long as it
    /// has to; it does not wait at all if that would be longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`Refused`] if the permits come later than that, or never, because `cost` is greater than
    /// the quota.
    pub async fn until_allowed(
        &self,
        id: &str,
        cost: u64,
        timeout: Duration,
    ) -> Result<Limited, Refused> {
        self.subject(id).cost(cost).until_allowed(timeout).await
    }

    /// The state of `id`, without taking permits: `success` says whether a request for one permit
    /// would pass.
    ///
    /// # Errors
    ///
    /// Those of [`Client::script`]; none for a limiter without a store.
    pub async fn peek(&self, id: &str) -> Result<Limited, Error> {
        self.subject(id).peek().await
    }

    /// Gives `id` back up to `permits` of the permits that it took in the last window.
    ///
    /// # Errors
    ///
    /// Those of [`Client::script`]; none for a limiter without a store. After an error of a call
    /// that may have run, it is unknown whether the permits were given back.
    pub async fn refund(&self, id: &str, permits: u64) -> Result<(), Error> {
        self.subject(id).cost(permits).refund().await
    }

    /// Forgets everything that was counted for `id`, with one `DEL`. Permits that other processes
    /// have fetched ahead for it stay usable there until they are void, at most 30 seconds later.
    ///
    /// # Errors
    ///
    /// Those of [`Client::command`]; none for a limiter without a store.
    pub async fn reset(&self, id: &str) -> Result<(), Error> {
        let key = self.0.limits().reset(&self.0.rule.key(id));
        if let (Some(key), Place::Store(redis)) = (key, &self.0.place) {
            let delete = Command::new("DEL").arg(&key).idempotent(true);
            redis.command(&delete).await?;
        }
        Ok(())
    }

    /// Does the work that was left after a request, where no runtime does it.
    pub async fn finish(&self, pending: Pending) {
        self.0.finish(pending).await;
    }

    /// Returns permits that were fetched ahead and not spent in time. This is not needed as long as
    /// requests come, of whatever subject, nor where tokio runs:
    /// [`finish`](Self::finish) or a task returns them after a while.
    pub async fn return_unspent(&self) {
        loop {
            let work = self.0.limits().returning(self.0.now());
            match work {
                Some(work) => self.finish(Pending(work)).await,
                None => return,
            }
        }
    }
}

impl<'a, I: Into<Cow<'a, str>>> From<(&'a RateLimiter, I)> for Subject<'a> {
    fn from((limiter, id): (&'a RateLimiter, I)) -> Self {
        limiter.subject(id)
    }
}

impl<'a, I: Into<Cow<'a, str>>> From<(&'a RateLimiter, I, u64)> for Subject<'a> {
    fn from((limiter, id, cost): (&'a RateLimiter, I, u64)) -> Self {
        limiter.subject(id).cost(cost)
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RateLimiter").field(&self.0.rule).finish()
    }
}
