//! The limiter for Rust programs: one limit, any number of subjects.

mod rule;

use std::cell::RefCell;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::limit::{Charge, Role, Source, Verdict};
use crate::engine::subject;
use crate::error::{Error, ErrorKind};
use crate::redis::{Command, RestClient, Value};
use crate::transport::Transport;

use super::check::settle::Work;
use super::check::{Check, Refusal};
use super::memory::LimitMemory;
use crate::store::{ADMIT, Ask, Link, Outcome};

pub use rule::Rule;

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
    memory: RefCell<Memory>,
}

/// What this process remembers.
#[derive(Debug)]
struct Memory {
    limits: LimitMemory,
    link: Link,
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

/// Why the store did not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The store did not answer in time, or failed in another way: the local limits decided.
    /// `timeout` in `@upstash/ratelimit`.
    Timeout,
    /// An earlier refusal is remembered that still applies. `cacheBlock` in `@upstash/ratelimit`.
    CacheBlock,
    /// The subject is held off, because it went on after refusals. `denyList` in
    /// `@upstash/ratelimit`.
    DenyList,
}

/// Work that no request waits for.
#[derive(Debug)]
pub struct Pending(Work);

impl<T: Transport> RateLimiter<T> {
    /// A limiter that counts in a store.
    pub fn new(redis: RestClient<T>, rule: Rule) -> Self {
        let seed = redis.transport().random().to_bits() ^ redis.transport().now().as_millis();
        let timeout = redis.timeout();
        Self {
            redis: Ok(redis),
            memory: RefCell::new(Memory {
                limits: LimitMemory::default(),
                link: Link::new(timeout, seed),
            }),
            rule,
        }
    }

    /// A limiter without a store, which counts in this process. Of `clock` only the time is used.
    pub fn local(clock: T, rule: Rule) -> Self {
        Self {
            redis: Err(clock),
            memory: RefCell::new(Memory {
                limits: LimitMemory::default(),
                link: Link::absent(0),
            }),
            rule,
        }
    }

    /// Takes `cost` permits of `id`, if that many are left.
    ///
    /// It never fails: while the store fails, the local limits decide.
    pub async fn limit(&self, id: &str, cost: u64) -> Limited {
        let mut all = self.limit_many(&[(id, cost)]).await;
        all.pop()
            .unwrap_or_else(|| self.told(None, Source::None, None, self.now()))
    }

    /// Takes permits of several subjects in one store call: from all of them or, if one has too few
    /// left, from none. The results are in the order of the subjects.
    pub async fn limit_many(&self, subjects: &[(&str, u64)]) -> Vec<Limited> {
        let (mut check, decided) = self.recall(subjects);
        let (decided, reason) = match decided {
            Ok(false) => (Ok(()), None),
            Ok(true) => match self.question(&mut check) {
                Some((redis, ask)) => {
                    let reply = redis.script(&ADMIT, &ask.keys, &ask.args).await;
                    self.answered(&mut check, &ask, reply)
                }
                None => self.locally(&mut check),
            },
            Err(refusal) => {
                let held = matches!(refusal, Refusal::Held { .. });
                let reason = if held {
                    Reason::DenyList
                } else {
                    Reason::CacheBlock
                };
                (Err(refusal), Some(reason))
            }
        };
        let now = self.now();
        let ahead = decided.is_ok() && self.redis.is_ok();
        let work = ahead.then(|| {
            let Memory { limits, link } = &mut *self.memory.borrow_mut();
            check.fetch_ahead(limits, link, now)
        });
        let mut all: Vec<_> = check
            .limits()
            .map(|seen| {
                let verdict = seen.and_then(|seen| seen.verdict);
                let mut limited = self.told(verdict, check.source(), reason, now);
                limited.success = decided.is_ok();
                if let (Err(refusal), false) = (&decided, verdict.is_some_and(|v| v.met)) {
                    limited.retry_after = limited.retry_after.max(refusal.retry_after());
                    limited.reset = limited.reset.max(now + limited.retry_after);
                }
                limited
            })
            .collect();
        if let Some(first) = all.first_mut() {
            first.pending = work.flatten().map(Pending);
        }
        all
    }

    fn recall(&self, subjects: &[(&str, u64)]) -> (Check, Result<bool, Refusal>) {
        let charges = subjects.iter().map(|(id, cost)| self.charge(id, *cost));
        let now = self.now();
        let memory = &mut self.memory.borrow_mut().limits;
        let mut check = Check::new(charges.collect(), None, memory, now);
        let decided = check.recall(memory, now);
        (check, decided)
    }

    /// The question to the store; `None` if the store must not be asked now.
    fn question(&self, check: &mut Check) -> Option<(&RestClient<T>, Ask)> {
        let now = self.now();
        let Memory { limits, link } = &mut *self.memory.borrow_mut();
        let redis = self.redis.as_ref().ok()?;
        let allowed = link.allows(now);
        allowed.then(|| (redis, check.ask(false, limits, link, now)))
    }

    fn answered(
        &self,
        check: &mut Check,
        ask: &Ask,
        reply: Result<Value, Error>,
    ) -> (Result<(), Refusal>, Option<Reason>) {
        let local_now = self.local_now();
        let decided = {
            let Memory { limits, link } = &mut *self.memory.borrow_mut();
            match link.received(ask, reply, local_now) {
                Some((mut reply, now)) => {
                    let asked_at = link.asked_at(ask);
                    check.decided(&mut reply, asked_at, limits, now)
                }
                None => Ok(None),
            }
        };
        match decided {
            Ok(Some(())) => (Ok(()), None),
            Ok(None) => self.locally(check),
            Err(refusal) => (Err(refusal), None),
        }
    }

    fn locally(&self, check: &mut Check) -> (Result<(), Refusal>, Option<Reason>) {
        let now = self.now();
        let Memory { limits, link } = &mut *self.memory.borrow_mut();
        let decided = check.locally(limits, now, link.down_for(now));
        (decided, link.exists().then_some(Reason::Timeout))
    }

    /// The state of `id`, without taking permits: `success` says whether a request for one permit
    /// would pass.
    ///
    /// # Errors
    ///
    /// Those of [`RestClient::script`]; none for a limiter without a store.
    pub async fn peek(&self, id: &str) -> Result<Limited, Error> {
        let now = self.now();
        let mut charge = self.charge(id, 1);
        charge.role = Role::Peek;
        let key = self.key(id);
        let Ok(redis) = &self.redis else {
            let memory = &mut self.memory.borrow_mut().limits;
            let verdict = memory.fallback.look(&key, self.rule.quota(), now);
            return Ok(self.told(Some(&verdict), Source::Local, None, now));
        };
        let mut ask = self.memory.borrow_mut().link.call(now);
        ask.limit(&charge, 0, &[]);
        let reply = redis.script(&ADMIT, &ask.keys, &ask.args).await?;
        let said = ask.read(reply).and_then(|mut reply| reply.limits.pop()?);
        let mut verdict = said
            .ok_or_else(|| Error::from(ErrorKind::Protocol))?
            .verdict;
        let left = self.memory.borrow().limits.leases.left(&key, now);
        if left > 0 {
            verdict.met = true;
            verdict.remaining = verdict.remaining.saturating_add(left);
            verdict.retry_after = Duration::ZERO;
        }
        Ok(self.told(Some(&verdict), Source::Redis, None, self.now()))
    }

    /// Gives `id` back up to `permits` of the permits that it took in the last window.
    ///
    /// # Errors
    ///
    /// Those of [`RestClient::script`]; none for a limiter without a store. After an error of a
    /// call that may have run, it is unknown whether the permits were given back.
    pub async fn refund(&self, id: &str, permits: u64) -> Result<(), Error> {
        let (key, now) = (self.key(id), self.now());
        let by = i64::try_from(permits).unwrap_or(i64::MAX);
        let quota = self.rule.quota();
        let mut ask = {
            let Memory { limits, link } = &mut *self.memory.borrow_mut();
            limits.denied.forget(&key);
            if self.redis.is_err() {
                limits.fallback.correct(&key, quota, -by, now);
            }
            link.call(now)
        };
        let Ok(redis) = &self.redis else {
            return Ok(());
        };
        let look = Charge {
            role: Role::Peek,
            ..self.charge(id, 0)
        };
        ask.refund(&look, permits);
        let reply = redis.script(&ADMIT, &ask.keys, &ask.args).await?;
        match ask.read(reply).map(|reply| reply.outcome) {
            Some(Outcome::Unsure) | None => Err(Error::from(ErrorKind::Protocol)),
            Some(_) => Ok(()),
        }
    }

    /// Forgets everything that was counted for `id`, with one `DEL`. Permits that other processes
    /// have fetched ahead for it stay usable there until they are void, at most 30 seconds later.
    ///
    /// # Errors
    ///
    /// Those of [`RestClient::command`]; none for a limiter without a store.
    pub async fn reset(&self, id: &str) -> Result<(), Error> {
        let key = self.key(id);
        self.memory.borrow_mut().limits.forget(&key);
        if let Ok(redis) = &self.redis {
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
        let local_now = self.local_now();
        let Memory { limits, link } = &mut *self.memory.borrow_mut();
        work.done(reply, limits, link, local_now);
    }

    /// Returns permits that were fetched ahead and not spent in time. This is not needed as long as
    /// requests come, of whatever subject: [`finish`](Self::finish) returns them after a while.
    pub async fn return_unspent(&self) {
        loop {
            let now = self.now();
            let work = {
                let Memory { limits, link } = &mut *self.memory.borrow_mut();
                Work::returning(limits, link, now)
            };
            match work {
                Some(work) => self.finish(Pending(work)).await,
                None => return,
            }
        }
    }

    fn told(
        &self,
        verdict: Option<&Verdict>,
        source: Source,
        reason: Option<Reason>,
        now: Timestamp,
    ) -> Limited {
        let whole = self.rule.quota().permits;
        Limited {
            success: verdict.is_none_or(|verdict| verdict.met),
            limit: whole,
            remaining: verdict.map_or(whole, |verdict| verdict.remaining),
            reset: now + verdict.map_or(Duration::ZERO, |verdict| verdict.reset_after),
            retry_after: verdict.map_or(Duration::ZERO, |verdict| verdict.retry_after),
            reason,
            source,
            policy: self.rule.name().to_owned(),
            pending: None,
        }
    }

    fn charge(&self, id: &str, cost: u64) -> Charge {
        let key = self.key(id);
        self.rule.charge(key, cost)
    }

    /// The key of a subject's state.
    fn key(&self, id: &str) -> String {
        let prefix = self.rule.key_prefix();
        let digest = subject::of_api_key(id, &subject::domain(prefix));
        format!("{prefix}:l:{}:{digest}", self.rule.name())
    }

    fn local_now(&self) -> Timestamp {
        match &self.redis {
            Ok(redis) => redis.transport().now(),
            Err(clock) => clock.now(),
        }
    }

    fn now(&self) -> Timestamp {
        let local_now = self.local_now();
        match self.memory.try_borrow() {
            Ok(memory) => memory.link.now(local_now),
            Err(_) => local_now,
        }
    }
}
