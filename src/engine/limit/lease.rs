//! Permits that the isolate has fetched ahead. The store has counted them already, so spending one
//! needs no store call.
//!
//! The number of fetched permits and the term for which they are fetched follow the demand in this
//! isolate, and are limited in the store by what is left there. The store counts the permits in the
//! sub-bucket in which they become void. Permits that are unspent by then are given back.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::{Timestamp, millis};
use crate::engine::recent::Recent;

use super::sliding_window::Cut;
use super::verdict::{Lend, Quota, Receipt};

/// How many times the demand is fetched, so that a growing demand is met with few calls.
const AHEAD: f64 = 1.2;

/// How many standard deviations of a random demand are fetched on top, for terms longer than the
/// shortest: a client that comes at random, or several times at once and then not for a while, asks
/// for more than its average now and then.
const SPREAD: f64 = 2.0;

/// About this many permits are enough for one fetch. A client that uses up as many within a shorter
/// term gets a shorter one: the shorter the term, the earlier its permits leave the window.
const BUSY: f64 = 100.0;

/// Below this demand, in permits per lease, nothing is fetched ahead: most of it would be given
/// back.
const LEAST_DEMAND: f64 = 2.0;

/// A client of which nothing is known gets so many permits with its first call: about as many
/// requests as a page sends while it is opened.
const FIRST: u64 = 12;

/// But at most one in this many of its quota, because it may come to many isolates.
const FIRST_PART: u64 = 25;

/// The demand is an average over this many of the longest leases.
const MEMORY: u32 = 2;

/// One in this many of the permits is left for a demand that varies when a long term is chosen.
const RESERVE: u64 = 8;

/// For how many windows the most that was counted is remembered, at least.
const REMEMBERED: u32 = 2;

/// A demand that has fallen below this, in permits, is over: the next one is a new one.
const OVER: f64 = 0.5;

/// More permits are fetched once only this part of the target is left, or what is spent within
/// [`CALL`]: about as many are spent while the call is under way.
const LOW: f64 = 0.125;

/// About the longest time that passes until a call has brought permits.
const CALL: Duration = Duration::from_millis(600);

/// If a call is made anyway, more permits are fetched already once this part of the target is left.
/// A call of its own costs three times as many commands as a further limit in this one.
const LOW_ENOUGH: f64 = 0.5;

/// Permits that become void within this time do not count as left when the next fetch is decided,
/// because a store call takes about as long. A longer time would fetch permits earlier; they would
/// also become void earlier, and more calls would be needed.
const SOON: Duration = Duration::from_millis(100);

/// How long no fetch is tried after one that brought no permits.
const PAUSE: Duration = Duration::from_millis(250);

/// How long void, unspent permits wait for a store call that is made anyway and gives them back at
/// no extra cost. Those of a long lease wait as long as they were lent: their client comes rarely.
pub const GRACE: Duration = Duration::from_millis(500);

/// The permits of this isolate, by the key of the limit's state.
///
/// Bounded: the permits of an evicted subject cannot be spent any more, although the store counts
/// them until they leave the window.
#[derive(Debug)]
pub struct Leases {
    accounts: Recent<Account>,
    /// The keys of the leases by the instant from which on unspent permits are overdue, the
    /// earliest first.
    dues: VecDeque<(Timestamp, String)>,
}

/// The leases and the demand of one subject.
#[derive(Debug, Clone, Default)]
struct Account {
    /// The permits that were asked for lately; the longer ago a request was, the less it counts.
    demand: f64,
    /// The same over about as long as the shortest lease.
    lately: f64,
    demand_at: Timestamp,
    /// When this demand began.
    since: Timestamp,
    /// The most permits that the store counted in the present period of [`REMEMBERED`] windows and
    /// in the one before, and when the present one began.
    most: (u64, u64),
    most_from: Timestamp,
    leases: Vec<Lease>,
    /// The window of the limit.
    window: Duration,
    /// The end of the fetch that is under way, or of the pause after one that brought nothing.
    fetching_until: Option<Timestamp>,
    /// Whether that fetch is the first one for a client of which nothing is known.
    is_first: bool,
    /// When the first permits of such a client are overdue, until it gets more.
    first_due: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    left: u64,
    receipt: Receipt,
    from: Timestamp,
    void_at: Timestamp,
    /// From when on unspent permits are overdue.
    due: Timestamp,
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
            accounts: Recent::new(capacity),
            dues: VecDeque::new(),
        }
    }

    /// Records the demand of a request of `cost` for a limit with this `window`.
    pub fn demand(&mut self, key: &str, cost: u64, window: Duration, now: Timestamp) {
        let record = |account: &mut Account| {
            let (before, lately) = (account.demand(window, now), account.lately(window, now));
            if before < OVER {
                account.since = now;
            }
            account.demand = before + number(cost);
            account.lately = lately + number(cost);
            account.demand_at = now;
        };
        if self.accounts.change(key, record).is_none() {
            let mut account = Account::default();
            record(&mut account);
            self.accounts.insert(key.to_owned(), account);
        }
    }

    /// Spends `cost` permits. `None` if fewer are left: then none is spent.
    pub fn spend(&mut self, key: &str, cost: u64, now: Timestamp) -> Option<Spent> {
        self.accounts
            .change(key, |account| account.spend(cost, now))
            .flatten()
    }

    /// Puts up to `permits` of the spent permits back, and returns how many their leases took.
    pub fn put_back(&mut self, key: &str, spent: &mut Spent, permits: u64) -> u64 {
        let mut owed = permits;
        self.accounts.change(key, |account| {
            for (receipt, taken) in &mut spent.parts {
                let same = |lease: &&mut Lease| lease.receipt == *receipt;
                if let Some(lease) = account.leases.iter_mut().find(same) {
                    let back = owed.min(*taken);
                    lease.left += back;
                    *taken -= back;
                    owed -= back;
                }
            }
        });
        permits - owed
    }

    /// How many permits can be spent at `now`.
    pub fn left(&self, key: &str, now: Timestamp) -> u64 {
        self.accounts
            .get(key)
            .map_or(0, |account| account.left(now))
    }

    /// Records that the store counts `used` permits of a limit with this `window`.
    pub fn counted(&mut self, key: &str, used: u64, window: Duration, now: Timestamp) {
        self.accounts.change(key, |account| {
            let (this, _) = account.most_at(window, now);
            if account.most_from > now
                || now.since(account.most_from) >= window.saturating_mul(REMEMBERED)
            {
                account.most = account.most_at(window, now);
                account.most_from = now;
            }
            account.most.0 = this.max(used);
        });
    }

    /// How many permits to fetch ahead, and for how long: none while a fetch is under way or while
    /// enough are left.
    pub fn wanted(&self, key: &str, quota: Quota, now: Timestamp) -> Lend {
        let account = self.accounts.get(key);
        account.map_or(Lend::NONE, |account| account.wanted(quota, LOW, now))
    }

    /// The same for a call that is made anyway: it fetches permits that are not needed yet, but
    /// soon.
    pub fn wanted_soon(&self, key: &str, quota: Quota, now: Timestamp) -> Lend {
        let account = self.accounts.get(key);
        account.map_or(Lend::NONE, |account| account.wanted(quota, LOW_ENOUGH, now))
    }

    /// Records that a fetch has begun. It counts as lost after `patience`.
    pub fn fetching(&mut self, key: &str, now: Timestamp, patience: Duration) {
        self.accounts.change(key, |account| {
            account.is_first = account.is_new();
            account.fetching_until = Some(now + patience);
        });
    }

    /// Records that a fetch has ended. If it brought no permits, none is tried for a while.
    pub fn fetched(&mut self, key: &str, permits: u64, now: Timestamp) {
        self.accounts.change(key, |account| {
            account.fetching_until = (permits == 0).then(|| now + PAUSE);
            account.is_first &= permits > 0;
        });
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
        let void_at = asked + void_after;
        let mut due = void_at + GRACE;
        if void_after > Cut::of(window).shortest_lease() {
            due = due.max(void_at + void_after);
        }
        let lease = Lease {
            left: permits,
            receipt,
            from: asked,
            void_at,
            due,
        };
        if self.accounts.get(key).is_none() {
            self.accounts.insert(key.to_owned(), Account::default());
        }
        let queued = self.accounts.change(key, |account| {
            account.window = window;
            let same = |other: &&mut Lease| other.receipt == lease.receipt && other.is_live(asked);
            match account.leases.iter_mut().find(same) {
                // Both were lent in the same sub-bucket, so they become void at about the same
                // time; the earlier one applies.
                Some(other) => {
                    other.left += lease.left;
                    other.void_at = other.void_at.min(lease.void_at);
                    other.due = other.due.min(lease.due);
                }
                None => account.leases.push(lease),
            }
            // A client that comes only once is not worth a call that returns its few permits:
            // nobody else misses them. With its second lease the first one is due too.
            if std::mem::take(&mut account.is_first) {
                account.first_due = Some(due);
                return [None, None];
            }
            [account.first_due.take(), Some(due)]
        });
        for due in queued.into_iter().flatten().flatten() {
            let later = self.dues.partition_point(|(at, _)| *at <= due);
            self.dues.insert(later, (due, key.to_owned()));
            if self.dues.len() > self.accounts.capacity() {
                self.dues.pop_front();
            }
        }
    }

    /// Takes the permits of `key` that became void unspent. The caller gives them back with the
    /// next store call.
    pub fn take_unspent(&mut self, key: &str, now: Timestamp) -> Vec<(Receipt, u64)> {
        self.take_out(key, |lease| !lease.is_live(now))
    }

    /// Takes the unspent permits of the leases of `key` that are `over`, and forgets these leases.
    fn take_out(&mut self, key: &str, over: impl Fn(&Lease) -> bool) -> Vec<(Receipt, u64)> {
        let unspent = self.accounts.change(key, |account| {
            let gone = account.leases.extract_if(.., |lease| over(lease));
            let unspent = gone.filter(|lease| lease.left > 0);
            unspent.map(|lease| (lease.receipt, lease.left)).collect()
        });
        unspent.unwrap_or_default()
    }

    /// The earliest instant at which [`overdue`](Self::overdue) may find something.
    pub fn next_overdue(&self) -> Option<Timestamp> {
        self.dues.front().map(|(due, _)| *due)
    }

    /// Takes the permits that became void unspent some time ago, [`GRACE`] or as long as they were
    /// lent, and that no call has given back: those of at most `most` subjects.
    pub fn overdue(&mut self, most: usize, now: Timestamp) -> Vec<Unspent> {
        let mut all = Vec::new();
        while all.len() < most && self.next_overdue().is_some_and(|due| due <= now) {
            let Some((_, key)) = self.dues.pop_front() else {
                break;
            };
            let parts = self.take_out(&key, |lease| !lease.is_live(now) && lease.due <= now);
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
    /// Spends `cost` permits. `None` if fewer are left: then none is spent.
    fn spend(&mut self, cost: u64, now: Timestamp) -> Option<Spent> {
        let left = self.left(now);
        if left < cost {
            return None;
        }
        let (mut owed, mut parts) = (cost, Vec::new());
        for lease in self.leases.iter_mut().filter(|lease| lease.is_live(now)) {
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

    /// The demand at `now`, in permits.
    fn demand(&self, window: Duration, now: Timestamp) -> f64 {
        let passed = number(millis(now.since(self.demand_at)));
        self.demand * (-passed / memory(window)).exp()
    }

    /// The demand of about the last shortest lease.
    fn lately(&self, window: Duration, now: Timestamp) -> f64 {
        let passed = number(millis(now.since(self.demand_at)));
        self.lately * (-passed / ms(Cut::of(window).shortest_lease())).exp()
    }

    /// The permits to fetch for the time to come, if at most the part `low` of them is left.
    fn wanted(&self, quota: Quota, low: f64, now: Timestamp) -> Lend {
        let cut = Cut::of(quota.window);
        if self.is_new() {
            return Lend {
                permits: (quota.permits / FIRST_PART).min(FIRST),
                term: cut.longest_lease(),
                rush: 0,
            };
        }
        let demand = self.demand(quota.window, now);
        let term = self.term(quota, demand, now);
        let rate = self.rate(quota.window, demand, now);
        let is_long = term > cut.shortest_lease();
        let expected = match is_long {
            // At first, no more are expected than have come.
            true => demand.min(rate * ms(term)),
            false => self.lately(quota.window, now),
        };
        let spread = if is_long {
            SPREAD * expected.sqrt()
        } else {
            0.0
        };
        let target = expected * AHEAD + spread;
        let at_hand = number(self.left(now + SOON));
        let low = match low > LOW {
            true => target * low,
            false => (target * low).min(rate * ms(CALL)),
        };
        if expected < LEAST_DEMAND || self.is_fetching(now) || at_hand > low {
            return Lend::NONE;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast of a float saturates"
        )]
        let permits = (target - at_hand).ceil() as u64;
        Lend {
            permits,
            term,
            rush: 0,
        }
    }

    /// The term of a lease: as long as possible, but not longer than the client needs for as many
    /// permits as are fetched at once, and not so long that the client would reach its quota only
    /// because permits are counted when they become void: neither with its present rate `r`, at
    /// which about `r * (window + term + width)` are counted, nor with the highest of late.
    fn term(&self, quota: Quota, demand: f64, now: Timestamp) -> Duration {
        let cut = Cut::of(quota.window);
        let rate = self.rate(quota.window, demand, now);
        let counted = number(cut.width.saturating_mul(cut.buckets + 1));
        let fits = number(quota.permits - quota.permits / RESERVE) / rate - counted;
        let (this, last) = self.most_at(quota.window, now);
        let most = this.max(last).max(1);
        let spare = quota.permits.saturating_sub(most);
        let lasts = counted * number(spare) / number(most);
        let term = fits.min(lasts).min(BUSY / rate);
        let term = term.min(ms(cut.longest_lease()));
        let term = term.max(ms(cut.shortest_lease()));
        Duration::from_secs_f64(term / 1_000.0)
    }

    /// The most permits that were counted in the present period and in the one before.
    fn most_at(&self, window: Duration, now: Timestamp) -> (u64, u64) {
        let since = number(millis(now.since(self.most_from)));
        let periods = since / ms(window.saturating_mul(REMEMBERED));
        match self.most {
            most if periods < 1.0 => most,
            (this, _) if periods < 2.0 => (0, this),
            _ => (0, 0),
        }
    }

    /// Permits per millisecond: the demand, over the time in which it arose.
    fn rate(&self, window: Duration, demand: f64, now: Timestamp) -> f64 {
        let since = ms(now.since(self.since));
        let memory = memory(window);
        demand.max(f64::MIN_POSITIVE) / (memory * (1.0 - (-since / memory).exp()))
    }

    /// Whether nothing is known of the client but that it has come just now, with few requests.
    fn is_new(&self) -> bool {
        let knows = !self.leases.is_empty() || self.fetching_until.is_some();
        let is_small = self.demand > 0.0 && self.demand < number(FIRST);
        !knows && is_small && self.since == self.demand_at
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

/// The time over which the demand is an average, in ms.
fn memory(window: Duration) -> f64 {
    ms(Cut::of(window).longest_lease() * MEMORY)
}

/// Milliseconds, at least one.
fn ms(time: Duration) -> f64 {
    number(millis(time).max(1))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
const fn number(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
