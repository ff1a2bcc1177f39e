//! Single flight: of the requests of an isolate that miss one key at once, one goes to the origin, and
//! the others wait for what it stores.
//!
//! Nobody waits on another request's future: a fetch under way is plain data with a deadline, and a
//! follower looks again after a short time of its own. Nothing is handed from one request to another
//! but what is stored for all, by the same rules as ever.
//!
//! ```text
//!          join                start            head_arrived
//! nothing ─────► under way ────────► started ────────────────► arriving
//!    ▲               │                  │                         │
//!    ├── finish ◄────┴──────────────────┴─────────────────────────┤
//!    └── its time is over ◄── hit-for-miss ◄───── give_up ────────┘
//! ```

use std::time::Duration;

use quick_cache::unsync::Cache;

use crate::clock::Timestamp;

/// How many keys are remembered.
const KEYS: usize = 1_000;

/// The longest that a request waits for another one's response before it goes to the origin itself.
pub const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// The longest that an isolate waits for another one. Each look costs the store two commands.
pub const ELSEWHERE: Duration = Duration::from_millis(1_500);

/// For how long nobody waits for a key whose response could not be stored.
const UNCACHEABLE: Duration = Duration::from_secs(10);

/// The same if the origin failed.
const FAILED: Duration = Duration::from_secs(1);

/// The keys that are being fetched.
#[derive(Debug)]
pub struct SingleFlight {
    keys: Cache<String, Fetch>,
}

#[derive(Debug, Clone, Copy)]
enum Fetch {
    /// A leader fetches it, or is about to, and is given up for lost at this time.
    UnderWay {
        until: Timestamp,
        /// Whether it has gone to the origin.
        started: bool,
        /// Since when its body arrives, once its head is there.
        arriving: Option<Timestamp>,
    },
    /// Nobody waits until then.
    HitForMiss { until: Timestamp },
}

/// What a request that misses is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Go to the origin: others wait for it.
    Leader,
    /// Look again later.
    Follower,
    /// Go to the origin, for itself only.
    Independent,
}

/// Why a fetch ended without anything stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotStored {
    /// The response must not be stored, or cannot.
    Uncacheable,
    /// The origin failed.
    Failed,
}

impl NotStored {
    /// For how long nobody waits then.
    pub const fn pause(self) -> Duration {
        match self {
            Self::Uncacheable => UNCACHEABLE,
            Self::Failed => FAILED,
        }
    }
}

impl SingleFlight {
    /// Nothing under way.
    pub fn new() -> Self {
        Self {
            keys: Cache::new(KEYS),
        }
    }

    /// A request misses `key` at `now`, and has waited for so long already. A leader is given up for
    /// lost after `max_wait`.
    pub fn join(
        &mut self,
        key: &str,
        waited: Duration,
        max_wait: Duration,
        now: Timestamp,
    ) -> Role {
        match self.keys.get(key) {
            Some(fetch @ Fetch::UnderWay { until, .. }) if now < *until => {
                match waited < LONGEST_WAIT && !fetch.is_slow(now) {
                    true => Role::Follower,
                    false => Role::Independent,
                }
            }
            Some(Fetch::HitForMiss { until }) if now < *until => Role::Independent,
            _ => {
                let fetch = Fetch::under_way(max_wait, false, now);
                self.keys.insert(key.to_owned(), fetch);
                Role::Leader
            }
        }
    }

    /// What is under way is of no use to anybody else any more.
    pub fn abandon(&mut self) {
        let keeps = |fetch: &Fetch| matches!(fetch, Fetch::HitForMiss { .. });
        self.keys.retain(|_, fetch| keeps(fetch));
    }

    /// The leader, which may have waited for another isolate until now, goes to the origin: it is given
    /// up for lost `max_wait` from here on.
    pub fn start(&mut self, key: &str, max_wait: Duration, now: Timestamp) {
        let fetch = Fetch::under_way(max_wait, true, now);
        self.keys.insert(key.to_owned(), fetch);
    }

    /// The head of a response that is to be stored has arrived, and its body may take this `time`:
    /// followers wait a little longer. If it takes longer than [`LONGEST_WAIT`], nobody waits any more
    /// until it is stored or given up.
    pub fn head_arrived(&mut self, key: &str, time: Duration, now: Timestamp) {
        // After a purge it is of no use to anybody else.
        if let Some(Fetch::UnderWay { .. }) = self.keys.get(key) {
            let fetch = Fetch::UnderWay {
                until: now + time,
                started: true,
                arriving: Some(now),
            };
            self.keys.insert(key.to_owned(), fetch);
        }
    }

    /// Another request is to lead, unless nobody waits for the response because its body is slow.
    pub fn hand_over(&mut self, key: &str, now: Timestamp) {
        let slow = self.keys.peek(key).is_some_and(|fetch| fetch.is_slow(now));
        if !slow {
            self.keys.remove(key);
        }
    }

    /// Whether a leader has gone to the origin for `key` and is awaited.
    pub fn has_started(&self, key: &str, now: Timestamp) -> bool {
        matches!(
            self.keys.peek(key),
            Some(Fetch::UnderWay { until, started: true, .. }) if now < *until
        )
    }

    /// The response is stored, or need not be fetched.
    pub fn finish(&mut self, key: &str) {
        self.keys.remove(key);
    }

    /// Nothing is stored: each request goes to the origin by itself for a while.
    pub fn give_up(&mut self, key: &str, why: NotStored, now: Timestamp) {
        let until = now + why.pause();
        self.keys
            .insert(key.to_owned(), Fetch::HitForMiss { until });
    }
}

impl Fetch {
    fn under_way(max_wait: Duration, started: bool, now: Timestamp) -> Self {
        Self::UnderWay {
            until: now + max_wait.min(LONGEST_WAIT),
            started,
            arriving: None,
        }
    }

    /// Whether a body has been arriving for so long that nobody waits for it.
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

/// After how long a follower looks again, for the `n`th time: soon at first, for most origins are
/// fast.
pub const fn pause(n: u32) -> Duration {
    Duration::from_millis(match n {
        0 => 5,
        1 => 10,
        _ => 20,
    })
}

/// The same of the store, if another isolate fetches it.
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
    fn memory_is_bounded() {
        let mut fetches = SingleFlight::new();
        for n in 0..10_000 {
            fetches.join(&n.to_string(), Duration::ZERO, TIMEOUT, at(0));
        }
        assert!(fetches.keys.len() <= KEYS);
    }
}
