//! Single flight: if several requests of an isolate miss one key at the same time, one goes to the
//! origin (the leader), and the others wait for what it stores (the followers).
//!
//! No request waits on another request's future. A fetch is plain data with a deadline, and a
//! follower looks again after a short time of its own. A follower gets nothing from the leader but
//! what may be stored for all requests, by the usual rules: an entry, or a failure that is shared.
//!
//! If the call of a leader for whom others wait fails, they do not all call the origin: one of them
//! does, and the others wait on. If that call fails too, nobody waits any more for a second.
//!
//! ```text
//!          join                start            head_arrived
//! nothing ─────► under way ────────► started ────────────────► arriving
//!    ▲  ▲            │ ▲                │                         │
//!    │  └── finish ◄─┴─│────────────────┴─────────────────────────┤
//!    │                 └─── join ──── failed once ◄──── fail ─────┤
//!    └── its time is over ◄─────── hit-for-miss ◄── give_up, fail ┘
//! ```

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::recent::Recent;

/// The largest number of keys that are remembered.
const KEYS: usize = 1_000;

/// The longest time that a request waits for another request's response before it goes to the
/// origin.
pub const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// The longest time that an isolate waits for another isolate. Each look costs two commands of the
/// store.
pub const ELSEWHERE: Duration = Duration::from_millis(1_500);

/// How long a key is hit-for-miss after its response could not be stored.
const UNCACHEABLE: Duration = Duration::from_secs(10);

/// How long a failure of the origin is shared, and how long after it one request calls the origin
/// again for all that cannot share it. If that call fails too, those do not wait for another one
/// for so long.
pub const FAILED: Duration = Duration::from_secs(1);

/// The keys that are being fetched.
#[derive(Debug)]
pub struct SingleFlight {
    keys: Keys,
}

/// What is known of keys. Those that are hit-for-miss are kept apart, so that ever new ones of them
/// make no key forgotten that is being fetched.
#[derive(Debug)]
struct Keys {
    fetched: Recent<Fetch>,
    hit_for_miss: Recent<Fetch>,
}

#[derive(Debug, Clone, Copy)]
enum Fetch {
    /// A leader fetches the key or is about to. It is given up for lost at `until`.
    UnderWay {
        until: Timestamp,
        /// Whether the leader has gone to the origin.
        started: bool,
        /// Whether another request has waited for it.
        awaited: bool,
        /// Since when the response's body has been arriving, once its head is there.
        arriving: Option<Timestamp>,
        /// Whether the call before it has failed.
        again: bool,
    },
    /// The leader's call has failed while others waited. The next request before `until` leads.
    FailedOnce { until: Timestamp },
    /// Hit-for-miss: no request waits for this key before `until`.
    HitForMiss { until: Timestamp },
}

/// The role of a request that misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It goes to the origin, and others may wait for it.
    Leader,
    /// It waits and looks again later.
    Follower,
    /// It goes to the origin for itself only.
    Independent,
}

/// How many calls in a row have failed for requests that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fails {
    /// None: no other request has waited for the call that failed.
    Alone,
    /// One. Of those who cannot share the failure, one calls the origin again.
    Once,
    /// Two. Those who wait need not find out for themselves.
    Twice,
}

/// Why the response to a fetch was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotStored {
    /// The response must not or cannot be stored.
    Uncacheable,
    /// The origin failed, or refuses to answer for now.
    Failed,
    /// There is no memory for another response now.
    NoRoom,
}

impl NotStored {
    /// How long the key is hit-for-miss.
    pub const fn pause(self) -> Duration {
        match self {
            Self::Uncacheable => UNCACHEABLE,
            Self::Failed | Self::NoRoom => FAILED,
        }
    }
}

impl SingleFlight {
    /// No fetch is under way.
    pub fn new() -> Self {
        Self { keys: Keys::new() }
    }

    /// The role of a request that misses `key` at `now` and has already waited for `waited`. If it
    /// becomes the leader, it is given up for lost after `max_wait`.
    pub fn join(
        &mut self,
        key: &str,
        waited: Duration,
        max_wait: Duration,
        now: Timestamp,
    ) -> Role {
        let known = self.keys.get(key).copied();
        match known {
            Some(fetch @ Fetch::UnderWay { until, .. }) if now < until => {
                if waited >= LONGEST_WAIT || fetch.is_slow(now) {
                    return Role::Independent;
                }
                if !fetch.is_awaited() {
                    self.keys.insert(key.to_owned(), fetch.and_awaited(true));
                }
                Role::Follower
            }
            Some(Fetch::HitForMiss { until }) if now < until => Role::Independent,
            known => {
                let again = matches!(known, Some(Fetch::FailedOnce { until }) if now < until);
                let fetch = Fetch::under_way(max_wait, false, now);
                self.keys.insert(key.to_owned(), fetch.and_again(again));
                Role::Leader
            }
        }
    }

    /// Whether a request is fetching `key`, so that another one can wait for it.
    pub fn is_under_way(&self, key: &str, now: Timestamp) -> bool {
        matches!(self.keys.peek(key), Some(Fetch::UnderWay { until, .. }) if now < *until)
    }

    /// Whether another request has waited for the fetch of `key` that is under way.
    pub fn is_awaited(&self, key: &str) -> bool {
        self.keys.peek(key).is_some_and(Fetch::is_awaited)
    }

    /// Forgets all fetches under way, because their responses must not serve other requests any
    /// more.
    pub fn abandon(&mut self) {
        self.keys.fetched.clear();
    }

    /// The leader goes to the origin. It may have waited for another isolate until now, so it is
    /// given up for lost only `max_wait` from now on. If the leader before it has found out in the
    /// meantime that nothing can be stored, no request waits for this one.
    pub fn start(&mut self, key: &str, max_wait: Duration, now: Timestamp) {
        let known = self.keys.peek(key);
        if matches!(known, Some(Fetch::HitForMiss { until }) if now < *until) {
            return;
        }
        let again = known.is_some_and(|fetch| fetch.follows_a_failure(now));
        let awaited = again || self.is_awaited(key);
        let fetch = Fetch::under_way(max_wait, true, now).and_again(again);
        self.keys.insert(key.to_owned(), fetch.and_awaited(awaited));
    }

    /// Whether the leader for `key` calls the origin again, because the call before it has failed.
    pub fn is_again(&self, key: &str) -> bool {
        self.keys.peek(key).is_some_and(Fetch::is_again)
    }

    /// The head of a response that is to be stored has arrived, and its body may take this `time`,
    /// so followers keep waiting. If the body takes longer than [`LONGEST_WAIT`], no request waits
    /// any more until it is stored or given up.
    pub fn head_arrived(&mut self, key: &str, time: Duration, now: Timestamp) {
        // After a purge the key is not there any more, and the response serves no other request.
        self.keys.fetched.change(key, |fetch| {
            if let Fetch::UnderWay {
                until,
                started,
                arriving,
                ..
            } = fetch
            {
                (*until, *started, *arriving) = (now + time, true, Some(now));
            }
        });
    }

    /// Lets another request become the leader, unless no request waits because the body is slow.
    pub fn hand_over(&mut self, key: &str, now: Timestamp) {
        let slow = self.keys.peek(key).is_some_and(|fetch| fetch.is_slow(now));
        if !slow {
            self.keys.remove(key);
        }
    }

    /// Whether a leader that is not lost yet has gone to the origin for `key`.
    pub fn has_started(&self, key: &str, now: Timestamp) -> bool {
        matches!(
            self.keys.peek(key),
            Some(Fetch::UnderWay { until, started: true, .. }) if now < *until
        )
    }

    /// Ends the fetch: the response is stored or need not be fetched.
    pub fn finish(&mut self, key: &str) {
        self.keys.remove(key);
    }

    /// Ends the fetch because the leader's call has failed. For [`NotStored::pause`], the next
    /// request calls the origin again and others wait for it, or none waits if this was the second
    /// call.
    pub fn fail(&mut self, key: &str, now: Timestamp) -> Fails {
        let until = now + FAILED;
        let (fails, fetch) = match self.keys.peek(key) {
            Some(Fetch::UnderWay { again: true, .. }) => {
                (Fails::Twice, Fetch::HitForMiss { until })
            }
            Some(Fetch::UnderWay { awaited: true, .. }) => {
                (Fails::Once, Fetch::FailedOnce { until })
            }
            Some(Fetch::UnderWay { .. }) => {
                // The next request leads, so that others can wait for it.
                self.finish(key);
                return Fails::Alone;
            }
            _ => return Fails::Alone,
        };
        self.keys.insert(key.to_owned(), fetch);
        fails
    }

    /// Ends the fetch with nothing stored: the key is hit-for-miss for [`NotStored::pause`].
    pub fn give_up(&mut self, key: &str, why: NotStored, now: Timestamp) {
        let until = now + why.pause();
        self.keys
            .insert(key.to_owned(), Fetch::HitForMiss { until });
    }
}

impl Keys {
    fn new() -> Self {
        Self {
            fetched: Recent::new(KEYS),
            hit_for_miss: Recent::new(KEYS),
        }
    }

    fn get(&self, key: &str) -> Option<&Fetch> {
        self.fetched.get(key).or_else(|| self.hit_for_miss.get(key))
    }

    fn peek(&self, key: &str) -> Option<&Fetch> {
        let fetched = self.fetched.peek(key);
        fetched.or_else(|| self.hit_for_miss.peek(key))
    }

    fn insert(&mut self, key: String, fetch: Fetch) {
        self.remove(&key);
        match fetch {
            Fetch::HitForMiss { .. } => self.hit_for_miss.insert(key, fetch),
            _ => self.fetched.insert(key, fetch),
        }
    }

    fn remove(&mut self, key: &str) {
        self.fetched.remove(key);
        self.hit_for_miss.remove(key);
    }
}

impl Fetch {
    fn under_way(max_wait: Duration, started: bool, now: Timestamp) -> Self {
        Self::UnderWay {
            until: now + max_wait.min(LONGEST_WAIT),
            started,
            awaited: false,
            arriving: None,
            again: false,
        }
    }

    const fn is_awaited(&self) -> bool {
        matches!(self, Self::UnderWay { awaited: true, .. })
    }

    const fn is_again(&self) -> bool {
        matches!(self, Self::UnderWay { again: true, .. })
    }

    /// Whether a leader now calls the origin because the call before has failed.
    fn follows_a_failure(&self, now: Timestamp) -> bool {
        match self {
            Self::FailedOnce { until } => now < *until,
            fetch => fetch.is_again(),
        }
    }

    /// The fetch by a leader after another one's call has failed, for which others have waited.
    fn and_again(mut self, is: bool) -> Self {
        if let Self::UnderWay { awaited, again, .. } = &mut self {
            (*awaited, *again) = (is, is);
        }
        self
    }

    fn and_awaited(mut self, by_another: bool) -> Self {
        if let Self::UnderWay { awaited, .. } = &mut self {
            *awaited = by_another;
        }
        self
    }

    /// Whether the body has been arriving for so long that no request waits for it.
    fn is_slow(&self, now: Timestamp) -> bool {
        match self {
            Self::UnderWay {
                until,
                arriving: Some(since),
                ..
            } => now < *until && now.since(*since) >= LONGEST_WAIT,
            _ => false,
        }
    }
}

/// How long a follower waits before it looks for the `n`th time, counted from 0. The first pauses
/// are short, because most origins are fast.
pub const fn pause(n: u32) -> Duration {
    Duration::from_millis(match n {
        0 => 5,
        1 => 10,
        _ => 20,
    })
}

/// How long a leader waits before it asks the store for the `n`th time, counted from 0, whether
/// another isolate has stored the response.
pub const fn pause_elsewhere(n: u32) -> Duration {
    Duration::from_millis(match n {
        0 => 40,
        1 => 20,
        2 | 3 => 15,
        4 => 60,
        5 => 150,
        6 => 300,
        7 => 400,
        _ => 500,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + ms)
    }

    fn join(fetches: &mut SingleFlight, ms: u64, waited: u64) -> Role {
        fetches.join("k", Duration::from_millis(waited), TIMEOUT, at(ms))
    }

    #[test]
    fn one_leads_and_the_others_wait_until_it_is_stored() {
        let mut fetches = SingleFlight::new();
        assert_eq!(join(&mut fetches, 0, 0), Role::Leader);
        assert_eq!(join(&mut fetches, 0, 0), Role::Follower);
        assert_eq!(join(&mut fetches, 60, 60), Role::Follower);
        let other = fetches.join("l", Duration::ZERO, TIMEOUT, at(0));
        assert_eq!(other, Role::Leader, "another key");
        fetches.finish("k");
        assert_eq!(join(&mut fetches, 61, 0), Role::Leader);
    }

    #[test]
    fn a_leader_that_is_lost_holds_nobody_longer_than_its_deadline() {
        let mut fetches = SingleFlight::new();
        join(&mut fetches, 0, 0);
        assert_eq!(join(&mut fetches, 2_999, 2_999), Role::Follower);
        assert_eq!(
            join(&mut fetches, 3_000, 3_000),
            Role::Leader,
            "one new leader"
        );
        assert_eq!(
            join(&mut fetches, 3_000, 3_000),
            Role::Independent,
            "it waited enough"
        );
        assert_eq!(join(&mut fetches, 3_000, 10), Role::Follower);
    }

    #[test]
    fn nobody_waits_for_a_leader_that_starts_after_a_response_was_given_up() {
        let mut fetches = SingleFlight::new();
        join(&mut fetches, 0, 0);
        assert_eq!(join(&mut fetches, 3_000, 0), Role::Leader, "a second one");
        fetches.give_up("k", NotStored::Uncacheable, at(3_010));
        fetches.start("k", TIMEOUT, at(3_020));
        assert_eq!(join(&mut fetches, 3_030, 0), Role::Independent);
        fetches.start("k", TIMEOUT, at(20_000));
        assert_eq!(join(&mut fetches, 20_001, 0), Role::Follower, "it is over");
    }

    #[test]
    fn a_leader_with_little_time_is_given_up_for_lost_the_sooner() {
        let mut fetches = SingleFlight::new();
        let timeout = Duration::from_millis(500);
        assert_eq!(
            fetches.join("k", Duration::ZERO, timeout, at(0)),
            Role::Leader
        );
        assert_eq!(
            fetches.join("k", Duration::ZERO, timeout, at(500)),
            Role::Leader
        );
    }

    #[test]
    fn a_leader_that_waited_for_another_isolate_has_its_whole_time() {
        let mut fetches = SingleFlight::new();
        let timeout = Duration::from_secs(2);
        fetches.join("k", Duration::ZERO, timeout, at(0));
        fetches.start("k", timeout, at(1_500));
        assert_eq!(join(&mut fetches, 3_499, 1_000), Role::Follower);
        assert_eq!(join(&mut fetches, 3_500, 1_000), Role::Leader);
    }

    #[test]
    fn a_slow_body_is_waited_for_once_and_not_by_each_anew() {
        let mut fetches = SingleFlight::new();
        join(&mut fetches, 0, 0);
        fetches.start("k", TIMEOUT, at(0));
        fetches.head_arrived("k", Duration::from_secs(25), at(500));
        assert_eq!(join(&mut fetches, 3_499, 0), Role::Follower);
        for ms in [3_500, 3_501, 10_000, 25_499] {
            assert_eq!(join(&mut fetches, ms, 0), Role::Independent, "{ms}");
        }
        assert_eq!(join(&mut fetches, 25_500, 0), Role::Leader, "lost");
        fetches.head_arrived("k", Duration::from_secs(25), at(25_600));
        fetches.finish("k");
        assert_eq!(join(&mut fetches, 25_700, 0), Role::Leader, "stored");
    }

    #[test]
    fn who_waits_does_so_while_a_body_arrives_but_never_longer_than_ever() {
        let mut fetches = SingleFlight::new();
        join(&mut fetches, 0, 0);
        fetches.head_arrived("k", Duration::from_secs(25), at(2_900));
        assert_eq!(join(&mut fetches, 2_999, 2_999), Role::Follower);
        assert_eq!(join(&mut fetches, 3_000, 3_000), Role::Independent);
        assert_eq!(join(&mut fetches, 3_000, 10), Role::Follower);
    }

    #[test]
    fn nobody_is_made_to_lead_while_a_slow_body_arrives() {
        let mut fetches = SingleFlight::new();
        join(&mut fetches, 0, 0);
        fetches.head_arrived("k", Duration::from_secs(25), at(0));
        fetches.hand_over("k", at(3_000));
        assert_eq!(join(&mut fetches, 3_000, 0), Role::Independent);
        let mut fetches = SingleFlight::new();
        join(&mut fetches, 0, 0);
        fetches.head_arrived("k", Duration::from_secs(25), at(0));
        fetches.hand_over("k", at(2_999));
        assert_eq!(join(&mut fetches, 2_999, 0), Role::Leader);
    }

    #[test]
    fn a_head_that_comes_after_a_purge_is_waited_for_by_nobody() {
        let mut fetches = SingleFlight::new();
        join(&mut fetches, 0, 0);
        fetches.abandon();
        fetches.head_arrived("k", Duration::from_secs(25), at(10));
        assert_eq!(join(&mut fetches, 20, 0), Role::Leader);
    }

    #[test]
    fn nobody_waits_for_what_cannot_be_stored() {
        for (how, pause) in [(NotStored::Uncacheable, 10_000), (NotStored::Failed, 1_000)] {
            let mut fetches = SingleFlight::new();
            join(&mut fetches, 0, 0);
            fetches.give_up("k", how, at(60));
            assert_eq!(join(&mut fetches, 60, 60), Role::Independent, "{how:?}");
            assert_eq!(
                join(&mut fetches, 59 + pause, 0),
                Role::Independent,
                "{how:?}"
            );
            assert_eq!(join(&mut fetches, 60 + pause, 0), Role::Leader, "{how:?}");
        }
    }

    #[test]
    fn after_a_failed_call_one_leads_again_and_the_others_wait_for_it() {
        let mut fetches = SingleFlight::new();
        join(&mut fetches, 0, 0);
        join(&mut fetches, 1, 0);
        fetches.start("k", TIMEOUT, at(1));
        assert_eq!(fetches.fail("k", at(60)), Fails::Once);
        assert_eq!(join(&mut fetches, 61, 60), Role::Leader);
        assert_eq!(join(&mut fetches, 61, 60), Role::Follower);
        fetches.start("k", TIMEOUT, at(62));
        fetches.head_arrived("k", TIMEOUT, at(70));
        assert!(fetches.is_again("k"));
        assert_eq!(fetches.fail("k", at(80)), Fails::Twice);
        assert_eq!(join(&mut fetches, 81, 80), Role::Independent);
        assert_eq!(fetches.fail("k", at(82)), Fails::Alone, "nobody waits");
        assert_eq!(join(&mut fetches, 1_079, 0), Role::Independent);
        assert_eq!(join(&mut fetches, 1_080, 0), Role::Leader, "it is over");
        assert!(!fetches.is_again("k"));
    }

    #[test]
    fn of_two_calls_that_failed_the_second_is_told_though_nobody_looked_yet() {
        let mut fetches = SingleFlight::new();
        join(&mut fetches, 0, 0);
        join(&mut fetches, 1, 0);
        fetches.fail("k", at(2));
        join(&mut fetches, 3, 3);
        assert_eq!(fetches.fail("k", at(4)), Fails::Twice);
    }

    #[test]
    fn calls_that_fail_a_second_apart_or_for_nobody_else_are_not_in_a_row() {
        let mut fetches = SingleFlight::new();
        join(&mut fetches, 0, 0);
        assert_eq!(fetches.fail("k", at(1)), Fails::Alone);
        join(&mut fetches, 2, 0);
        join(&mut fetches, 3, 0);
        fetches.fail("k", at(4));
        assert_eq!(join(&mut fetches, 1_004, 0), Role::Leader);
        assert_eq!(fetches.fail("k", at(1_005)), Fails::Alone);
        join(&mut fetches, 1_006, 0);
        join(&mut fetches, 1_007, 0);
        fetches.fail("k", at(1_008));
        fetches.abandon();
        join(&mut fetches, 1_009, 0);
        assert!(!fetches.is_again("k"), "after a purge");
    }

    #[test]
    fn a_fetch_knows_whether_another_request_has_waited_for_it() {
        let mut fetches = SingleFlight::new();
        assert!(!fetches.is_awaited("k"));
        join(&mut fetches, 0, 0);
        assert!(!fetches.is_awaited("k"));
        join(&mut fetches, 1, 0);
        fetches.start("k", TIMEOUT, at(2));
        fetches.head_arrived("k", TIMEOUT, at(3));
        assert!(fetches.is_awaited("k"));
        fetches.finish("k");
        join(&mut fetches, 4, 0);
        assert!(!fetches.is_awaited("k"), "another fetch");
        join(&mut fetches, 5, 0);
        fetches.abandon();
        assert!(!fetches.is_awaited("k"), "a purge");
    }

    #[test]
    fn another_isolate_is_looked_for_nine_times_at_most() {
        let mut waited = Duration::ZERO;
        let mut looks = 0;
        while waited < ELSEWHERE {
            waited += pause_elsewhere(looks);
            looks += 1;
        }
        assert_eq!(looks, 9);
        let soon: Duration = (0..4).map(pause_elsewhere).sum();
        assert!(soon < Duration::from_millis(100), "most origins are fast");
    }

    #[test]
    fn ever_new_keys_that_cannot_be_stored_leave_a_fetch_known() {
        let mut fetches = SingleFlight::new();
        let miss = |fetches: &mut SingleFlight, n: u64| {
            let key = n.to_string();
            fetches.join(&key, Duration::ZERO, TIMEOUT, at(0));
            fetches.start(&key, TIMEOUT, at(0));
            fetches.give_up(&key, NotStored::Uncacheable, at(0));
        };
        (0..3_000).for_each(|n| miss(&mut fetches, n));
        assert_eq!(join(&mut fetches, 0, 0), Role::Leader);
        (3_000..6_000).for_each(|n| miss(&mut fetches, n));
        assert_eq!(join(&mut fetches, 1, 1), Role::Follower);
    }

    #[test]
    fn memory_is_bounded() {
        let mut fetches = SingleFlight::new();
        for n in 0..10_000 {
            fetches.join(&n.to_string(), Duration::ZERO, TIMEOUT, at(0));
        }
        let Keys {
            fetched,
            hit_for_miss,
        } = &fetches.keys;
        assert!(fetched.len() <= KEYS && hit_for_miss.len() <= KEYS);
    }
}
