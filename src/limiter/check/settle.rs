//! The calls that follow a request: they fetch permits ahead before these run out, give back the
//! permits of a failed request, charge the true cost, and return unspent permits.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::limit::lease::Unspent;
use crate::engine::limit::ledger::Debt;
use crate::engine::limit::{Bucket, Buckets, Charge, Lend, Role};
use crate::error::Error;
use crate::redis::Value;
use crate::store::{Ask, Link, Outcome, Reply};

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
    /// The states that it is about, in the order of the call.
    about: Vec<About>,
}

/// One state that a call is about.
#[derive(Debug)]
struct About {
    key: String,
    /// The window of the limit.
    window: Duration,
    /// Whether the call fetches permits ahead.
    fetches: bool,
    /// Permits that were given here, which the call tells.
    owed: u64,
}

impl Work {
    fn new(link: &mut Link, now: Timestamp) -> Self {
        Self {
            ask: link.call(now),
            about: Vec::new(),
        }
    }

    fn about(&mut self, bucket: &Bucket, window: Duration, fetches: bool) {
        self.about.push(About {
            key: bucket.key.clone(),
            window,
            fetches,
            owed: 0,
        });
    }

    /// Returns the unspent permits of clients that did not come back, and tells what was given
    /// here to others; `None` if there is nothing.
    pub fn returning(memory: &mut LimitMemory, link: &mut Link, now: Timestamp) -> Option<Self> {
        let overdue = memory.leases.overdue(RETURNS, now);
        let debts = memory.ledger.overdue(RETURNS - overdue.len(), now);
        if overdue.is_empty() && debts.is_empty() {
            return None;
        }
        let mut work = Self::new(link, now);
        work.give_back(overdue);
        work.tell(debts);
        Some(work)
    }

    fn tell(&mut self, debts: Vec<Debt>) {
        for debt in debts {
            let (key, permits) = (debt.key, 0);
            let bucket = Bucket { key, permits };
            self.about(&bucket, debt.window, false);
            if let Some(about) = self.about.last_mut() {
                about.owed = debt.permits;
            }
            let nothing = Charge::on(bucket, debt.window, 0).only_lending();
            let owed = debt.permits;
            self.ask.limit_owing(&nothing, Lend::NONE, &[], owed);
        }
    }

    fn give_back(&mut self, overdue: Vec<Unspent>) {
        for unspent in overdue {
            let (key, permits) = (unspent.key, 0);
            let bucket = Bucket { key, permits };
            self.about(&bucket, unspent.window, false);
            let nothing = Charge::on(bucket, unspent.window, 0).only_lending();
            self.ask.limit(&nothing, 0, &unspent.parts);
        }
    }

    /// Takes the store's reply, at `local_now` by the isolate's own clock. If there is none,
    /// permits that were to be given back stay charged until they leave the window, so no client
    /// gets too many. `tell` is told what the reply says.
    pub fn done(
        &self,
        reply: Result<Value, Error>,
        memory: &mut LimitMemory,
        link: &mut Link,
        local_now: Timestamp,
        tell: impl FnOnce(Option<&Reply>),
    ) {
        let received = link.received(&self.ask, reply, local_now);
        tell(received.as_ref().map(|(reply, _)| reply));
        let now = link.now(local_now);
        let is_told = received
            .as_ref()
            .is_some_and(|(reply, _)| reply.outcome != Outcome::Unsure);
        for about in self.about.iter().filter(|_| !is_told) {
            memory.ledger.owe(&about.key, about.owed, now);
        }
        let mut limits = received.map(|(reply, _)| reply.limits).unwrap_or_default();
        limits.resize(self.about.len(), None);
        let asked_at = link.asked_at(&self.ask);
        for (about, said) in self.about.iter().zip(limits) {
            let key = &about.key;
            if about.fetches {
                let granted = said.as_ref().and_then(|said| said.granted.as_ref());
                let permits = granted.map_or(0, |granted| granted.permits);
                memory.leases.fetched(key, permits, now);
            }
            let Some(said) = said else { continue };
            if about.fetches {
                memory.learn(key, &said, about.window, now);
            }
            if let Some(granted) = said.granted {
                memory.lent(key, about.window, granted, asked_at);
            }
        }
    }
}

impl Check {
    /// Fetches permits ahead before those of a lease are used up, for all limits of the request
    /// that need some soon. The same call returns permits of other clients that are overdue; if
    /// nobody else is about to return them, they are returned even if nothing is to be fetched.
    /// `None` if there is nothing to do. Call it after the request is admitted.
    pub fn fetch_ahead(
        &self,
        memory: &mut LimitMemory,
        link: &mut Link,
        now: Timestamp,
    ) -> Option<Work> {
        let paid_ahead = |slot: &&LimitCheck| matches!(slot.paid, Paid::Lease(_));
        let ahead = || self.slots.iter().filter(paid_ahead);
        if !ahead().any(|slot| slot.lend(memory, now).is_some()) {
            return match memory.is_sweep_due(now) || memory.ledger.is_due(now) {
                true => Work::returning(memory, link, now),
                false => None,
            };
        }
        let mut work = Work::new(link, now);
        for slot in ahead() {
            let (Some(bucket), lend) = (&slot.bucket, slot.lend_more(memory, now)) else {
                continue;
            };
            if !lend.is_some() {
                continue;
            }
            memory
                .leases
                .fetching(&bucket.key, now, link.longest_call());
            let back = memory.leases.take_unspent(&bucket.key, now);
            work.about(bucket, slot.charge.window, true);
            let charge = Charge {
                buckets: Buckets::One(bucket.clone()),
                ..slot.charge.only_lending()
            };
            work.ask.limit(&charge, lend, &back);
        }
        work.give_back(memory.leases.overdue(RETURNS, now));
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
        self.settle_each(|_| cost, memory, link, now)
    }

    /// The same with a cost for each limit, which is named by its position among the charges.
    pub fn settle_each(
        &mut self,
        cost: impl Fn(usize) -> u64,
        memory: &mut LimitMemory,
        link: &mut Link,
        now: Timestamp,
    ) -> Option<Work> {
        let mut work: Option<Work> = None;
        for (place, slot) in self.slots.iter_mut().enumerate() {
            let cost = cost(place);
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
            let is_met = slot.verdict.as_ref().is_some_and(|verdict| verdict.met);
            match &mut slot.paid {
                // There is no receipt of nothing.
                Paid::No if charged == 0 && is_met => done = false,
                Paid::No | Paid::Before => continue,
                Paid::Local => {
                    let quota = slot.charge.quota(&bucket);
                    memory.correct(&bucket.key, quota, (more, less), now);
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
                let work = work.get_or_insert_with(|| Work::new(link, now));
                work.about(&bucket, slot.charge.window, false);
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
