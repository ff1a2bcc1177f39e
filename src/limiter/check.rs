//! The limits of one request: what memory knows of them, what the store says, how they are decided
//! without it, and what is corrected afterwards.

mod crowd;
mod limit_check;
mod local;
mod origin;
mod recall;
mod refusal;
pub mod settle;

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::limit::crowd::Patience;
use crate::engine::limit::{Bucket, Charge, Quota, Role, Source, Verdict};
use crate::engine::registry::{RecordNames, Standing};

use super::memory::LimitMemory;
use crate::store::{Ask, Link, Outcome, Reply};

use limit_check::{LimitCheck, Paid};
pub use refusal::Refusal;

/// The limits of a request, and the result of each.
#[derive(Debug)]
pub struct Check {
    slots: Vec<LimitCheck>,
    /// The store's record of the client's API key, if only registered keys count.
    record: Option<RecordNames>,
    standing: Standing,
    /// Whether `standing` is recent enough to act upon without asking the store.
    standing_known: bool,
    /// The slots that the latest [`Ask`] is about, in its order.
    asked: Vec<usize>,
    /// How the request has waited for calls of others.
    patience: Patience,
    /// The keys about which a call is on its way.
    calling: Vec<String>,
    source: Source,
}

/// One limit as callers see it.
#[derive(Debug, Clone, Copy)]
pub struct LimitView<'a> {
    /// The key of the state in which the request counts.
    pub key: &'a str,
    /// The quota of this client.
    pub quota: Quota,
    /// The decision, if there is one yet.
    pub verdict: Option<&'a Verdict>,
    /// What the limit is for.
    pub role: Role,
}

impl Check {
    /// A request with these charges. `record` is the store's record of the client's API key, if
    /// only registered keys count.
    pub fn new(
        charges: Vec<Charge>,
        record: Option<RecordNames>,
        memory: &LimitMemory,
        now: Timestamp,
    ) -> Self {
        let known = record
            .as_ref()
            .and_then(|names| memory.standing(names.current(), now));
        let (standing, standing_known) = match known {
            Some((standing, recent)) => (standing.clone(), recent),
            None => (Standing::Unregistered, record.is_none()),
        };
        let slot = |charge: Charge| LimitCheck {
            bucket: charge.bucket(&standing),
            charge,
            verdict: None,
            paid: Paid::No,
            fetches: false,
            owed: 0,
        };
        Self {
            slots: charges.into_iter().map(slot).collect(),
            record,
            standing,
            standing_known,
            asked: Vec::new(),
            patience: Patience::default(),
            calling: Vec::new(),
            source: Source::None,
        }
    }

    /// A request without limits.
    pub fn free() -> Self {
        Self {
            slots: Vec::new(),
            record: None,
            standing: Standing::Unregistered,
            standing_known: true,
            asked: Vec::new(),
            patience: Patience::default(),
            calling: Vec::new(),
            source: Source::None,
        }
    }

    /// What decided.
    pub const fn source(&self) -> Source {
        self.source
    }

    /// The limits, in the order of the charges; `None` for each that does not apply.
    pub fn limits(&self) -> impl Iterator<Item = Option<LimitView<'_>>> {
        self.slots.iter().map(|slot| {
            let bucket = slot.bucket.as_ref()?;
            Some(LimitView {
                key: &bucket.key,
                quota: slot.charge.quota(bucket),
                verdict: slot.verdict.as_ref(),
                role: slot.charge.role,
            })
        })
    }

    /// The permits fetched ahead that the limit at this place took.
    pub fn spent(&self, place: usize) -> u64 {
        let slot = self.slots.get(place);
        let slot = slot.filter(|slot| matches!(slot.paid, Paid::Lease(_)));
        slot.map_or(0, |slot| slot.charge.cost)
    }

    /// Asks the store about everything that is undecided. `origin`: asks too whether the origin may
    /// be called.
    pub fn ask(
        &mut self,
        origin: bool,
        memory: &mut LimitMemory,
        link: &mut Link,
        now: Timestamp,
    ) -> Ask {
        let sure = self.standing_known;
        self.ask_about(memory, link, now, |slot| match slot.charge.role {
            Role::Origin => origin && slot.is_unpaid() && slot.verdict.is_none(),
            _ => slot.is_open(sure),
        })
    }

    /// Asks the store only whether the origin may be called.
    pub fn ask_origin(&mut self, memory: &mut LimitMemory, link: &mut Link, now: Timestamp) -> Ask {
        self.ask_about(memory, link, now, |slot| slot.charge.role == Role::Origin)
    }

    fn ask_about(
        &mut self,
        memory: &mut LimitMemory,
        link: &mut Link,
        now: Timestamp,
        wanted: impl Fn(&LimitCheck) -> bool,
    ) -> Ask {
        let mut ask = link.call(now);
        let until = now + link.timeout();
        self.asked.clear();
        for (n, slot) in self.slots.iter_mut().enumerate() {
            let (is_wanted, sure) = (wanted(slot), self.standing_known);
            let mut lend = match is_wanted {
                true => slot.lend(memory, now),
                false => slot.lend_more(memory, now),
            };
            if !is_wanted && !lend.is_some() {
                continue;
            }
            self.asked.push(n);
            let mut back = Vec::new();
            if let (Some(bucket), true) = (&slot.bucket, slot.charge.leased) {
                if lend.is_some() {
                    // Of concurrent requests only one fetches permits ahead. Otherwise the first
                    // would fetch for later requests what the others need now.
                    slot.fetches = true;
                    memory
                        .leases
                        .fetching(&bucket.key, now, link.longest_call());
                }
                if sure || slot.charge.is_settled() {
                    back = memory.leases.take_unspent(&bucket.key, now);
                }
            }
            if let (Some(bucket), true) = (&slot.bucket, sure || slot.charge.is_settled()) {
                slot.owed = memory.ledger.take_debt(&bucket.key, now);
                if is_wanted && slot.is_open(sure) {
                    self.calling.push(bucket.key.clone());
                    let who = (slot.charge.cost, self.patience);
                    let waiting = memory.crowds.begun(&bucket.key, who, until, now);
                    lend.permits = lend.permits.saturating_add(waiting.permits);
                    lend.rush = waiting.permits;
                }
            }
            match is_wanted {
                true => ask.limit_owing(&slot.charge, lend, &back, slot.owed),
                // It charges nothing now, and refuses nothing.
                false => ask.limit_owing(&slot.charge.only_lending(), lend, &back, slot.owed),
            }
        }
        if let (Some(record), false) = (&self.record, self.asked.is_empty()) {
            ask.record(record);
        }
        ask
    }

    /// Takes the store's decision and remembers it. `None`: the store could not tell.
    ///
    /// # Errors
    ///
    /// The refusal of the request.
    pub fn decided(
        &mut self,
        reply: &mut Reply,
        asked_at: Timestamp,
        memory: &mut LimitMemory,
        now: Timestamp,
    ) -> Result<Option<()>, Refusal> {
        if reply.outcome == Outcome::Unsure {
            self.gave_up(memory, now);
            return Ok(None);
        }
        if let (Some(record), false) = (&self.record, self.asked.is_empty()) {
            self.standing = reply.standing.clone();
            self.standing_known = true;
            memory.learn_standing(record.current(), self.standing.clone(), now);
        }
        self.answered(asked_at, memory, now);
        let asked = std::mem::take(&mut self.asked);
        for (n, said) in asked.into_iter().zip(reply.limits.drain(..)) {
            let Some(slot) = self.slots.get_mut(n) else {
                continue;
            };
            slot.owed = 0;
            if matches!(slot.paid, Paid::Lease(_)) {
                if let (Some(said), Some(bucket)) = (said, slot.charge.bucket(&self.standing)) {
                    slot.renewed(bucket, said, asked_at, memory, now);
                }
                continue;
            }
            slot.bucket = slot.charge.bucket(&self.standing);
            match (said, &slot.bucket) {
                (Some(said), Some(bucket)) => {
                    let bucket = Bucket {
                        key: bucket.key.clone(),
                        permits: said.quota,
                    };
                    slot.take(bucket, said, asked_at, memory, now);
                    if reply.outcome == Outcome::Repeated {
                        slot.paid = Paid::Before;
                    }
                    if slot.charge.role != Role::Origin {
                        self.source = Source::Redis;
                    }
                }
                _ => slot.bucket = None,
            }
        }
        // If the key had to be looked up, only now is it known where the client is counted. The
        // charge stays: to give it back would cost more than the hold saves.
        if let Some(held) = self.held_after_all(memory, now) {
            return Err(held);
        }
        if reply.outcome != Outcome::Refused {
            return Ok(Some(()));
        }
        let refusal = self.refused(Source::Redis, memory);
        let hold = self.penalise(refusal.violated(), memory, now);
        Err(refusal.with_hold(hold))
    }

    /// Whether the windows of a process without a store would let the request pass. Nothing is
    /// charged.
    pub fn would_pass(&self, memory: &mut LimitMemory, now: Timestamp) -> bool {
        let takes: Vec<_> = self
            .slots
            .iter()
            .filter_map(LimitCheck::take_here)
            .collect();
        let all: Vec<_> = takes.iter().collect();
        let windows = &mut memory.windows;
        windows
            .as_mut()
            .is_none_or(|windows| windows.would_admit(&all, now))
    }

    /// The refusal that follows from the verdicts, at least one of which refuses. Permits taken
    /// from leases are put back.
    fn refused(&mut self, source: Source, memory: &mut LimitMemory) -> Refusal {
        self.put_back(memory);
        let refuses = |slot: &LimitCheck| {
            slot.charge.role == Role::Enforce && slot.verdict.as_ref().is_some_and(|v| !v.met)
        };
        let all = self.slots.iter().enumerate();
        let violated: Vec<_> = all
            .filter(|(_, slot)| refuses(slot))
            .map(|(n, _)| n)
            .collect();
        self.source = source;
        if violated.is_empty() {
            let retry_after = self.origin_refused().unwrap_or_default();
            return Refusal::Origin { retry_after };
        }
        let waits = violated.iter().filter_map(|n| self.slots.get(*n));
        let waits = waits.filter_map(|slot| slot.verdict.as_ref().map(|v| v.retry_after));
        Refusal::Quota {
            retry_after: waits.max().unwrap_or_default(),
            violated,
        }
    }

    /// Counts a refusal. Returns how long the client is held off because of it, if it is.
    fn penalise(
        &self,
        violated: &[usize],
        memory: &mut LimitMemory,
        now: Timestamp,
    ) -> Option<Duration> {
        let slots = violated.iter().filter_map(|n| self.slots.get(*n));
        let holds = slots.filter_map(|slot| {
            let (rule, bucket) = (slot.charge.penalty?, slot.bucket.as_ref()?);
            let window = slot.charge.window;
            memory.penalties.refused(&bucket.key, rule, window, now)
        });
        holds.map(|until| until.since(now)).max()
    }

    /// Puts back the permits that a refused request took from a lease.
    fn put_back(&mut self, memory: &mut LimitMemory) {
        for slot in &mut self.slots {
            if let (Paid::Lease(spent), Some(bucket)) = (&mut slot.paid, &slot.bucket) {
                let back = memory.leases.put_back(&bucket.key, spent, slot.charge.cost);
                if let Some(verdict) = &mut slot.verdict {
                    verdict.remaining = verdict.remaining.saturating_add(back);
                }
                slot.paid = Paid::No;
            }
        }
    }
}
