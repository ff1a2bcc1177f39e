//! Permits that the isolate has fetched ahead: the store counts them already, so spending one asks
//! nobody.
//!
//! How many are fetched follows the demand here, and is bounded in the store by what is left there. The
//! store counts them where they become void; those that are not spent by then go back.

use std::collections::VecDeque;
use std::time::Duration;

use quick_cache::unsync::Cache;

use crate::clock::{Timestamp, millis};

use super::verdict::Receipt;

/// How much more than the demand is fetched, so that a demand that grows is met with few calls.
const AHEAD: f64 = 1.2;

/// Below this demand, in requests within a lease, nothing is fetched ahead: it would mostly go back.
const LEAST_DEMAND: f64 = 2.0;

/// More is fetched while this part of it is still at hand: so much is spent meanwhile.
const LOW: f64 = 0.125;

/// What is void so soon is not counted on: a call takes about as long. Who fetches earlier gets what
/// is void earlier, and pays for more calls.
const SOON: Duration = Duration::from_millis(100);

/// How long nobody tries to fetch more after there was nothing to be had.
const PAUSE: Duration = Duration::from_millis(250);

/// How long after they became void unspent permits wait for a call that takes them back for nothing.
pub const GRACE: Duration = Duration::from_millis(500);

/// The permits of this isolate, by the key of the limit's state.
///
/// Bounded: what is evicted is lost to the client until the store forgets it.
#[derive(Debug)]
pub struct Leases {
    accounts: Cache<String, Account>,
    /// Which leases become void when, the earliest first.
    voids: VecDeque<(Timestamp, String)>,
}

/// What one subject has here.
#[derive(Debug, Clone, Default)]
struct Account {
    /// Permits asked for lately: each counts less the longer it is ago.
    demand: f64,
    demand_at: Timestamp,
    leases: Vec<Lease>,
    /// The window of the limit.
    window: Duration,
    /// Until when somebody is fetching more, if anybody is.
    fetching_until: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    left: u64,
    receipt: Receipt,
    from: Timestamp,
    void_at: Timestamp,
}

/// Where permits came from that were spent: to put them back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// The lease: some permits of each.
    parts: Vec<(Receipt, u64)>,
    /// How many are left here.
    pub left: u64,
}

/// Permits that were not spent in time and go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unspent {
    /// The state's key.
    pub key: String,
    /// The window of the limit.
    pub window: Duration,
    /// From which lease, and how many.
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

    /// A request of `cost` has come. `term` is about how long a lease lasts.
    pub fn demand(&mut self, key: &str, cost: u64, term: Duration, now: Timestamp) {
        if self.accounts.get(key).is_none() {
            self.accounts.insert(key.to_owned(), Account::default());
        }
        if let Some(mut account) = self.accounts.get_mut(key) {
            account.demand = account.demand(term, now) + permits(cost);
            account.demand_at = now;
        }
    }

    /// Spends `cost` permits, if there are so many.
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

    /// Puts up to `permits` of those that were spent back; says how many their lease took.
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

    /// How many permits are at hand.
    pub fn left(&self, key: &str, now: Timestamp) -> u64 {
        self.accounts
            .get(key)
            .map_or(0, |account| account.left(now))
    }

    /// How many permits to fetch ahead; none while somebody is at it, or while there are enough.
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

    /// Somebody begins to fetch, and is given up for lost after `patience`.
    pub fn fetching(&mut self, key: &str, now: Timestamp, patience: Duration) {
        if let Some(mut account) = self.accounts.get_mut(key) {
            account.fetching_until = Some(now + patience);
        }
    }

    /// They are back. With nothing, there is nothing to be had: nobody tries again for a while.
    pub fn fetched(&mut self, key: &str, permits: u64, now: Timestamp) {
        if let Some(mut account) = self.accounts.get_mut(key) {
            account.fetching_until = (permits == 0).then(|| now + PAUSE);
        }
    }

    /// The store has lent permits, to a call that was made at `asked`: they are void so long after.
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
                // Lent in the same sub-bucket: void at the same time, or a little earlier.
                Some(other) => {
                    other.left += lease.left;
                    other.void_at = other.void_at.min(lease.void_at);
                }
                None => account.leases.push(lease),
            }
        }
    }

    /// Takes the permits of `key` that became void unspent: they go back with the next call.
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

    /// When [`overdue`](Self::overdue) has something to look at.
    pub fn next_overdue(&self) -> Option<Timestamp> {
        let (void_at, _) = self.voids.front()?;
        Some(*void_at + GRACE)
    }

    /// Takes what of all became void unspent a while ago, and no call took back: at most `most`
    /// subjects.
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

    /// Forgets a subject: what it has here is void.
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
    /// A clock that went back gives no lease a longer life.
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
