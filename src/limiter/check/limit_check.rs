//! One limit of a request: where the request is counted, the verdict, and where its permits came
//! from.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::limit::fallback::Take;
use crate::engine::limit::lease::{GRACE, Spent};
use crate::engine::limit::sliding_window::Cut;
use crate::engine::limit::{Bucket, Charge, Lend, Receipt, Role, Verdict};

use super::super::memory::LimitMemory;
use crate::store::{Granted, LimitReply};

/// One limit of a request.
#[derive(Debug)]
pub struct LimitCheck {
    pub charge: Charge,
    /// Where the request is counted, as far as is known; `None`: the limit does not apply.
    pub bucket: Option<Bucket>,
    pub verdict: Option<Verdict>,
    pub paid: Paid,
    /// Whether the call that asks about this limit also fetches permits ahead.
    pub fetches: bool,
    /// Permits that were given here before, which the call tells.
    pub owed: u64,
}

/// Where the permits of a request came from.
#[derive(Debug)]
pub enum Paid {
    /// No permits were taken.
    No,
    /// Permits that were fetched ahead.
    Lease(Spent),
    /// The store.
    Store(Receipt),
    /// The local limits.
    Local,
    /// The store, in an earlier attempt of the call; the sub-bucket is unknown.
    Before,
}

impl LimitCheck {
    pub const fn is_unpaid(&self) -> bool {
        matches!(self.paid, Paid::No)
    }

    /// Whether this limit is still undecided. `sure`: whether it is known where the client is
    /// counted.
    pub const fn is_open(&self, sure: bool) -> bool {
        let applies = self.bucket.is_some() || !sure;
        self.is_unpaid() && applies && !matches!(self.charge.role, Role::Origin)
    }

    /// The bucket whose exhaustion refuses the request, if it is known.
    pub fn enforced_bucket(&self, sure: bool) -> Option<&Bucket> {
        let known = sure || self.charge.is_settled();
        let enforced = self.charge.role == Role::Enforce;
        self.bucket.as_ref().filter(|_| known && enforced)
    }

    /// How many permits of the bucket this request may use at most.
    pub const fn enough(&self, bucket: &Bucket) -> u64 {
        let quota = self.charge.quota(bucket);
        quota.without(self.charge.kept).permits
    }

    /// What the local limits are asked for.
    pub fn take_here(&self) -> Option<Take<'_>> {
        let bucket = self.bucket.as_ref()?;
        Some(Take {
            key: &bucket.key,
            quota: self.charge.quota(bucket),
            kept: self.charge.kept,
            cost: self.charge.cost,
            enforced: matches!(self.charge.role, Role::Enforce | Role::Origin),
        })
    }

    /// The permits to fetch ahead with the call that asks about this limit.
    pub fn lend(&self, memory: &LimitMemory, now: Timestamp) -> Lend {
        match &self.bucket {
            Some(bucket) if self.charge.leased => {
                let quota = self.charge.quota(bucket);
                memory.leases.wanted(&bucket.key, quota, now)
            }
            _ => Lend::NONE,
        }
    }

    /// The permits to fetch ahead with a call that is made anyway, if this limit is paid with a
    /// lease that is soon used up or void: a call of its own would cost more.
    pub fn lend_more(&self, memory: &LimitMemory, now: Timestamp) -> Lend {
        match (&self.bucket, &self.paid) {
            (Some(bucket), Paid::Lease(_)) => {
                let quota = self.charge.quota(bucket);
                memory.leases.wanted_soon(&bucket.key, quota, now)
            }
            _ => Lend::NONE,
        }
    }

    /// Takes the store's reply about this limit, and remembers it.
    pub fn take(
        &mut self,
        bucket: Bucket,
        said: LimitReply,
        asked_at: Timestamp,
        memory: &mut LimitMemory,
        now: Timestamp,
    ) {
        memory.learn(&bucket.key, &said, self.charge.window, now);
        let mut verdict = said.verdict;
        if !verdict.met {
            let what = (self.charge.cost, self.enough(&bucket));
            let until = asked_at + verdict.retry_after;
            // Permits that another isolate was lent and does not spend come back when they become
            // void, which may be at any time.
            let believed = match self.charge.leased {
                true => Cut::of(self.charge.window).shortest_lease() + GRACE,
                false => Duration::MAX,
            };
            let denied = &mut memory.denied;
            denied.remember(&bucket.key, what, now, until, believed);
        }
        self.take_lent(&bucket, said.granted, asked_at, memory, now);
        add_lent(&bucket, &mut verdict, memory, now);
        if let Some(receipt) = said.receipt.filter(|_| verdict.met) {
            self.paid = Paid::Store(receipt);
        }
        self.verdict = Some(verdict);
        self.bucket = Some(bucket);
    }

    /// Takes the store's reply about this limit, for which the request has paid with a lease: the
    /// call has fetched further permits.
    pub fn renewed(
        &mut self,
        bucket: Bucket,
        said: LimitReply,
        asked_at: Timestamp,
        memory: &mut LimitMemory,
        now: Timestamp,
    ) {
        memory.learn(&bucket.key, &said, self.charge.window, now);
        let mut verdict = said.verdict;
        self.take_lent(&bucket, said.granted, asked_at, memory, now);
        let same = self.bucket.as_ref().is_some_and(|b| b.key == bucket.key);
        if same && verdict.met {
            add_lent(&bucket, &mut verdict, memory, now);
            self.verdict = Some(verdict);
            self.bucket = Some(bucket);
        }
    }

    /// Takes the permits that the store has lent, if the call asked for some.
    fn take_lent(
        &mut self,
        bucket: &Bucket,
        granted: Option<Granted>,
        asked_at: Timestamp,
        memory: &mut LimitMemory,
        now: Timestamp,
    ) {
        if std::mem::take(&mut self.fetches) {
            let permits = granted.as_ref().map_or(0, |granted| granted.permits);
            memory.leases.fetched(&bucket.key, permits, now);
        }
        if let Some(granted) = granted {
            memory.lent(&bucket.key, self.charge.window, granted, asked_at);
        }
    }

    /// Whether enough permits were fetched ahead. A request that costs nothing needs one, too:
    /// without any, nothing is known of the client.
    pub fn has_ahead(&self, bucket: &Bucket, memory: &LimitMemory, now: Timestamp) -> bool {
        memory.leases.left(&bucket.key, now) >= self.charge.cost.max(1)
    }

    /// Pays with permits that were fetched ahead. Returns whether enough were left.
    pub fn spend_ahead(&mut self, memory: &mut LimitMemory, now: Timestamp) -> bool {
        let Some(bucket) = &self.bucket else {
            return false;
        };
        if self.charge.cost == 0 && !self.has_ahead(bucket, memory, now) {
            return false;
        }
        let Some(spent) = memory.leases.spend(&bucket.key, self.charge.cost, now) else {
            return false;
        };
        self.verdict = Some(self.leased_verdict(bucket, spent.left, memory, now));
        self.paid = Paid::Lease(spent);
        true
    }

    /// The verdict for a request whose permits were fetched ahead: it counts the permits that the
    /// store last reported as left, and those that are left here.
    fn leased_verdict(
        &self,
        bucket: &Bucket,
        left: u64,
        memory: &LimitMemory,
        now: Timestamp,
    ) -> Verdict {
        let known = memory
            .fallback
            .last_known(&bucket.key, self.charge.quota(bucket), now);
        let known = known.filter(|known| known.met);
        Verdict {
            met: true,
            remaining: known
                .as_ref()
                .map_or(0, |k| k.remaining)
                .saturating_add(left)
                .min(bucket.permits),
            retry_after: Duration::ZERO,
            reset_after: known.map_or(Duration::ZERO, |known| known.reset_after),
        }
    }
}

/// Adds the permits that are left here to those that are left in the store.
fn add_lent(bucket: &Bucket, verdict: &mut Verdict, memory: &LimitMemory, now: Timestamp) {
    let lent = memory.leases.left(&bucket.key, now);
    let left = verdict.remaining.saturating_add(lent);
    // What was lent before the store gave something back counts twice.
    verdict.remaining = left.min(bucket.permits);
}
