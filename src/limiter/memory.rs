//! What an isolate remembers about limits between requests: plain data with deadlines, without
//! futures or locks.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::limit::Quota;
use crate::engine::limit::crowd::Crowds;
use crate::engine::limit::deny_cache::DenyCache;
use crate::engine::limit::fallback::Fallback;
use crate::engine::limit::lease::Leases;
use crate::engine::limit::ledger::Ledger;
use crate::engine::limit::penalty::Penalties;
use crate::engine::limit::windows::Windows;
use crate::engine::recent::Recent;
use crate::engine::registry::Standing;

use crate::store::{Granted, LimitReply, Link};

/// How many subjects each part remembers.
const SUBJECTS: usize = 10_000;

/// How many subjects have windows of their own in a process without a store, which has nothing else
/// to go by.
const WINDOWS: usize = 50_000;

/// How long a key's standing is used without asking the store: a revoked key counts as registered
/// for so long.
const STANDING: Duration = Duration::from_secs(10);

/// How long to wait, while the store fails, before it is tried again to return permits.
const STORE_DOWN: Duration = Duration::from_secs(2);

/// What an isolate remembers about limits.
#[derive(Debug)]
pub struct LimitMemory {
    /// Refusals that still apply.
    pub denied: DenyCache,
    /// The local limits.
    pub fallback: Fallback,
    /// The windows that decide in place of the local limits if there is no store.
    pub windows: Option<Windows>,
    /// What was admitted here because the store did not answer.
    pub ledger: Ledger,
    /// Permits that were fetched ahead, or for requests that wait.
    pub leases: Leases,
    /// The calls that are on their way, and who waits for them.
    pub crowds: Crowds,
    /// Until when there may be permits of limits that fetch none ahead.
    shared_until: Timestamp,
    /// Clients that are held off.
    pub penalties: Penalties,
    /// What the store has said of keys that are registered.
    registered: Recent<(Standing, Timestamp)>,
    /// When it said of keys that they are not. They are kept apart, so that made-up ones make no
    /// registered one forgotten.
    unregistered: Recent<Timestamp>,
    /// Until when a task waits to return unspent permits, if one does.
    sweeping_until: Option<Timestamp>,
}

impl Default for LimitMemory {
    /// An empty memory.
    fn default() -> Self {
        Self {
            denied: DenyCache::new(SUBJECTS),
            fallback: Fallback::new(SUBJECTS),
            windows: None,
            ledger: Ledger::new(SUBJECTS),
            leases: Leases::new(SUBJECTS),
            crowds: Crowds::new(SUBJECTS),
            shared_until: Timestamp::default(),
            penalties: Penalties::new(SUBJECTS),
            registered: Recent::new(SUBJECTS),
            unregistered: Recent::new(SUBJECTS),
            sweeping_until: None,
        }
    }
}

impl LimitMemory {
    /// An empty memory for a process without a store, in which windows decide that are as exact as
    /// the store's.
    pub fn exact() -> Self {
        Self {
            windows: Some(Windows::new(WINDOWS)),
            ..Self::default()
        }
    }

    /// How long to wait before unspent permits are returned that no call has taken back by then;
    /// `None` if there are none, if a task is waiting for that already, or if it would take longer
    /// than `patience`: then a later request returns them ([`is_sweep_due`](Self::is_sweep_due)).
    pub fn sweep_after(
        &mut self,
        link: &Link,
        patience: Duration,
        now: Timestamp,
    ) -> Option<Duration> {
        let mut wait = self.leases.next_overdue()?.since(now);
        if !link.is_up() {
            // They stay overdue until the store answers again.
            wait = wait.max(STORE_DOWN);
        }
        if wait > patience {
            return None;
        }
        let until = now + wait + link.longest_call();
        // A task that waits for later permits would be too late for these.
        let in_time = |theirs| now < theirs && theirs <= until;
        if self.sweeping_until.is_some_and(in_time) {
            return None;
        }
        self.sweeping_until = Some(until);
        Some(wait)
    }

    /// Whether unspent permits are overdue and no task is about to return them.
    pub fn is_sweep_due(&self, now: Timestamp) -> bool {
        let due = self.leases.next_overdue();
        due.is_some_and(|due| due <= now) && self.sweeping_until.is_none_or(|until| until <= now)
    }

    /// The waiting task has ended its wait.
    pub const fn swept(&mut self) {
        self.sweeping_until = None;
    }

    /// The standing of the key with this record when the store last reported it, and whether that
    /// is recent enough to be used without asking.
    pub fn standing(&self, record: &str, now: Timestamp) -> Option<(&Standing, bool)> {
        let (standing, at) = match self.registered.get(record) {
            Some((standing, at)) => (standing, at),
            None => (&Standing::Unregistered, self.unregistered.get(record)?),
        };
        Some((standing, now.since(*at) < STANDING))
    }

    /// Records the standing that the store reported for a key.
    pub fn learn_standing(&mut self, record: &str, standing: Standing, now: Timestamp) {
        match standing {
            Standing::Unregistered => {
                self.registered.remove(record);
                self.unregistered.insert(record.to_owned(), now);
            }
            Standing::Registered { .. } => {
                self.unregistered.remove(record);
                self.registered.insert(record.to_owned(), (standing, now));
            }
        }
    }

    /// Records what the store said about a limit.
    pub fn learn(&mut self, key: &str, said: &LimitReply, window: Duration, now: Timestamp) {
        self.fallback.learn(key, said.quota, &said.verdict, now);
        self.ledger.told(key);
        let lent = said.granted.as_ref().map_or(0, |granted| granted.permits);
        let used = said.quota.saturating_sub(said.verdict.remaining);
        let used = used.saturating_sub(lent);
        self.leases.counted(key, used, window, now);
    }

    /// Records permits that the store has lent to a call that was made at `asked`.
    pub fn lent(&mut self, key: &str, window: Duration, granted: Granted, asked: Timestamp) {
        self.shared_until = self.shared_until.max(asked + granted.void_after);
        let lease = (granted.receipt, granted.permits);
        self.leases
            .granted(key, window, lease, asked, granted.void_after);
    }

    /// Charges `more` permits in addition to what this process has charged by itself, even if that
    /// exceeds what is left, and gives `less` back.
    pub fn correct(&mut self, key: &str, quota: Quota, (more, less): (u64, u64), now: Timestamp) {
        match &mut self.windows {
            Some(windows) => {
                windows.give_back(key, quota, less, now);
                windows.charge(key, quota, more, now);
            }
            None => {
                let signed = |permits| i64::try_from(permits).unwrap_or(i64::MAX);
                let by = signed(more) - signed(less);
                self.fallback.correct(key, quota, by, now);
                self.ledger.take_back(key, less);
                self.ledger.give(key, quota, more, now);
            }
        }
    }

    /// Whether there may be permits of limits that fetch none ahead, which were lent to requests
    /// that waited.
    pub fn may_hold_shared(&self, now: Timestamp) -> bool {
        now < self.shared_until
    }

    /// Forgets everything about a subject.
    pub fn forget(&mut self, key: &str) {
        self.denied.forget(key);
        self.fallback.forget(key);
        self.ledger.forget(key);
        if let Some(windows) = &mut self.windows {
            windows.forget(key);
        }
        self.leases.forget(key);
        self.penalties.forget(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::millis;
    use crate::engine::limit::Receipt;
    use crate::error::{Error, ErrorKind};

    fn lend(memory: &mut LimitMemory, key: &str, seconds: u64) {
        let granted = Granted {
            receipt: Receipt {
                tag: "a".to_owned(),
                bucket: 1,
            },
            permits: 5,
            void_after: Duration::from_secs(seconds),
        };
        let asked = Timestamp::from_millis(0);
        memory.lent(key, Duration::from_secs(60), granted, asked);
    }

    #[test]
    fn one_waits_for_what_is_to_go_back_unless_something_is_due_before() {
        let mut memory = LimitMemory::default();
        let link = Link::new(Duration::from_millis(150), 1);
        let wait = |memory: &mut LimitMemory, now| {
            let wait = memory.sweep_after(&link, Duration::MAX, Timestamp::from_millis(now));
            wait.map(millis)
        };
        assert_eq!(wait(&mut memory, 0), None);
        lend(&mut memory, "long", 10);
        assert_eq!(
            wait(&mut memory, 0),
            Some(20_000),
            "a long lease waits as long"
        );
        assert_eq!(wait(&mut memory, 1), None);
        lend(&mut memory, "short", 1);
        assert_eq!(wait(&mut memory, 1), Some(1_499));
        assert_eq!(wait(&mut memory, 2), None);
    }

    #[test]
    fn a_later_request_returns_what_the_platform_does_not_wait_for() {
        let mut memory = LimitMemory::default();
        let link = Link::new(Duration::from_millis(150), 1);
        let at = Timestamp::from_millis;
        lend(&mut memory, "long", 14);
        let patience = Duration::from_secs(25);
        assert_eq!(memory.sweep_after(&link, patience, at(0)), None);
        assert!(!memory.is_sweep_due(at(27_999)));
        assert!(memory.is_sweep_due(at(28_000)));
        lend(&mut memory, "short", 1);
        let wait = memory.sweep_after(&link, patience, at(0));
        assert_eq!(wait, Some(Duration::from_millis(1_500)));
        assert!(!memory.is_sweep_due(at(1_600)), "a task is about to do it");
        memory.swept();
        assert!(memory.is_sweep_due(at(1_600)));
    }

    #[test]
    fn while_the_store_fails_it_is_looked_again_now_and_then() {
        let mut memory = LimitMemory::default();
        lend(&mut memory, "k", 1);
        let late = Timestamp::from_millis(5_000);
        let mut link = Link::new(Duration::from_millis(150), 1);
        link.heard(Some(&Error::from(ErrorKind::Unauthorised)), late);
        assert_eq!(
            memory.sweep_after(&link, Duration::MAX, late),
            Some(STORE_DOWN)
        );
    }

    #[test]
    fn a_standing_is_believed_for_a_while_and_kept_for_bad_times() {
        let mut memory = LimitMemory::default();
        let at = Timestamp::from_millis;
        memory.learn_standing("k", Standing::Unregistered, at(0));
        assert!(memory.standing("k", at(9_999)).unwrap().1);
        assert!(!memory.standing("k", at(10_000)).unwrap().1);
        assert!(memory.standing("l", at(0)).is_none());
    }

    #[test]
    fn made_up_keys_make_no_registered_one_forgotten() {
        let mut memory = LimitMemory::default();
        let at = Timestamp::from_millis;
        let plan = Some("pro".to_owned());
        memory.learn_standing("k", Standing::Registered { plan }, at(0));
        for n in 0..30_000 {
            memory.learn_standing(&n.to_string(), Standing::Unregistered, at(0));
        }
        let known = memory.standing("k", at(1));
        assert!(matches!(known, Some((Standing::Registered { .. }, true))));
        memory.learn_standing("k", Standing::Unregistered, at(2));
        let known = memory.standing("k", at(3));
        assert!(matches!(known, Some((Standing::Unregistered, true))));
    }
}
