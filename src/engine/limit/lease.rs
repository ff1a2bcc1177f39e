//! Permits that the isolate has fetched ahead. The store has counted them already, so spending one
//! needs no store call.
//!
//! The number of fetched permits follows the demand in this isolate and is limited in the store by
//! what is left there. The store counts them in the sub-bucket in which they become void. Permits
//! that are unspent by then are given back.

use std::collections::VecDeque;
use std::time::Duration;

use quick_cache::unsync::Cache;

use crate::clock::{Timestamp, millis};

use super::verdict::Receipt;

/// How many times the demand is fetched, so that a growing demand is met with few calls.
const AHEAD: f64 = 1.2;

/// Below this demand, in permits per lease, nothing is fetched ahead: most of it would be given
/// back.
const LEAST_DEMAND: f64 = 2.0;

/// More permits are fetched once only this part of the target is left: about as many are spent
/// while the call is under way.
const LOW: f64 = 0.125;

/// Permits that become void within this time do not count as left when the next fetch is decided,
/// because a store call takes about as long. A longer time would fetch permits earlier; they would
/// also become void earlier, and more calls would be needed.
const SOON: Duration = Duration::from_millis(100);

/// How long no fetch is tried after one that brought no permits.
const PAUSE: Duration = Duration::from_millis(250);

/// How long void, unspent permits wait for a store call that is made anyway and gives them back at
/// no extra cost.
pub const GRACE: Duration = Duration::from_millis(500);

/// The permits of this isolate, by the key of the limit's state.
///
/// Bounded: the permits of an evicted subject cannot be spent any more, although the store counts
/// them until they leave the window.
#[derive(Debug)]
pub struct Leases {
    accounts: Cache<String, Account>,
    /// The keys of the leases by the instant at which they become void, the earliest first.
    voids: VecDeque<(Timestamp, String)>,
}

/// The leases and the demand of one subject.
#[derive(Debug, Clone, Default)]
struct Account {
    /// The permits that were asked for lately; the longer ago a request was, the less it counts.
    demand: f64,
    demand_at: Timestamp,
    leases: Vec<Lease>,
    /// The window of the limit.
    window: Duration,
    /// The end of the fetch that is under way, or of the pause after one that brought nothing.
    fetching_until: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    left: u64,
    receipt: Receipt,
    from: Timestamp,
    void_at: Timestamp,
}

/// Spent permits and the leases they came from, so that they can be put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// The leases, and how many permits came from each.
    parts: Vec<(Receipt, u64)>,
    /// How many permits are left in this isolate.
    pub left: u64,
}

/// Permits that were not spent before they became void, and that must be given back to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unspent {
    /// The key of the limit's state.
    pub key: String,
    /// The window of the limit.
    pub window: Duration,
    /// The leases, and how many permits of each go back.
    pub parts: Vec<(Receipt, u64)>,
}

impl Leases {
    /// Remembers at most `capacity` subjects.
    pub fn new(capacity: usize) -> Self {
        Self {
            accounts: Cache::new(capacity),
            voids: VecDeque::new(),
        }
    }

    /// Records the demand of a request of `cost`. `term` is about how long a lease lasts.
    pub fn demand(&mut self, key: &str, cost: u64, term: Duration, now: Timestamp) {
        if self.accounts.get(key).is_none() {
            self.accounts.insert(key.to_owned(), Account::default());
        }
        if let Some(mut account) = self.accounts.get_mut(key) {
            account.demand = account.demand(term, now) + permits(cost);
            account.demand_at = now;
        }
    }

    /// Spends `cost` permits. `None` if fewer are left: then none is spent.
    pub fn spend(&mut self, key: &str, cost: u64, now: Timestamp) -> Option<Spent> {
        let mut account = self.accounts.get_mut(key)?;
        let left = account.left(now);
        if left < cost {
            return None;
        }
        let (mut owed, mut parts) = (cost, Vec::new());
        for lease in account.leases.iter_mut().filter(|lease| lease.is_live(now)) {
            let taken = owed.min(lease.left);
            lease.left -= taken;
            owed -= taken;
            if taken > 0 {
                parts.push((lease.receipt.clone(), taken));
            }
        }
        Some(Spent {
            parts,
            left: left - cost,
        })
    }

    /// Puts up to `permits` of the spent permits back, and returns how many their leases took.
    pub fn put_back(&mut self, key: &str, spent: &mut Spent, permits: u64) -> u64 {
        let Some(mut account) = self.accounts.get_mut(key) else {
            return 0;
        };
        let mut owed = permits;
        for (receipt, taken) in &mut spent.parts {
            let same = |lease: &&mut Lease| lease.receipt == *receipt;
            if let Some(lease) = account.leases.iter_mut().find(same) {
                let back = owed.min(*taken);
                lease.left += back;
                *taken -= back;
                owed -= back;
            }
        }
        permits - owed
    }

    /// How many permits can be spent at `now`.
    pub fn left(&self, key: &str, now: Timestamp) -> u64 {
        self.accounts
            .get(key)
            .map_or(0, |account| account.left(now))
    }

    /// How many permits to fetch ahead: none while a fetch is under way or while enough are left.
    pub fn wanted(&self, key: &str, term: Duration, now: Timestamp) -> u64 {
        let Some(account) = self.accounts.get(key) else {
            return 0;
        };
        let demand = account.demand(term, now);
        let (enough, at_hand) = (demand * AHEAD, permits(account.left(now + SOON)));
        if demand < LEAST_DEMAND || account.is_fetching(now) || at_hand > enough * LOW {
            return 0;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast of a float saturates"
        )]
        let wanted = (enough - at_hand).ceil() as u64;
        wanted
    }

    /// Records that a fetch has begun. It counts as lost after `patience`.
    pub fn fetching(&mut self, key: &str, now: Timestamp, patience: Duration) {
        if let Some(mut account) = self.accounts.get_mut(key) {
            account.fetching_until = Some(now + patience);
        }
    }

    /// Records that a fetch has ended. If it brought no permits, none is tried for a while.
    pub fn fetched(&mut self, key: &str, permits: u64, now: Timestamp) {
        if let Some(mut account) = self.accounts.get_mut(key) {
            account.fetching_until = (permits == 0).then(|| now + PAUSE);
        }
    }

    /// Adds permits that the store has lent to a call made at `asked`. They become void
    /// `void_after` after that.
    pub fn granted(
        &mut self,
        key: &str,
        window: Duration,
        (receipt, permits): (Receipt, u64),
        asked: Timestamp,
        void_after: Duration,
    ) {
        let lease = Lease {
            left: permits,
            receipt,
            from: asked,
            void_at: asked + void_after,
        };
        let later = self.voids.partition_point(|(at, _)| *at <= lease.void_at);
        self.voids.insert(later, (lease.void_at, key.to_owned()));
        if self.voids.len() > self.accounts.capacity() as usize {
            self.voids.pop_front();
        }
        if self.accounts.get(key).is_none() {
            self.accounts.insert(key.to_owned(), Account::default());
        }
        if let Some(mut account) = self.accounts.get_mut(key) {
            account.window = window;
            let same = |other: &&mut Lease| other.receipt == lease.receipt && other.is_live(asked);
            match account.leases.iter_mut().find(same) {
                // Both were lent in the same sub-bucket, so they become void at about the same
                // time; the earlier one applies.
                Some(other) => {
                    other.left += lease.left;
                    other.void_at = other.void_at.min(lease.void_at);
                }
                None => account.leases.push(lease),
            }
        }
    }

    /// Takes the permits of `key` that became void unspent. The caller gives them back with the
    /// next store call.
    pub fn take_unspent(&mut self, key: &str, now: Timestamp) -> Vec<(Receipt, u64)> {
        let Some(mut account) = self.accounts.get_mut(key) else {
            return Vec::new();
        };
        let (live, void) = std::mem::take(&mut account.leases)
            .into_iter()
            .partition(|lease| lease.is_live(now));
        account.leases = live;
        let void: Vec<Lease> = void;
        let unspent = void.into_iter().filter(|lease| lease.left > 0);
        unspent.map(|lease| (lease.receipt, lease.left)).collect()
    }

    /// The earliest instant at which [`overdue`](Self::overdue) may find something.
    pub fn next_overdue(&self) -> Option<Timestamp> {
        let (void_at, _) = self.voids.front()?;
        Some(*void_at + GRACE)
    }

    /// Takes the permits that became void unspent at least [`GRACE`] ago and that no call has given
    /// back: those of at most `most` subjects.
    pub fn overdue(&mut self, most: usize, now: Timestamp) -> Vec<Unspent> {
        let mut all = Vec::new();
        while all.len() < most && self.next_overdue().is_some_and(|due| due <= now) {
            let Some((_, key)) = self.voids.pop_front() else {
                break;
            };
            let parts = self.take_unspent(&key, now);
            let window = self.accounts.get(&key).map(|account| account.window);
            if let (Some(window), false) = (window, parts.is_empty()) {
                all.push(Unspent { key, window, parts });
            }
        }
        all
    }

    /// Forgets a subject and its permits.
    pub fn forget(&mut self, key: &str) {
        self.accounts.remove(key);
    }
}

impl Account {
    fn demand(&self, term: Duration, now: Timestamp) -> f64 {
        let passed = permits(millis(now.since(self.demand_at)));
        self.demand * (-passed / permits(millis(term).max(1))).exp()
    }

    fn left(&self, now: Timestamp) -> u64 {
        let live = self.leases.iter().filter(|lease| lease.is_live(now));
        live.map(|lease| lease.left).sum()
    }

    fn is_fetching(&self, now: Timestamp) -> bool {
        self.fetching_until.is_some_and(|until| now < until)
    }
}

impl Lease {
    /// If the clock went back, a lease does not live longer than it was lent for.
    fn is_live(&self, now: Timestamp) -> bool {
        now < self.void_at && now + super::sliding_window::TOLERANCE >= self.from
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
const fn permits(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
