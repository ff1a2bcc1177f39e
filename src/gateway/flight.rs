//! Single flight: of the requests of an isolate that miss one key at once, one goes to the origin, and
//! the others wait for what it stores.
//!
//! Nobody waits on another request's future: a flight is plain data with a deadline, and whoever waits
//! looks again after a short time of its own. Nothing is handed from one request to another but what is
//! stored for all, by the same rules as ever.

use std::time::Duration;

use quick_cache::unsync::Cache;

use crate::clock::Timestamp;

/// How many keys are remembered.
const KEYS: usize = 1_000;

/// The longest that a request waits for another one's answer before it goes itself.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// The longest that an isolate waits for another one. Each look costs the store two commands.
pub const ELSEWHERE: Duration = Duration::from_millis(1_500);

/// For how long nobody waits for a key whose answer could not be stored.
const UNSTORED: Duration = Duration::from_secs(10);

/// The same where the origin failed.
const FAILED: Duration = Duration::from_secs(1);

/// The keys that are being fetched.
#[derive(Debug)]
pub struct Flights {
    keys: Cache<String, Flight>,
}

#[derive(Debug, Clone, Copy)]
enum Flight {
    /// Somebody fetches it, or is about to, and is given up for lost at this time.
    Under {
        until: Timestamp,
        departed: bool,
        /// Since when there is a head, and the body arrives.
        arriving: Option<Timestamp>,
    },
    /// It is of no use to wait for it until then.
    Grounded { until: Timestamp },
}

/// What a request that misses is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boarding {
    /// Go to the origin: others wait for it.
    Lead,
    /// Look again later.
    Wait,
    /// Go to the origin, for itself only.
    Alone,
}

/// How a flight ended without anything stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landing {
    /// The answer must not be stored, or cannot.
    Unstored,
    /// The origin failed.
    Failed,
}

impl Landing {
    /// For how long nobody waits then.
    pub const fn pause(self) -> Duration {
        match self {
            Self::Unstored => UNSTORED,
            Self::Failed => FAILED,
        }
    }
}

impl Flights {
    /// None under way.
    pub fn new() -> Self {
        Self {
            keys: Cache::new(KEYS),
        }
    }

    /// A request misses `key` at `now`, and has waited for so long already. A leader is given up for
    /// lost after `patience`.
    pub fn board(
        &mut self,
        key: &str,
        waited: Duration,
        patience: Duration,
        now: Timestamp,
    ) -> Boarding {
        match self.keys.get(key) {
            Some(flight @ Flight::Under { until, .. }) if now < *until => {
                match waited < PATIENCE && !flight.is_slow(now) {
                    true => Boarding::Wait,
                    false => Boarding::Alone,
                }
            }
            Some(Flight::Grounded { until }) if now < *until => Boarding::Alone,
            _ => {
                self.keys
                    .insert(key.to_owned(), Flight::under(patience, false, now));
                Boarding::Lead
            }
        }
    }

    /// What is under way will be of no use to anybody else.
    pub fn abandon(&mut self) {
        self.keys
            .retain(|_, flight| matches!(flight, Flight::Grounded { .. }));
    }

    /// The leader, which may have waited for another isolate until now, goes to the origin: it is given
    /// up for lost `patience` from here on.
    pub fn depart(&mut self, key: &str, patience: Duration, now: Timestamp) {
        self.keys
            .insert(key.to_owned(), Flight::under(patience, true, now));
    }

    /// The head of an answer that is to be stored has come, and its body may arrive for so long: those who
    /// wait do so a little longer, and if it arrives for longer than [`PATIENCE`], nobody waits any more
    /// until it is stored or given up.
    pub fn arriving(&mut self, key: &str, time: Duration, now: Timestamp) {
        // After a purge it is of no use to anybody else.
        if let Some(flight) = self.keys.get(key)
            && matches!(flight, Flight::Under { .. })
        {
            let flight = Flight::Under {
                until: now + time,
                departed: true,
                arriving: Some(now),
            };
            self.keys.insert(key.to_owned(), flight);
        }
    }

    /// Another request is to lead, unless nobody waits for the answer because its body is slow.
    pub fn hand_over(&mut self, key: &str, now: Timestamp) {
        if !self
            .keys
            .peek(key)
            .is_some_and(|flight| flight.is_slow(now))
        {
            self.keys.remove(key);
        }
    }

    /// Whether somebody has gone to the origin for `key` and is awaited.
    pub fn has_departed(&self, key: &str, now: Timestamp) -> bool {
        matches!(
            self.keys.peek(key),
            Some(Flight::Under { until, departed: true, .. }) if now < *until
        )
    }

    /// What was fetched is stored.
    pub fn stored(&mut self, key: &str) {
        self.keys.remove(key);
    }

    /// Nothing is: whoever waits goes by itself.
    pub fn landed(&mut self, key: &str, how: Landing, now: Timestamp) {
        let until = now + how.pause();
        self.keys.insert(key.to_owned(), Flight::Grounded { until });
    }
}

impl Flight {
    fn under(patience: Duration, departed: bool, now: Timestamp) -> Self {
        Self::Under {
            until: now + patience.min(PATIENCE),
            departed,
            arriving: None,
        }
    }

    /// Whether a body has been arriving for so long that nobody waits for it.
    fn is_slow(&self, now: Timestamp) -> bool {
        match self {
            Self::Under {
                until,
                arriving: Some(since),
                ..
            } => now < *until && now.since(*since) >= PATIENCE,
            _ => false,
        }
    }
}

/// After how long to look again, for the `n`th time: soon at first, for most origins are fast.
pub const fn pause(n: u32) -> Duration {
    Duration::from_millis(match n {
        0 => 5,
        1 => 10,
        _ => 20,
    })
}

/// The same of the store, for what another isolate is at.
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

    fn board(flights: &mut Flights, ms: u64, waited: u64) -> Boarding {
        flights.board("k", Duration::from_millis(waited), TIMEOUT, at(ms))
    }

    #[test]
    fn one_leads_and_the_others_wait_until_it_is_stored() {
        let mut flights = Flights::new();
        assert_eq!(board(&mut flights, 0, 0), Boarding::Lead);
        assert_eq!(board(&mut flights, 0, 0), Boarding::Wait);
        assert_eq!(board(&mut flights, 60, 60), Boarding::Wait);
        let other = flights.board("l", Duration::ZERO, TIMEOUT, at(0));
        assert_eq!(other, Boarding::Lead, "another key");
        flights.stored("k");
        assert_eq!(board(&mut flights, 61, 0), Boarding::Lead);
    }

    #[test]
    fn a_leader_that_is_lost_holds_nobody_longer_than_its_deadline() {
        let mut flights = Flights::new();
        board(&mut flights, 0, 0);
        assert_eq!(board(&mut flights, 2_999, 2_999), Boarding::Wait);
        assert_eq!(
            board(&mut flights, 3_000, 3_000),
            Boarding::Lead,
            "one new leader"
        );
        assert_eq!(
            board(&mut flights, 3_000, 3_000),
            Boarding::Alone,
            "it waited enough"
        );
        assert_eq!(board(&mut flights, 3_000, 10), Boarding::Wait);
    }

    #[test]
    fn a_leader_with_little_time_is_given_up_for_lost_the_sooner() {
        let mut flights = Flights::new();
        let timeout = Duration::from_millis(500);
        assert_eq!(
            flights.board("k", Duration::ZERO, timeout, at(0)),
            Boarding::Lead
        );
        assert_eq!(
            flights.board("k", Duration::ZERO, timeout, at(500)),
            Boarding::Lead
        );
    }

    #[test]
    fn a_leader_that_waited_for_an_isolate_has_all_its_time_for_the_origin() {
        let mut flights = Flights::new();
        let timeout = Duration::from_secs(2);
        flights.board("k", Duration::ZERO, timeout, at(0));
        flights.depart("k", timeout, at(1_500));
        assert_eq!(board(&mut flights, 3_499, 1_000), Boarding::Wait);
        assert_eq!(board(&mut flights, 3_500, 1_000), Boarding::Lead);
    }

    #[test]
    fn a_slow_body_is_waited_for_once_and_not_by_each_anew() {
        let mut flights = Flights::new();
        board(&mut flights, 0, 0);
        flights.depart("k", TIMEOUT, at(0));
        flights.arriving("k", Duration::from_secs(25), at(500));
        assert_eq!(board(&mut flights, 3_499, 0), Boarding::Wait);
        for ms in [3_500, 3_501, 10_000, 25_499] {
            assert_eq!(board(&mut flights, ms, 0), Boarding::Alone, "{ms}");
        }
        assert_eq!(board(&mut flights, 25_500, 0), Boarding::Lead, "lost");
        flights.arriving("k", Duration::from_secs(25), at(25_600));
        flights.stored("k");
        assert_eq!(board(&mut flights, 25_700, 0), Boarding::Lead, "stored");
    }

    #[test]
    fn who_waits_does_so_while_a_body_arrives_but_never_longer_than_ever() {
        let mut flights = Flights::new();
        board(&mut flights, 0, 0);
        flights.arriving("k", Duration::from_secs(25), at(2_900));
        assert_eq!(board(&mut flights, 2_999, 2_999), Boarding::Wait);
        assert_eq!(board(&mut flights, 3_000, 3_000), Boarding::Alone);
        assert_eq!(board(&mut flights, 3_000, 10), Boarding::Wait);
    }

    #[test]
    fn nobody_is_made_to_lead_while_a_slow_body_arrives() {
        let mut flights = Flights::new();
        board(&mut flights, 0, 0);
        flights.arriving("k", Duration::from_secs(25), at(0));
        flights.hand_over("k", at(3_000));
        assert_eq!(board(&mut flights, 3_000, 0), Boarding::Alone);
        let mut flights = Flights::new();
        board(&mut flights, 0, 0);
        flights.arriving("k", Duration::from_secs(25), at(0));
        flights.hand_over("k", at(2_999));
        assert_eq!(board(&mut flights, 2_999, 0), Boarding::Lead);
    }

    #[test]
    fn a_head_that_comes_after_a_purge_is_waited_for_by_nobody() {
        let mut flights = Flights::new();
        board(&mut flights, 0, 0);
        flights.abandon();
        flights.arriving("k", Duration::from_secs(25), at(10));
        assert_eq!(board(&mut flights, 20, 0), Boarding::Lead);
    }

    #[test]
    fn nobody_waits_for_what_cannot_be_stored() {
        for (how, pause) in [(Landing::Unstored, 10_000), (Landing::Failed, 1_000)] {
            let mut flights = Flights::new();
            board(&mut flights, 0, 0);
            flights.landed("k", how, at(60));
            assert_eq!(board(&mut flights, 60, 60), Boarding::Alone, "{how:?}");
            assert_eq!(
                board(&mut flights, 59 + pause, 0),
                Boarding::Alone,
                "{how:?}"
            );
            assert_eq!(
                board(&mut flights, 60 + pause, 0),
                Boarding::Lead,
                "{how:?}"
            );
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
        let mut flights = Flights::new();
        for n in 0..10_000 {
            flights.board(&n.to_string(), Duration::ZERO, TIMEOUT, at(0));
        }
        assert!(flights.keys.len() <= KEYS);
    }
}
