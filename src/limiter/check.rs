//! One request before its limits: what memory knows, what the store says, or what is decided without
//! it; and what of it is put right afterwards.

mod afterwards;

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::limit::fallback::Take;
use crate::engine::limit::lease::Spent;
use crate::engine::limit::sliding_window::Cut;
use crate::engine::limit::{Bucket, Charge, OnFailure, Quota, Receipt, Role, Source, Verdict};
use crate::engine::registry::Standing;

use super::{Ask, LimitReply, Memory, Outcome, Reply};

pub use afterwards::Work;

/// A request's limits, and how it fared with each.
#[derive(Debug)]
pub struct Check {
    slots: Vec<Slot>,
    /// The record of the client's API key, where only registered ones count.
    record: Option<String>,
    standing: Standing,
    /// Whether that is recent enough to act upon without the store.
    standing_known: bool,
    /// The slots that an [`Ask`] is about, in its order.
    asked: Vec<usize>,
    source: Source,
}

/// One limit of a request.
#[derive(Debug)]
struct Slot {
    charge: Charge,
    /// Where it counts, as far as is known; `None`: it does not apply.
    bucket: Option<Bucket>,
    verdict: Option<Verdict>,
    paid: Paid,
}

/// Where the permits of a request came from.
#[derive(Debug)]
enum Paid {
    /// They were not taken.
    No,
    /// From those that were fetched ahead.
    Lease(Spent),
    /// From the store.
    Store(Receipt),
    /// From the local limits.
    Local,
    /// From the store, by an earlier call: where is not known.
    Before,
}

/// One limit as it looks from outside.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The key of the state in which the request counts.
    pub key: &'a str,
    /// The quota of this client.
    pub quota: Quota,
    /// What was decided, if it was.
    pub verdict: Option<&'a Verdict>,
    /// What it is for.
    pub role: Role,
}

/// Why a request is not admitted. Limits are named by their places among the charges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A quota is used up.
    Quota {
        /// The limits that refuse.
        violated: Vec<usize>,
        /// When the same request will be admitted.
        retry_after: Duration,
    },
    /// The store fails, and the local limits, which are lower, are used up.
    Reduced {
        /// The limits that refuse.
        violated: Vec<usize>,
        /// When the same request will be admitted.
        retry_after: Duration,
    },
    /// The client is held off, because it went on after refusals.
    Held {
        /// The limits that it went on against.
        violated: Vec<usize>,
        /// When the same request will be looked at again.
        retry_after: Duration,
    },
    /// The store fails, and a limit is closed then.
    StoreDown {
        /// When the store is asked again.
        retry_after: Duration,
    },
    /// The origin would have to be called, and has been called as often as it may.
    Origin {
        /// When it may be called again.
        retry_after: Duration,
    },
}

impl Refusal {
    /// How long until the same request is admitted, or looked at again.
    pub const fn retry_after(&self) -> Duration {
        match self {
            Self::Quota { retry_after, .. }
            | Self::Reduced { retry_after, .. }
            | Self::Held { retry_after, .. }
            | Self::StoreDown { retry_after }
            | Self::Origin { retry_after } => *retry_after,
        }
    }
}

impl Check {
    /// A request that counts like this. `record`: the store's record of the client's API key, where
    /// only registered ones count.
    pub fn new(
        charges: Vec<Charge>,
        record: Option<String>,
        memory: &Memory,
        now: Timestamp,
    ) -> Self {
        let known = record.as_ref().and_then(|key| memory.standing(key, now));
        let (standing, standing_known) = match known {
            Some((standing, recent)) => (standing.clone(), recent),
            None => (Standing::Unregistered, record.is_none()),
        };
        let slot = |charge: Charge| Slot {
            bucket: charge.bucket(&standing),
            charge,
            verdict: None,
            paid: Paid::No,
        };
        Self {
            slots: charges.into_iter().map(slot).collect(),
            record,
            standing,
            standing_known,
            asked: Vec::new(),
            source: Source::None,
        }
    }

    /// No limits at all.
    pub const fn free() -> Self {
        Self {
            slots: Vec::new(),
            record: None,
            standing: Standing::Unregistered,
            standing_known: true,
            asked: Vec::new(),
            source: Source::None,
        }
    }

    /// Who decided.
    pub const fn source(&self) -> Source {
        self.source
    }

    /// The limits, in the order of the charges; `None` for those that do not apply.
    pub fn limits(&self) -> impl Iterator<Item = Option<Seen<'_>>> {
        self.slots.iter().map(|slot| {
            let bucket = slot.bucket.as_ref()?;
            Some(Seen {
                key: &bucket.key,
                quota: slot.charge.quota(bucket),
                verdict: slot.verdict.as_ref(),
                role: slot.charge.role,
            })
        })
    }

    /// Decides as far as memory can: what is held off or refused before is refused again, and permits
    /// that were fetched ahead are spent. Whether the store has to be asked about the rest.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub fn recall(&mut self, memory: &mut Memory, now: Timestamp) -> Result<bool, Refusal> {
        self.refused_before(memory, now)?;
        let sure = self.standing_known;
        for slot in &mut self.slots {
            let Some(bucket) = slot.bucket.as_ref() else {
                continue;
            };
            if !slot.charge.leased || !(sure || slot.charge.is_settled()) {
                continue;
            }
            let (key, cost) = (&bucket.key, slot.charge.cost);
            let term = Cut::of(slot.charge.window).lease();
            memory.leases.demand(key, cost, term, now);
            if let Some(spent) = memory.leases.spend(key, cost, now) {
                slot.verdict = Some(slot.leased_verdict(bucket, spent.left, memory, now));
                slot.paid = Paid::Lease(spent);
                self.source = Source::Lease;
            }
        }
        Ok(self.slots.iter().any(|slot| slot.is_open(sure)))
    }

    fn refused_before(&mut self, memory: &mut Memory, now: Timestamp) -> Result<(), Refusal> {
        let sure = self.standing_known;
        let (mut held, mut denied) = (Vec::new(), Vec::new());
        for (n, slot) in self.slots.iter().enumerate() {
            let Some(bucket) = slot.enforced_bucket(sure) else {
                continue;
            };
            let until = memory.penalties.held_until(&bucket.key, now);
            if let Some(until) = until.filter(|_| slot.charge.penalty.is_some()) {
                held.push((n, until.since(now)));
            }
            let enough = slot.enough(bucket);
            let refused = memory
                .denied
                .refused_until(&bucket.key, slot.charge.cost, enough, now);
            if let Some(until) = refused {
                denied.push((n, until.since(now)));
            }
        }
        if held.is_empty() && denied.is_empty() {
            return Ok(());
        }
        self.source = Source::Blocked;
        let longest = |list: &[(usize, Duration)], at| {
            let waits = list.iter().filter(|(n, _)| *n == at).map(|(_, wait)| *wait);
            waits.max()
        };
        for (n, slot) in self.slots.iter_mut().enumerate() {
            let Some(bucket) = slot.bucket.as_ref() else {
                continue;
            };
            // A refusal may outlast its window by some sub-buckets.
            let lately = slot.charge.window.saturating_mul(2);
            let known = memory.fallback.last_known(&bucket.key, lately, now);
            let wait = longest(&held, n).max(longest(&denied, n));
            slot.verdict = match (known, wait) {
                (known, Some(wait)) => Some(Verdict {
                    met: false,
                    remaining: known.map_or(0, |known| known.remaining),
                    retry_after: wait,
                    reset_after: wait,
                }),
                (Some(known), None) => Some(Verdict { met: true, ..known }),
                (None, None) => None,
            };
        }
        let places = |list: &[(usize, Duration)]| list.iter().map(|(n, _)| *n).collect();
        let wait = |list: &[(usize, Duration)]| list.iter().map(|(_, wait)| *wait).max();
        if !held.is_empty() {
            return Err(Refusal::Held {
                violated: places(&held),
                retry_after: wait(&held).max(wait(&denied)).unwrap_or_default(),
            });
        }
        let violated: Vec<usize> = places(&denied);
        let hold = self.penalise(&violated, memory, now);
        Err(Refusal::Quota {
            violated,
            retry_after: wait(&denied).max(hold).unwrap_or_default(),
        })
    }

    /// Asks the store about all that is open; `origin`: also whether the origin may be called.
    pub fn ask(&mut self, origin: bool, memory: &mut Memory, now: Timestamp) -> Ask {
        let sure = self.standing_known;
        self.ask_about(memory, now, |slot| match slot.charge.role {
            Role::Origin => origin && slot.is_unpaid() && slot.verdict.is_none(),
            _ => slot.is_open(sure),
        })
    }

    /// Asks the store whether the origin may be called, and nothing else.
    pub fn ask_origin(&mut self, memory: &mut Memory, now: Timestamp) -> Ask {
        self.ask_about(memory, now, |slot| slot.charge.role == Role::Origin)
    }

    fn ask_about(
        &mut self,
        memory: &mut Memory,
        now: Timestamp,
        wanted: impl Fn(&Slot) -> bool,
    ) -> Ask {
        let mut ask = memory.call(now);
        let slots = self.slots.iter().enumerate();
        let asked: Vec<_> = slots.filter(|(_, slot)| wanted(slot)).collect();
        for (_, slot) in &asked {
            let (mut lend, mut back) = (0, Vec::new());
            let sure = self.standing_known || slot.charge.is_settled();
            if let (Some(bucket), true) = (&slot.bucket, slot.charge.leased && sure) {
                let term = Cut::of(slot.charge.window).lease();
                lend = memory.leases.wanted(&bucket.key, term, now);
                back = memory.leases.take_unspent(&bucket.key, now);
            }
            ask.limit(&slot.charge, lend, &back);
        }
        self.asked = asked.into_iter().map(|(n, _)| n).collect();
        if let (Some(record), false) = (&self.record, self.asked.is_empty()) {
            ask.record(record);
        }
        ask
    }

    /// Takes what the store said, and remembers it. `None`: it could not tell.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub fn decided(
        &mut self,
        reply: &mut Reply,
        asked_at: Timestamp,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<Option<()>, Refusal> {
        if reply.outcome == Outcome::Unsure {
            return Ok(None);
        }
        if let (Some(record), false) = (&self.record, self.asked.is_empty()) {
            self.standing = reply.standing.clone();
            self.standing_known = true;
            memory.learn_standing(record, self.standing.clone(), now);
        }
        let asked = std::mem::take(&mut self.asked);
        for (n, said) in asked.into_iter().zip(reply.limits.drain(..)) {
            let Some(slot) = self.slots.get_mut(n) else {
                continue;
            };
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
        if reply.outcome != Outcome::Refused {
            return Ok(Some(()));
        }
        Err(self.refused(Source::Redis, memory, now))
    }

    /// Decides what is open without the store: absent, or failing for the next `down_for`.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub fn locally(
        &mut self,
        memory: &mut Memory,
        now: Timestamp,
        down_for: Option<Duration>,
    ) -> Result<(), Refusal> {
        let mut places = Vec::new();
        for (n, slot) in self.slots.iter_mut().enumerate() {
            if !slot.is_open(true) || slot.bucket.is_none() {
                continue;
            }
            match (down_for, slot.charge.on_failure) {
                (Some(retry_after), OnFailure::Closed) if slot.charge.role == Role::Enforce => {
                    self.put_back(memory);
                    return Err(Refusal::StoreDown { retry_after });
                }
                (Some(_), OnFailure::Open | OnFailure::Closed) => {}
                (None, _) | (_, OnFailure::Local) => places.push(n),
            }
        }
        let takes = places
            .iter()
            .filter_map(|n| self.slots.get(*n)?.take_here());
        let takes: Vec<_> = takes.collect();
        let verdicts = memory
            .fallback
            .admit(&takes.iter().collect::<Vec<_>>(), now);
        let admitted = takes
            .iter()
            .zip(&verdicts)
            .all(|(t, v)| v.met || !t.enforced);
        for (n, verdict) in places.into_iter().zip(verdicts) {
            self.source = Source::Local;
            if let Some(slot) = self.slots.get_mut(n) {
                if admitted && verdict.met {
                    slot.paid = Paid::Local;
                }
                slot.verdict = Some(verdict);
            }
        }
        if admitted {
            return Ok(());
        }
        Err(match (self.refused(Source::Local, memory, now), down_for) {
            (
                Refusal::Quota {
                    violated,
                    retry_after,
                },
                Some(_),
            ) => Refusal::Reduced {
                violated,
                retry_after,
            },
            (refusal, _) => refusal,
        })
    }

    /// Whether a call of the origin is limited.
    fn origin(&self) -> Option<usize> {
        let is_origin = |slot: &Slot| slot.charge.role == Role::Origin;
        self.slots.iter().position(is_origin)
    }

    /// Whether the origin must not be called before the store was asked, or not at all.
    pub fn origin_unpaid(&self) -> bool {
        let slot = self.origin().and_then(|n| self.slots.get(n));
        slot.is_some_and(Slot::is_unpaid)
    }

    /// The origin is to be called once more, which has to be allowed again.
    pub fn origin_again(&mut self) {
        if let Some(slot) = self.origin().and_then(|n| self.slots.get_mut(n)) {
            slot.paid = Paid::No;
            slot.verdict = None;
        }
    }

    /// How long the origin must not be called, if that is known.
    pub fn origin_refused(&self) -> Option<Duration> {
        let verdict = self.slots.get(self.origin()?)?.verdict.as_ref()?;
        (!verdict.met).then_some(verdict.retry_after)
    }

    /// Whether memory knows that the origin must not be called.
    pub fn recall_origin(&mut self, memory: &mut Memory, now: Timestamp) {
        let Some(slot) = self.origin().and_then(|n| self.slots.get_mut(n)) else {
            return;
        };
        let Some(bucket) = &slot.bucket else { return };
        let refused =
            memory
                .denied
                .refused_until(&bucket.key, slot.charge.cost, bucket.permits, now);
        if let Some(until) = refused {
            slot.verdict = Some(Verdict {
                met: false,
                remaining: 0,
                retry_after: until.since(now),
                reset_after: until.since(now),
            });
        }
    }

    /// Decides without the store whether the origin may be called.
    pub fn origin_locally(&mut self, memory: &mut Memory, now: Timestamp) {
        let Some(slot) = self.origin().and_then(|n| self.slots.get_mut(n)) else {
            return;
        };
        let take = slot.take_here();
        let verdict = take.and_then(|take| memory.fallback.admit(&[&take], now).pop());
        if verdict.as_ref().is_some_and(|verdict| verdict.met) {
            slot.paid = Paid::Local;
        }
        slot.verdict = verdict;
    }

    /// What comes of verdicts of which one refuses: nothing stays charged, and all is remembered.
    fn refused(&mut self, source: Source, memory: &mut Memory, now: Timestamp) -> Refusal {
        self.put_back(memory);
        let refuses = |slot: &Slot| {
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
        let wait = waits.max();
        let hold = self.penalise(&violated, memory, now);
        Refusal::Quota {
            violated,
            retry_after: wait.max(hold).unwrap_or_default(),
        }
    }

    /// Counts a refusal; for how long the client is held off by it, if it is.
    fn penalise(
        &self,
        violated: &[usize],
        memory: &mut Memory,
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

    /// Puts permits that were fetched ahead back, for a request that is refused.
    fn put_back(&mut self, memory: &mut Memory) {
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

impl Slot {
    const fn is_unpaid(&self) -> bool {
        matches!(self.paid, Paid::No)
    }

    /// Whether somebody has still to decide about this limit. `sure`: whether it is known where the
    /// client counts.
    const fn is_open(&self, sure: bool) -> bool {
        let applies = self.bucket.is_some() || !sure;
        self.is_unpaid() && applies && !matches!(self.charge.role, Role::Origin)
    }

    /// Where a refusal of this limit would count, if that is known.
    fn enforced_bucket(&self, sure: bool) -> Option<&Bucket> {
        let known = sure || self.charge.is_settled();
        let enforced = self.charge.role == Role::Enforce;
        self.bucket.as_ref().filter(|_| known && enforced)
    }

    /// How many permits of the bucket are for this request.
    const fn enough(&self, bucket: &Bucket) -> u64 {
        let quota = self.charge.quota(bucket);
        quota.without(self.charge.kept).permits
    }

    /// What is taken from the local limits.
    fn take_here(&self) -> Option<Take<'_>> {
        let bucket = self.bucket.as_ref()?;
        Some(Take {
            key: &bucket.key,
            quota: self.charge.quota(bucket),
            kept: self.charge.kept,
            cost: self.charge.cost,
            enforced: matches!(self.charge.role, Role::Enforce | Role::Origin),
        })
    }

    /// Takes what the store says of this limit, and remembers it.
    fn take(
        &mut self,
        bucket: Bucket,
        said: LimitReply,
        asked_at: Timestamp,
        memory: &mut Memory,
        now: Timestamp,
    ) {
        let mut verdict = said.verdict;
        memory.fallback.learn(&bucket.key, &verdict, now);
        if !verdict.met {
            let (cost, enough) = (self.charge.cost, self.enough(&bucket));
            let until = now + verdict.retry_after;
            memory
                .denied
                .remember(&bucket.key, cost, enough, now, until);
        }
        if let Some(granted) = said.granted {
            memory.lent(&bucket.key, self.charge.window, granted, asked_at);
        }
        if self.charge.leased {
            let lent = memory.leases.left(&bucket.key, now);
            verdict.remaining = verdict.remaining.saturating_add(lent);
        }
        if let Some(receipt) = said.receipt.filter(|_| verdict.met) {
            self.paid = Paid::Store(receipt);
        }
        self.verdict = Some(verdict);
        self.bucket = Some(bucket);
    }

    /// What a client is told whose request was paid for in advance: what the store knew to be left,
    /// and what is at hand here.
    fn leased_verdict(
        &self,
        bucket: &Bucket,
        left: u64,
        memory: &Memory,
        now: Timestamp,
    ) -> Verdict {
        let known = memory
            .fallback
            .last_known(&bucket.key, self.charge.window, now);
        let known = known.filter(|known| known.met);
        Verdict {
            met: true,
            remaining: known
                .as_ref()
                .map_or(0, |k| k.remaining)
                .saturating_add(left),
            retry_after: Duration::ZERO,
            reset_after: known.map_or(Duration::ZERO, |known| known.reset_after),
        }
    }
}
