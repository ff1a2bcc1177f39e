//! Limits over one store, without input or output: what they remember, what they ask the store, and
//! what follows from its reply.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::limit::crowd::Patience;
use crate::engine::limit::{Charge, Role, Source, Verdict};
use crate::error::{Error, ErrorKind};
use crate::redis::Value;
use crate::store::{Ask, Link, Outcome};

use super::check::settle::Work;
use super::check::{Check, Refusal};
use super::memory::LimitMemory;
use super::rule::Rule;

/// What a process remembers of one store and of the limits that count there.
///
/// Its methods take the time of the process's own clock; it corrects it by the store's.
#[derive(Debug)]
pub struct Limits {
    memory: LimitMemory,
    link: Link,
}

/// What is taken of one limit.
#[derive(Debug, Clone, Copy)]
pub struct Taking<'a> {
    /// The limit.
    pub rule: &'a Rule,
    /// The key of the state of whom it counts: [`Rule::key`].
    pub key: &'a str,
    /// Permits.
    pub cost: u64,
    /// Permits in a window, in place of the rule's.
    pub quota: Option<u64>,
}

/// What memory says about a request.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "what is common is large: a box would be an allocation for each request"
)]
pub enum Recalled {
    /// It decides.
    Decided(Decided),
    /// The store has to be asked. The reply goes to [`Limits::answered`].
    Ask(Box<Asking>),
    /// A call about the same subjects is on its way. After this pause, the request is to be
    /// recalled again, with this patience.
    Wait(Duration, Patience),
}

/// A request on its way to the store.
#[derive(Debug)]
pub struct Asking {
    /// The call.
    pub ask: Ask,
    check: Check,
    places: Vec<usize>,
}

/// A decided request.
#[derive(Debug)]
pub struct Decided {
    check: Check,
    /// For each taking the place of its charge.
    places: Vec<usize>,
    refusal: Option<Refusal>,
    reason: Option<Reason>,
    /// By the process's own clock, when the store was asked, or when memory decided.
    at: Timestamp,
    /// By the process's own clock.
    now: Timestamp,
}

/// The refusal, if there is one, and why the store did not decide, if it did not.
type Decision = (Option<Refusal>, Option<Reason>);

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

/// One limit of a decided request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Whether this limit lets the request pass.
    pub passes: bool,
    /// Whether the limit is used up, although it only reports.
    pub shadowed: bool,
    /// Permits in a window.
    pub limit: u64,
    /// Permits that are left.
    pub remaining: u64,
    /// By the process's own clock: when more permits are back; if the limit refuses, when the same
    /// request will pass.
    pub reset: Timestamp,
    /// How long until then, if the limit refuses.
    pub retry_after: Duration,
    /// What decided.
    pub source: Source,
    /// Why it was not the store.
    pub reason: Option<Reason>,
}

impl Limits {
    /// Limits that count in a store whose calls take at most `timeout`. `seed` is a random number.
    pub fn new(timeout: Duration, seed: u64) -> Self {
        Self {
            memory: LimitMemory::default(),
            link: Link::new(timeout, seed),
        }
    }

    /// Limits of a process without a store. What they remember decides, as `memory` does.
    pub fn without_store(memory: LimitMemory) -> Self {
        Self {
            memory,
            link: Link::absent(0),
        }
    }

    /// Whether a request would pass, in a process without a store. Nothing is charged.
    pub fn would_pass(&mut self, takings: &[Taking<'_>], local_now: Timestamp) -> bool {
        let now = self.link.now(local_now);
        let check = Check::new(charges(takings).0, None, &self.memory, now);
        !check.is_refused_before(&self.memory, now) && check.would_pass(&mut self.memory, now)
    }

    /// Decides as far as memory can. If the store is absent or must not be asked now, the local
    /// limits decide. `patience`: how the request has waited for calls of others; `None`: it does
    /// not wait.
    pub fn recall(
        &mut self,
        takings: &[Taking<'_>],
        patience: Option<Patience>,
        local_now: Timestamp,
    ) -> Recalled {
        let now = self.link.now(local_now);
        let (charges, places) = charges(takings);
        let mut check = Check::new(charges, None, &self.memory, now);
        let (memory, link) = (&mut self.memory, &self.link);
        let patience = patience.and_then(|p| check.joins(p, || None, memory, link, now));
        if let Some(patience) = patience {
            let pause = patience.pause();
            return Recalled::Wait(pause, patience.after(pause));
        }
        self.recall_check(check, places, local_now)
    }

    /// The same if memory suffices; nothing happens otherwise.
    pub fn recall_at_once(
        &mut self,
        takings: &[Taking<'_>],
        local_now: Timestamp,
    ) -> Option<Recalled> {
        let now = self.link.now(local_now);
        let (charges, places) = charges(takings);
        let check = Check::new(charges, None, &self.memory, now);
        let is_down = || self.link.down_for(now).is_none_or(|wait| !wait.is_zero());
        let settles = check.settles(&self.memory, now) || is_down();
        settles.then(|| self.recall_check(check, places, local_now))
    }

    fn recall_check(
        &mut self,
        mut check: Check,
        places: Vec<usize>,
        local_now: Timestamp,
    ) -> Recalled {
        let now = self.link.now(local_now);
        let memory = &mut self.memory;
        let decision = match check.recall(memory, now) {
            Ok(true) if self.link.allows(now) => {
                let ask = check.ask(false, memory, &mut self.link, now);
                return Recalled::Ask(Box::new(Asking { ask, check, places }));
            }
            Ok(true) => self.locally(&mut check, now),
            Ok(false) => (None, None),
            Err(refusal) => {
                let held = matches!(refusal, Refusal::Held { .. });
                let reason = if held {
                    Reason::DenyList
                } else {
                    Reason::CacheBlock
                };
                (Some(refusal), Some(reason))
            }
        };
        Recalled::Decided(Decided::new(check, places, decision, local_now, local_now))
    }

    /// Takes the store's reply.
    pub fn answered(
        &mut self,
        asking: Asking,
        reply: Result<Value, Error>,
        local_now: Timestamp,
    ) -> Decided {
        let Asking {
            ask,
            mut check,
            places,
        } = asking;
        let received = self.link.received(&ask, reply, local_now);
        let asked_at = self.link.asked_at(&ask);
        let now = self.link.now(local_now);
        let decided = match received {
            Some((mut reply, now)) => check.decided(&mut reply, asked_at, &mut self.memory, now),
            None => {
                let others = check.failed(&mut self.memory, now);
                self.link.failed_for(others, local_now);
                Ok(None)
            }
        };
        let (decision, waited) = match decided {
            Ok(Some(())) => ((None, None), now.since(asked_at)),
            Err(refusal) => ((Some(refusal), None), now.since(asked_at)),
            Ok(None) => (self.locally(&mut check, now), Duration::ZERO),
        };
        Decided::new(check, places, decision, local_now - waited, local_now)
    }

    /// Decides without the reply, because the caller did not wait for it: that says nothing about
    /// the store.
    pub fn given_up(&mut self, asking: Asking, local_now: Timestamp) -> Decided {
        let now = self.link.now(local_now);
        let Asking {
            mut check, places, ..
        } = asking;
        check.gave_up(&mut self.memory, now);
        let decision = self.locally(&mut check, now);
        Decided::new(check, places, decision, local_now, local_now)
    }

    fn locally(&mut self, check: &mut Check, now: Timestamp) -> Decision {
        let decided = check.locally(&mut self.memory, now, self.link.down_for(now));
        (decided.err(), self.link.exists().then_some(Reason::Timeout))
    }

    /// The call that fetches permits ahead and returns those that were not spent, if one is due
    /// after this request.
    pub fn work_after(&mut self, decided: &Decided, local_now: Timestamp) -> Option<Work> {
        if !decided.passes() || !self.link.is_up() {
            return None;
        }
        let now = self.link.now(local_now);
        let check = &decided.check;
        check.fetch_ahead(&mut self.memory, &mut self.link, now)
    }

    /// Corrects what a request was charged to `costs`, in the order in which its limits were taken,
    /// even if that exceeds what is left. Returns the call that tells the store, if one is needed;
    /// its reply goes to [`worked`](Self::worked). While the store is down, what is charged there
    /// stays charged.
    pub fn settle(
        &mut self,
        decided: &mut Decided,
        costs: &[u64],
        local_now: Timestamp,
    ) -> Option<Work> {
        let now = self.link.now(local_now);
        let Decided { check, places, .. } = decided;
        // Takings of one state are one charge.
        let cost = |charge: usize| {
            let all = places.iter().zip(costs);
            let own = all.filter(|(place, _)| **place == charge);
            own.fold(0, |sum: u64, (_, cost)| sum.saturating_add(*cost))
        };
        let work = check.settle_each(cost, &mut self.memory, &mut self.link, now);
        work.filter(|_| self.link.is_up())
    }

    /// The call that returns permits which were not spent, if some are overdue.
    pub fn returning(&mut self, local_now: Timestamp) -> Option<Work> {
        let now = self.link.now(local_now);
        Work::returning(&mut self.memory, &mut self.link, now)
    }

    /// Takes the store's reply to a call of [`work_after`](Self::work_after) or
    /// [`returning`](Self::returning).
    pub fn worked(&mut self, work: &Work, reply: Result<Value, Error>, local_now: Timestamp) {
        work.done(reply, &mut self.memory, &mut self.link, local_now, |_| ());
    }

    /// How long to wait before unspent permits are returned, if somebody has to wait for that: see
    /// [`LimitMemory::sweep_after`].
    pub fn sweep_after(&mut self, patience: Duration, local_now: Timestamp) -> Option<Duration> {
        let now = self.link.now(local_now);
        self.memory.sweep_after(&self.link, patience, now)
    }

    /// The wait is over: the call that returns the permits, if they still have to be.
    pub fn sweep(&mut self, local_now: Timestamp) -> Option<Work> {
        self.memory.swept();
        self.returning(local_now)
    }

    /// Asks for the state of a limit, without taking permits; `Err` if memory knows it.
    ///
    /// # Errors
    ///
    /// The state, if there is no store.
    pub fn peek(&mut self, taking: Taking<'_>, local_now: Timestamp) -> Result<Ask, Told> {
        let now = self.link.now(local_now);
        let mut charge = taking.charge();
        if !self.link.exists() {
            let (key, quota) = (taking.key, taking.quota());
            let verdict = match &self.memory.windows {
                Some(windows) => windows.look(key, quota, now),
                None => self.memory.fallback.look(key, quota, now),
            };
            return Err(looked(&taking, &verdict, Source::Local, local_now));
        }
        charge.role = Role::Peek;
        let mut ask = self.link.call(now);
        ask.limit(&charge, 0, &[]);
        Ok(ask)
    }

    /// Takes the store's reply to a call of [`peek`](Self::peek).
    ///
    /// # Errors
    ///
    /// If the reply is none.
    pub fn peeked(
        &mut self,
        taking: Taking<'_>,
        ask: &Ask,
        reply: Value,
        local_now: Timestamp,
    ) -> Result<Told, Error> {
        let said = ask.read(reply).and_then(|mut reply| reply.limits.pop()?);
        let mut verdict = said
            .ok_or_else(|| Error::from(ErrorKind::Protocol))?
            .verdict;
        let now = self.link.now(local_now);
        let left = self.memory.leases.left(taking.key, now);
        if left > 0 {
            verdict.met = true;
            verdict.remaining = verdict.remaining.saturating_add(left);
            verdict.retry_after = Duration::ZERO;
        }
        let waited = now.since(self.link.asked_at(ask));
        Ok(looked(&taking, &verdict, Source::Redis, local_now - waited))
    }

    /// Gives back up to `permits` of the permits that were taken in the last window. Returns the
    /// call that tells the store, if there is one; its reply goes to
    /// [`refunded`](Self::refunded).
    pub fn refund(
        &mut self,
        taking: Taking<'_>,
        permits: u64,
        local_now: Timestamp,
    ) -> Option<Ask> {
        let now = self.link.now(local_now);
        let (key, quota) = (taking.key, taking.quota());
        self.memory.denied.forget(key);
        if !self.link.exists() {
            self.memory.correct(key, quota, (0, permits), now);
            return None;
        }
        let look = Charge {
            role: Role::Peek,
            cost: 0,
            ..taking.charge()
        };
        let mut ask = self.link.call(now);
        ask.refund(&look, permits);
        Some(ask)
    }

    /// Reads the store's reply to a call of [`refund`](Self::refund).
    ///
    /// # Errors
    ///
    /// If it is unknown whether the permits were given back.
    pub fn refunded(ask: &Ask, reply: Value) -> Result<(), Error> {
        match ask.read(reply).map(|reply| reply.outcome) {
            Some(Outcome::Unsure) | None => Err(Error::from(ErrorKind::Protocol)),
            Some(_) => Ok(()),
        }
    }

    /// Forgets everything about a subject. Returns the key to delete in the store, if there is one.
    pub fn reset(&mut self, key: &str) -> Option<String> {
        self.memory.forget(key);
        self.link.exists().then(|| key.to_owned())
    }

    /// Takes the outcome of a call other than one of the script.
    pub fn heard(&mut self, error: Option<&Error>, local_now: Timestamp) {
        let now = self.link.now(local_now);
        self.link.heard(error, now);
    }
}

impl Taking<'_> {
    fn charge(&self) -> Charge {
        let quota = self.quota().permits;
        self.rule.charge(self.key.to_owned(), self.cost, quota)
    }

    fn quota(&self) -> crate::engine::limit::Quota {
        let mut quota = self.rule.quota();
        quota.permits = self.quota.unwrap_or(quota.permits);
        quota
    }
}

/// The charges, and for each taking the place of its charge. The store charges a state once in a
/// call, so takings of one state are one charge: of the lowest quota, and enforced if one of them
/// is.
fn charges(takings: &[Taking<'_>]) -> (Vec<Charge>, Vec<usize>) {
    let mut joined: Vec<Taking<'_>> = Vec::with_capacity(takings.len());
    let places = takings.iter().map(|taking| {
        let place = joined.iter().position(|known| known.key == taking.key);
        match place.and_then(|place| joined.get_mut(place)) {
            Some(known) => {
                known.cost = known.cost.saturating_add(taking.cost);
                let permits = known.quota().permits.min(taking.quota().permits);
                known.quota = Some(permits);
                if known.rule.is_shadow() {
                    known.rule = taking.rule;
                }
            }
            None => joined.push(*taking),
        }
        place.unwrap_or(joined.len() - 1)
    });
    let places = places.collect();
    (joined.iter().map(Taking::charge).collect(), places)
}

/// What a look at a state tells.
fn looked(taking: &Taking<'_>, verdict: &Verdict, source: Source, at: Timestamp) -> Told {
    Told {
        passes: verdict.met || taking.rule.is_shadow(),
        shadowed: !verdict.met && taking.rule.is_shadow(),
        limit: taking.quota().permits,
        remaining: verdict.remaining,
        reset: at + verdict.reset_after,
        retry_after: match taking.rule.is_shadow() {
            true => Duration::ZERO,
            false => verdict.retry_after,
        },
        source,
        reason: None,
    }
}

impl Decided {
    fn new(
        check: Check,
        places: Vec<usize>,
        (refusal, reason): Decision,
        at: Timestamp,
        now: Timestamp,
    ) -> Self {
        Self {
            check,
            places,
            refusal,
            reason,
            at,
            now,
        }
    }

    /// Whether the request may pass.
    pub const fn passes(&self) -> bool {
        self.refusal.is_none()
    }

    /// How long until the same request will pass; zero if it may pass.
    pub fn retry_after(&self) -> Duration {
        let wait = self.refusal.as_ref().map(Refusal::retry_after);
        wait.map_or(Duration::ZERO, |wait| (self.at + wait).since(self.now))
    }

    /// Why it may not pass, if so. Limits are named by the positions of their charges.
    pub const fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// For each taking the position of its charge.
    pub fn charges(&self) -> &[usize] {
        &self.places
    }

    /// Its limits, in the order in which they were taken.
    pub fn limits(&self) -> impl Iterator<Item = Told> {
        let refusal = self.refusal.as_ref();
        let told: Vec<_> = told(&self.check, refusal, self.reason, self.at, self.now).collect();
        self.places
            .iter()
            .filter_map(move |&n| told.get(n).copied())
    }
}

/// The limits of a request that is decided, in their order. `at`: when; `refusal`: why it may not
/// pass, if so; `reason`: why the store did not decide.
pub fn told(
    check: &Check,
    refusal: Option<&Refusal>,
    reason: Option<Reason>,
    at: Timestamp,
    now: Timestamp,
) -> impl Iterator<Item = Told> {
    check.limits().enumerate().map(move |(n, seen)| {
        let role = seen.map_or(Role::Enforce, |seen| seen.role);
        let limit = seen.map_or(0, |seen| seen.quota.permits);
        let verdict = seen.and_then(|seen| seen.verdict);
        let shadow = role == Role::Shadow;
        let refuses = match refusal {
            None => false,
            // No limit refuses: there is nothing that could count.
            Some(Refusal::StoreDown { .. }) => !shadow,
            Some(refusal) => refusal.violated().contains(&n),
        };
        let met = verdict.is_none_or(|verdict| verdict.met);
        let mut reset = at + verdict.map_or(Duration::ZERO, |v| v.reset_after);
        let mut retry_after = Duration::ZERO;
        if refuses {
            let whole = refusal.map(Refusal::retry_after);
            reset = at + whole.unwrap_or_default();
            retry_after = reset.since(now);
        }
        Told {
            passes: !refuses,
            shadowed: shadow && !met,
            limit,
            remaining: match (verdict, refuses) {
                (Some(verdict), _) => verdict.remaining,
                (None, true) => 0,
                (None, false) => limit,
            },
            reset,
            retry_after,
            source: check.source(),
            reason,
        }
    })
}
