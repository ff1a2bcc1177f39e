//! The calls that follow a request: they fetch permits ahead before these run out, give back the
//! permits of a failed request, charge the true cost, and return unspent permits.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::limit::sliding_window::Cut;
use crate::engine::limit::{Bucket, Charge, Role};
use crate::error::Error;
use crate::redis::Value;
use crate::store::{Ask, Link};

use super::super::memory::LimitMemory;
use super::Check;
use super::limit_check::{LimitCheck, Paid};

/// The largest number of subjects whose unspent permits are returned in one call.
const RETURNS: usize = 16;

/// A call of the script that no client waits for.
#[derive(Debug)]
pub struct Work {
    /// The call.
    pub ask: Ask,
    /// The keys of the states that it is about, with the windows of their limits.
    about: Vec<(String, Duration)>,
    /// Whether it fetches permits ahead.
    fetches: bool,
}

impl Work {
    fn new(link: &mut Link, now: Timestamp, fetches: bool) -> Self {
        Self {
            ask: link.call(now),
            about: Vec::new(),
            fetches,
        }
    }

    fn about(&mut self, bucket: &Bucket, window: Duration) {
        self.about.push((bucket.key.clone(), window));
    }

    /// Returns the unspent permits of clients that did not come back; `None` if there are none.
    pub fn returning(memory: &mut LimitMemory, link: &mut Link, now: Timestamp) -> Option<Self> {
        let overdue = memory.leases.overdue(RETURNS, now);
        if overdue.is_empty() {
            return None;
        }
        let mut work = Self::new(link, now, false);
        for unspent in overdue {
            let (key, permits) = (unspent.key, 0);
            let bucket = Bucket { key, permits };
            work.about(&bucket, unspent.window);
            let look = Charge {
                role: Role::Peek,
                ..Charge::on(bucket, unspent.window, 0)
            };
            work.ask.limit(&look, 0, &unspent.parts);
        }
        Some(work)
    }

    /// Takes the store's reply, at `local_now` by the isolate's own clock. If there is none,
    /// permits that were to be given back stay charged until they leave the window, so no client
    /// gets too many.
    pub fn done(
        &self,
        reply: Result<Value, Error>,
        memory: &mut LimitMemory,
        link: &mut Link,
        local_now: Timestamp,
    ) {
        let received = link.received(&self.ask, reply, local_now);
        let now = link.now(local_now);
        let mut limits = received.map(|(reply, _)| reply.limits).unwrap_or_default();
        limits.resize(self.about.len(), None);
        let asked_at = link.asked_at(&self.ask);
        for ((key, window), said) in self.about.iter().zip(limits) {
            if self.fetches {
                let granted = said.as_ref().and_then(|said| said.granted.as_ref());
                let permits = granted.map_or(0, |granted| granted.permits);
                memory.leases.fetched(key, permits, now);
            }
            let Some(said) = said else { continue };
            if self.fetches {
                memory.fallback.learn(key, &said.verdict, now);
            }
            if let Some(granted) = said.granted {
                memory.lent(key, *window, granted, asked_at);
            }
        }
    }
}

impl Check {
    /// Fetches permits ahead for a client that spends them fast; `None` if enough are left, or
    /// another call is fetching already. Call it after the request is admitted.
    pub fn fetch_ahead(
        &self,
        memory: &mut LimitMemory,
        link: &mut Link,
        now: Timestamp,
    ) -> Option<Work> {
        let paid_ahead = |slot: &&LimitCheck| matches!(slot.paid, Paid::Lease(_));
        let mut fetches = Vec::new();
        for slot in self.slots.iter().filter(paid_ahead) {
            let Some(bucket) = &slot.bucket else { continue };
            let term = Cut::of(slot.charge.window).lease();
            let wanted = memory.leases.wanted(&bucket.key, term, now);
            if wanted > 0 {
                fetches.push((slot, bucket, wanted));
            }
        }
        if fetches.is_empty() {
            return None;
        }
        let mut work = Work::new(link, now, true);
        for (slot, bucket, wanted) in fetches {
            memory
                .leases
                .fetching(&bucket.key, now, link.longest_call());
            let back = memory.leases.take_unspent(&bucket.key, now);
            let window = slot.charge.window;
            work.about(bucket, window);
            let charge = Charge {
                unlent: slot.charge.unlent,
                ..Charge::on(bucket.clone(), window, 0)
            };
            work.ask.limit(&charge, wanted, &back);
        }
        Some(work)
    }

    /// Corrects the charge of the request to `cost` permits of each limit; zero gives everything
    /// back. Returns the call that tells the store, if one is needed.
    pub fn settle(
        &mut self,
        cost: u64,
        memory: &mut LimitMemory,
        link: &mut Link,
        now: Timestamp,
    ) -> Option<Work> {
        let mut work: Option<Work> = None;
        for slot in &mut self.slots {
            let charged = slot.charge.cost;
            let Some(bucket) = slot.bucket.clone().filter(|_| charged != cost) else {
                continue;
            };
            if slot.charge.role == Role::Origin {
                continue;
            }
            let (more, less) = (cost.saturating_sub(charged), charged.saturating_sub(cost));
            if less > 0 {
                // Clients that were refused meanwhile may pass earlier than they were told.
                memory.denied.forget(&bucket.key);
            }
            let (mut back, mut done) = (Vec::new(), true);
            match &mut slot.paid {
                Paid::No | Paid::Before => continue,
                Paid::Local => {
                    let by = i64::try_from(more.max(less)).unwrap_or(i64::MAX);
                    let by = if less > 0 { -by } else { by };
                    let quota = slot.charge.quota(&bucket);
                    memory.fallback.correct(&bucket.key, quota, by, now);
                }
                Paid::Lease(spent) if less > 0 => {
                    memory.leases.put_back(&bucket.key, spent, less);
                }
                Paid::Lease(_) => done = memory.leases.spend(&bucket.key, more, now).is_some(),
                Paid::Store(receipt) => {
                    done = false;
                    if less > 0 {
                        back.push((receipt.clone(), less));
                    }
                }
            }
            if !done {
                let work = work.get_or_insert_with(|| Work::new(link, now, false));
                work.about(&bucket, slot.charge.window);
                let charge = Charge {
                    role: Role::Settle,
                    ..Charge::on(bucket, slot.charge.window, more)
                };
                work.ask.limit(&charge, 0, &back);
            }
            slot.charge.cost = cost;
            if let Some(verdict) = &mut slot.verdict {
                let left = verdict.remaining.saturating_add(less);
                verdict.remaining = left.saturating_sub(more);
            }
        }
        work
    }
}
