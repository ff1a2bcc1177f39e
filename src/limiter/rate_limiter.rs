//! The limiter for Rust programs: one limit, any number of subjects.

use std::cell::RefCell;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::limit::Source;
use crate::error::Error;
use crate::redis::{Command, RestClient};
use crate::store::{ADMIT, Ask};
use crate::transport::Transport;

use super::check::settle::Work;
use super::limits::{Limits, Reason, Recalled, Taking, Told};
use super::memory::LimitMemory;
use super::rule::Rule;

/// A sliding-window limiter. It counts in the store, and locally while the store fails.
///
/// A subject is any text. The store holds a digest of it, never the text.
///
/// It belongs to one thread, like the rest of the crate: its futures are not `Send`.
///
/// ```
/// # async fn example() -> Result<(), omnitrade_edge::error::Error> {
/// use std::time::Duration;
/// use omnitrade_edge::limiter::{RateLimiter, Rule};
/// use omnitrade_edge::redis::{Options, RestClient};
/// use omnitrade_edge::shell::ReqwestTransport;
///
/// let options = Options::new("https://example.upstash.io", "token");
/// let redis = RestClient::new(ReqwestTransport::new()?, options)?;
/// let limiter = RateLimiter::new(redis, Rule::new(100, Duration::from_secs(60)).leased());
///
/// let limited = limiter.limit("user-7", 1).await;
/// if !limited.success {
///     println!("come back in {:?}", limited.retry_after);
/// }
/// if let Some(pending) = limited.pending {
///     limiter.finish(pending).await; // in the background, if there is one
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RateLimiter<T> {
    redis: Result<RestClient<T>, T>,
    rule: Rule,
    limits: RefCell<Limits>,
}

/// The result for a request. Fields that `@upstash/ratelimit` has too are named as there.
#[derive(Debug)]
#[non_exhaustive]
pub struct Limited {
    /// Whether the request may pass.
    pub success: bool,
    /// Permits in a window.
    pub limit: u64,
    /// Permits that are left.
    pub remaining: u64,
    /// When more permits come back; for a refused request, when the same request will pass.
    pub reset: Timestamp,
    /// How long until the same request will pass; zero if it has passed.
    pub retry_after: Duration,
    /// Why the store did not decide; `None` if it did.
    pub reason: Option<Reason>,
    /// What decided.
    pub source: Source,
    /// The name of the limit.
    pub policy: String,
    /// Work that is left for [`RateLimiter::finish`]: fetching permits ahead, and returning those
    /// that were not spent in time. If it is dropped, a later request has to wait for the store
    /// instead.
    pub pending: Option<Pending>,
}

/// Work that no request waits for.
#[derive(Debug)]
pub struct Pending(Work);

impl<T: Transport> RateLimiter<T> {
    /// A limiter that counts in a store.
    pub fn new(redis: RestClient<T>, rule: Rule) -> Self {
        let seed = redis.transport().random().to_bits() ^ redis.transport().now().as_millis();
        let limits = Limits::new(redis.timeout(), seed);
        Self {
            redis: Ok(redis),
            limits: RefCell::new(limits),
            rule,
        }
    }

    /// A limiter without a store, which counts in this process. Of `clock` only the time is used.
    pub fn local(clock: T, rule: Rule) -> Self {
        Self {
            redis: Err(clock),
            limits: RefCell::new(Limits::without_store(LimitMemory::default())),
            rule,
        }
    }

    /// Takes `cost` permits of `id`, if that many are left.
    ///
    /// It never fails: while the store fails, the local limits decide.
    pub async fn limit(&self, id: &str, cost: u64) -> Limited {
        let mut all = self.limit_many(&[(id, cost)]).await;
        all.pop().unwrap_or_else(|| self.unlimited())
    }

    /// Takes permits of several subjects in one store call: from all of them or, if one has too few
    /// left, from none. The results are in the order of the subjects.
    pub async fn limit_many(&self, subjects: &[(&str, u64)]) -> Vec<Limited> {
        let keys: Vec<_> = subjects.iter().map(|(id, _)| self.rule.key(id)).collect();
        let takings = keys.iter().zip(subjects);
        let takings: Vec<_> = takings
            .map(|(key, (_, cost))| self.taking(key, *cost))
            .collect();
        let recalled = self.limits.borrow_mut().recall(&takings, self.now());
        let decided = match (recalled, &self.redis) {
            (Recalled::Decided(decided), _) => decided,
            (Recalled::Ask(asking), Ok(redis)) => {
                let ask = &asking.ask;
                let reply = redis.script(&ADMIT, &ask.keys, &ask.args).await;
                let mut limits = self.limits.borrow_mut();
                limits.answered(*asking, reply, self.now())
            }
            // Without a store, nothing is asked.
            (Recalled::Ask(_), Err(_)) => return Vec::new(),
        };
        let mut all: Vec<_> = decided.limits().map(|told| self.limited(told)).collect();
        for limited in &mut all {
            limited.success = decided.passes();
        }
        if let Some(first) = all.first_mut() {
            let work = self.limits.borrow_mut().work_after(&decided, self.now());
            first.pending = work.map(Pending);
        }
        all
    }

    /// The state of `id`, without taking permits: `success` says whether a request for one permit
    /// would pass.
    ///
    /// # Errors
    ///
    /// Those of [`RestClient::script`]; none for a limiter without a store.
    pub async fn peek(&self, id: &str) -> Result<Limited, Error> {
        let key = self.rule.key(id);
        let taking = self.taking(&key, 1);
        let asked = self.limits.borrow_mut().peek(taking, self.now());
        let told = match (asked, &self.redis) {
            (Err(told), _) => told,
            (Ok(ask), Ok(redis)) => {
                let reply = redis.script(&ADMIT, &ask.keys, &ask.args).await?;
                let mut limits = self.limits.borrow_mut();
                limits.peeked(taking, &ask, reply, self.now())?
            }
            (Ok(_), Err(_)) => return Ok(self.unlimited()),
        };
        Ok(self.limited(told))
    }

    /// Gives `id` back up to `permits` of the permits that it took in the last window.
    ///
    /// # Errors
    ///
    /// Those of [`RestClient::script`]; none for a limiter without a store. After an error of a
    /// call that may have run, it is unknown whether the permits were given back.
    pub async fn refund(&self, id: &str, permits: u64) -> Result<(), Error> {
        let key = self.rule.key(id);
        let taking = self.taking(&key, 0);
        let asked: Option<Ask> = self.limits.borrow_mut().refund(taking, permits, self.now());
        let (Some(ask), Ok(redis)) = (asked, &self.redis) else {
            return Ok(());
        };
        let reply = redis.script(&ADMIT, &ask.keys, &ask.args).await?;
        Limits::refunded(&ask, reply)
    }

    /// Forgets everything that was counted for `id`, with one `DEL`. Permits that other processes
    /// have fetched ahead for it stay usable there until they are void, at most 30 seconds later.
    ///
    /// # Errors
    ///
    /// Those of [`RestClient::command`]; none for a limiter without a store.
    pub async fn reset(&self, id: &str) -> Result<(), Error> {
        let key = self.limits.borrow_mut().reset(&self.rule.key(id));
        if let (Some(key), Ok(redis)) = (key, &self.redis) {
            let delete = Command::new("DEL").arg(&key).idempotent(true);
            redis.command(&delete).await?;
        }
        Ok(())
    }

    /// Does the work that was left after a request.
    pub async fn finish(&self, pending: Pending) {
        let Ok(redis) = &self.redis else { return };
        let Pending(work) = pending;
        let reply = redis.script(&ADMIT, &work.ask.keys, &work.ask.args).await;
        self.limits.borrow_mut().worked(&work, reply, self.now());
    }

    /// Returns permits that were fetched ahead and not spent in time. This is not needed as long as
    /// requests come, of whatever subject: [`finish`](Self::finish) returns them after a while.
    pub async fn return_unspent(&self) {
        loop {
            let work = self.limits.borrow_mut().returning(self.now());
            match work {
                Some(work) => self.finish(Pending(work)).await,
                None => return,
            }
        }
    }

    fn taking<'a>(&'a self, key: &'a str, cost: u64) -> Taking<'a> {
        Taking {
            rule: &self.rule,
            key,
            cost,
            quota: None,
        }
    }

    fn limited(&self, told: Told) -> Limited {
        Limited {
            success: told.passes,
            limit: told.limit,
            remaining: told.remaining,
            reset: told.reset,
            retry_after: told.retry_after,
            reason: told.reason,
            source: told.source,
            policy: self.rule.name().to_owned(),
            pending: None,
        }
    }

    /// The result if nothing limits.
    fn unlimited(&self) -> Limited {
        let whole = self.rule.quota().permits;
        self.limited(Told {
            passes: true,
            shadowed: false,
            limit: whole,
            remaining: whole,
            reset: self.now(),
            retry_after: Duration::ZERO,
            source: Source::None,
            reason: None,
        })
    }

    fn now(&self) -> Timestamp {
        match &self.redis {
            Ok(redis) => redis.transport().now(),
            Err(clock) => clock.now(),
        }
    }
}
