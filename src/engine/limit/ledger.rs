//! What this isolate has admitted by itself because the store did not answer: it bounds what may
//! still be admitted, and it is told to the store when that answers again.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::{Timestamp, millis};
use crate::engine::recent::Recent;

use super::sliding_window::{Cut, State, TOLERANCE};
use super::verdict::{Quota, Verdict};

/// For how long permits wait to be told with a call of their subject, before another call tells
/// them; and how often there is such a call.
const GRACE: Duration = Duration::from_secs(1);

/// What was admitted here, by the key of the limit's state. Bounded: what was given to an evicted
/// subject is never told.
#[derive(Debug)]
pub struct Ledger {
    accounts: Recent<Account>,
    /// The keys of what has to be told, the oldest first.
    dues: VecDeque<(Timestamp, String)>,
    /// When the next call may tell what no call of its own subject has told.
    next_call: Timestamp,
}

#[derive(Debug, Clone, Default)]
struct Account {
    /// What was admitted in the last window.
    given: State,
    /// What was admitted since the store's last verdict.
    since: u64,
    /// What the store does not know yet, when the latest of it was admitted, and in what window.
    owed: u64,
    owed_at: Timestamp,
    window: Duration,
}

/// What the store does not know of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debt {
    /// The key of the limit's state.
    pub key: String,
    /// The window of the limit.
    pub window: Duration,
    /// Permits.
    pub permits: u64,
}

/// The store's last verdict on a subject.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// How many permits it said are left.
    pub left: u64,
    /// How long ago that was.
    pub ago: Duration,
}

impl Ledger {
    /// Remembers at most `capacity` subjects.
    pub fn new(capacity: usize) -> Self {
        Self {
            accounts: Recent::new(capacity),
            dues: VecDeque::new(),
            next_call: Timestamp::default(),
        }
    }

    /// The verdict on a request of `cost`, without counting it. `open`: how many permits this
    /// isolate may give in a window, out of `quota`. `told`: what the store has said, if that was
    /// within the window.
    pub fn check(
        &self,
        key: &str,
        quota: Quota,
        open: u64,
        cost: u64,
        told: Option<Told>,
        now: Timestamp,
    ) -> Verdict {
        let nothing = Account::default();
        let account = self.accounts.get(key).unwrap_or(&nothing);
        let open = Quota {
            permits: open,
            ..quota
        };
        let mut verdict = account.given.check(open, cost, now);
        if let Some(told) = told {
            let (left, wait) = left_there(quota, told, account.since, cost);
            verdict.met &= wait.is_zero();
            verdict.remaining = verdict.remaining.min(left);
            verdict.retry_after = verdict.retry_after.max(wait);
            verdict.reset_after = verdict.reset_after.max(verdict.retry_after);
        }
        verdict
    }

    /// Counts permits that were admitted here.
    pub fn give(&mut self, key: &str, quota: Quota, permits: u64, now: Timestamp) {
        if permits == 0 {
            return;
        }
        let give = |account: &mut Account| {
            mend(&mut account.given, quota, now);
            account.given.charge(quota, permits, now);
            account.since = account.since.saturating_add(permits);
            let first = account.live_debt(now) == 0;
            account.owed = account.live_debt(now).saturating_add(permits);
            (account.owed_at, account.window) = (now, quota.window);
            first
        };
        if self.accounts.peek(key).is_none() {
            self.accounts.insert(key.to_owned(), Account::default());
        }
        if self.accounts.change(key, give) == Some(true) {
            self.due(key, now + GRACE);
        }
    }

    /// Gives back permits that were admitted here. Returns how many the store knows already.
    pub fn take_back(&mut self, key: &str, permits: u64) {
        self.accounts.change(key, |account| {
            account.given.give_back_oldest(permits);
            account.since = account.since.saturating_sub(permits);
            account.owed = account.owed.saturating_sub(permits);
        });
    }

    /// The store has given a verdict on the subject.
    pub fn told(&mut self, key: &str) {
        self.accounts.change(key, |account| account.since = 0);
    }

    /// Takes what the store does not know yet of a subject, to tell it with a call. If the call
    /// fails, it is [owed](Self::owe) again.
    pub fn take_debt(&mut self, key: &str, now: Timestamp) -> u64 {
        let take = |account: &mut Account| {
            let debt = account.live_debt(now);
            account.owed = 0;
            debt
        };
        self.accounts.change(key, take).unwrap_or(0)
    }

    /// The call that should have told this has failed.
    pub fn owe(&mut self, key: &str, permits: u64, now: Timestamp) {
        if permits == 0 {
            return;
        }
        let owe = |account: &mut Account| account.owed = account.owed.saturating_add(permits);
        if self.accounts.change(key, owe).is_some() {
            self.due(key, now + GRACE);
        }
    }

    /// Takes what no call of its own subject has told for a while: of at most `most` subjects.
    pub fn overdue(&mut self, most: usize, now: Timestamp) -> Vec<Debt> {
        let mut all = Vec::new();
        if !self.is_due(now) {
            return all;
        }
        self.next_call = now + GRACE;
        while all.len() < most && self.dues.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, key)) = self.dues.pop_front() else {
                break;
            };
            let window = self.accounts.get(&key).map(|account| account.window);
            let permits = self.take_debt(&key, now);
            if let (Some(window), true) = (window, permits > 0) {
                all.push(Debt {
                    key,
                    window,
                    permits,
                });
            }
        }
        all
    }

    /// Whether [`overdue`](Self::overdue) may find something.
    pub fn is_due(&self, now: Timestamp) -> bool {
        // If the clock was set back, the call is not put off for longer than this.
        let may_call = self.next_call <= now || self.next_call.since(now) > GRACE;
        may_call && self.dues.front().is_some_and(|(due, _)| *due <= now)
    }

    /// Forgets a subject.
    pub fn forget(&mut self, key: &str) {
        self.accounts.remove(key);
    }

    /// Forgets what was admitted, and when: the clock was set back.
    pub fn clear(&mut self) {
        self.accounts.clear();
        self.dues.clear();
    }

    fn due(&mut self, key: &str, at: Timestamp) {
        self.dues.push_back((at, key.to_owned()));
        if self.dues.len() > self.accounts.capacity() {
            self.dues.pop_front();
        }
    }
}

impl Account {
    /// What is owed and has not left every window yet.
    fn live_debt(&self, now: Timestamp) -> u64 {
        match now.since(self.owed_at) < self.window {
            true => self.owed,
            false => 0,
        }
    }
}

/// How many permits are left of what the store has said, and how long a request of `cost` has to
/// wait for enough. What was used then comes back until a window later; when, only the store knows,
/// so it is taken to come back evenly.
fn left_there(quota: Quota, told: Told, since: u64, cost: u64) -> (u64, Duration) {
    let (window, ago) = (millis(quota.window).max(1), millis(told.ago));
    let used = quota.permits.saturating_sub(told.left);
    let back = whole(number(used) * number(ago) / number(window));
    let left = told.left.saturating_add(back).saturating_sub(since);
    if cost <= left {
        return (left - cost, Duration::ZERO);
    }
    let missing = cost.saturating_add(since).saturating_sub(told.left);
    let at = whole((number(missing) * number(window) / number(used.max(1))).ceil());
    let wait = at.min(window).saturating_sub(ago).max(1);
    (left, Duration::from_millis(wait))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
const fn number(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates"
)]
const fn whole(number: f64) -> u64 {
    number as u64
}

/// If the clock went back, what is counted in its future counts as now.
fn mend(state: &mut State, quota: Quota, now: Timestamp) {
    if state.seen() > now + TOLERANCE {
        state.mend(Cut::of(quota.window), false, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const QUOTA: Quota = Quota {
        permits: 100,
        window: MINUTE,
    };

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + ms)
    }

    fn told(left: u64, ago: Duration) -> Option<Told> {
        Some(Told { left, ago })
    }

    #[test]
    fn no_window_holds_more_than_the_part_that_is_open_here() {
        let mut ledger = Ledger::new(10);
        let mut given: Vec<u64> = Vec::new();
        for ms in (0..300_000).step_by(100) {
            let verdict = ledger.check("k", QUOTA, 20, 1, None, at(ms));
            if verdict.met {
                ledger.give("k", QUOTA, 1, at(ms));
                given.push(ms);
            } else {
                let before = at(ms) + verdict.retry_after - Duration::from_millis(1);
                assert!(!ledger.check("k", QUOTA, 20, 1, None, before).met);
                let then = at(ms) + verdict.retry_after;
                assert!(ledger.check("k", QUOTA, 20, 1, None, then).met);
            }
            let window = given.iter().filter(|&&g| g + 60_000 > ms).count();
            assert!(window <= 20, "{window}");
        }
        assert!(given.len() >= 80, "{}", given.len());
    }

    #[test]
    fn what_the_store_said_is_left_is_a_further_bound() {
        let mut ledger = Ledger::new(10);
        let now = at(0);
        for _ in 0..3 {
            assert!(
                ledger
                    .check("k", QUOTA, 50, 1, told(3, Duration::ZERO), now)
                    .met
            );
            ledger.give("k", QUOTA, 1, now);
        }
        let refused = ledger.check("k", QUOTA, 50, 1, told(3, Duration::ZERO), now);
        assert!(!refused.met && refused.remaining == 0);
        let later = told(3, refused.retry_after);
        let then = now + refused.retry_after;
        assert!(ledger.check("k", QUOTA, 50, 1, later, then).met);
        ledger.told("k");
        assert!(
            ledger
                .check("k", QUOTA, 50, 1, told(1, Duration::ZERO), now)
                .met
        );
        let spare = ledger.check("l", QUOTA, 50, 1, told(100, Duration::ZERO), now);
        assert_eq!((spare.met, spare.remaining), (true, 50));
    }

    #[test]
    fn what_was_given_is_owed_once_and_for_a_window() {
        let mut ledger = Ledger::new(10);
        ledger.give("k", QUOTA, 3, at(0));
        ledger.give("k", QUOTA, 2, at(10));
        ledger.take_back("k", 1);
        assert!(!ledger.is_due(at(999)) && ledger.is_due(at(1_000)));
        assert_eq!(ledger.take_debt("k", at(20)), 4);
        assert_eq!(ledger.take_debt("k", at(20)), 0);
        assert!(ledger.overdue(10, at(5_000)).is_empty());
        ledger.owe("k", 4, at(5_000));
        let debt = Debt {
            key: "k".to_owned(),
            window: MINUTE,
            permits: 4,
        };
        assert_eq!(ledger.overdue(10, at(6_000)), [debt]);
        ledger.give("k", QUOTA, 1, at(7_000));
        assert_eq!(
            ledger.take_debt("k", at(67_000)),
            0,
            "it has left the window"
        );
        for n in 0..5 {
            ledger.give(&n.to_string(), QUOTA, 1, at(70_000));
        }
        assert_eq!(ledger.overdue(3, at(72_000)).len(), 3);
        assert!(
            ledger.overdue(3, at(72_999)).is_empty(),
            "one call in a second"
        );
        assert_eq!(ledger.overdue(3, at(73_000)).len(), 2);
    }
}
