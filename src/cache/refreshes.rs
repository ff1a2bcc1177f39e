//! Which entries this isolate refreshes in the background, and which of them in vain.
//!
//! ```text
//!            take                  failed              no request for a second
//! nothing ─────────► refreshing ───────────► outage ───────────────────────────► nothing
//!    ▲                   │                   │ ▲  │
//!    └──── refreshed ────┴───────────────────│─│──┘
//!                                       take └─┘ failed
//! ```
//!
//! After a failed refresh all isolates leave the entry alone but the one whose refresh it was. That
//! one finds out when the origin is back: it goes on asking, several times a second, and for one
//! entry of each route at a time. Once the origin answers any request of the route, all its entries
//! are refreshed.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::recent::Recent;

use super::single_flight::FAILED;

/// The largest number of entries that are remembered.
const ENTRIES: usize = 1_000;

/// The largest number of routes that are remembered.
const ROUTES: usize = 1_000;

/// How often an isolate asks a failing origin for one of a route's entries, to find out whether it
/// is back.
const PROBE: Duration = Duration::from_millis(100);

/// The shortest time that an origin gets which answered too late before.
const SHORTEST: Duration = Duration::from_millis(150);

/// How often other isolates are told that this one finds out, and for how long they believe it.
const TELL: Duration = Duration::from_millis(500);
pub const TOLD: Duration = Duration::from_millis(1_300);

/// The refreshes of an isolate. All are plain data with deadlines, because a request that refreshes
/// an entry may be dropped.
#[derive(Debug)]
pub struct Refreshes {
    entries: Recent<Refresh>,
    routes: Recent<Route>,
}

/// What is known of the refreshes of an entry.
#[derive(Debug, Clone, Copy)]
struct Refresh {
    /// Before this instant no other request refreshes the entry, unless it is to find out whether
    /// the origin is back.
    until: Timestamp,
    /// Whether the origin has failed.
    outage: Option<Outage>,
}

/// An origin that has failed to refresh an entry.
#[derive(Debug, Clone, Copy)]
struct Outage {
    /// When the latest request that failed was sent.
    sent_at: Timestamp,
    /// Whether it failed because the origin did not answer in time.
    late: bool,
    /// Until when this isolate finds out whether the origin is back.
    ends: Timestamp,
    /// Whether no other isolate does.
    ours: bool,
    /// When other isolates were told so, if they were.
    told: Option<Timestamp>,
    /// The request that is to find it out.
    probe: Option<Probe>,
    /// Whether that was tried because the origin had answered another request. If it fails too, the
    /// origin's answers to other requests say nothing about this entry.
    answered: bool,
}

/// A request that is to find out whether the origin is back.
#[derive(Debug, Clone, Copy)]
struct Probe {
    sent_at: Timestamp,
    /// When it is given up for lost.
    until: Timestamp,
}

/// What is known of a route whose entries were refreshed in vain.
#[derive(Debug, Clone, Copy, Default)]
struct Route {
    /// When the latest request was sent that the origin has answered.
    answered: Timestamp,
    /// When the latest probe was sent.
    probed: Timestamp,
    /// Until when the origin may take to answer the latest request that had its whole time.
    whole_until: Timestamp,
}

/// The calls of the origin that refresh an entry.
#[derive(Debug, Clone, Copy)]
pub struct Calls<'a> {
    /// The name of the route.
    pub route: &'a str,
    /// Whether an origin quota counts them. It is not spent on finding out whether the origin is
    /// back.
    pub counted: bool,
    /// How long a request has the right to refresh an entry.
    pub lease: Duration,
}

/// What the store has said to a request about who refreshes the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was not asked.
    Unknown,
    /// This request.
    Granted,
    /// Another isolate, or nobody for now. This holds for requests that share a failure too.
    Denied,
}

/// A request's right to refresh an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Unless the store says that another isolate refreshes the entry.
    First,
    /// To find out whether the origin is back, of which no other isolate needs to be asked. The
    /// origin may take so long.
    Again(Duration),
}

/// A request for an entry that has failed.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    /// When it was sent.
    pub sent_at: Timestamp,
    /// Whether the origin did not answer in time.
    pub late: bool,
    /// What the store has said to it.
    pub standing: Standing,
}

impl Refreshes {
    /// No refresh is known.
    pub fn new() -> Self {
        Self {
            entries: Recent::new(ENTRIES),
            routes: Recent::new(ROUTES),
        }
    }

    /// Takes the isolate's right to refresh an entry at `now`, unless another request has it.
    /// `took`: how long the origin took for the stored response.
    pub fn take(
        &mut self,
        digest: &str,
        calls: Calls<'_>,
        standing: Standing,
        took: Duration,
        now: Timestamp,
    ) -> Option<Turn> {
        let known = self.entries.get(digest).copied();
        let outage = known.and_then(|known| known.outage);
        let outage = outage.filter(|outage| self.is_known(outage, calls, now));
        let free = known.is_none_or(|known| now >= known.until);
        let (turn, until, outage) = match (standing, known, outage) {
            (Standing::Granted, _, outage) => {
                let until = now + calls.lease;
                self.routes.change(calls.route, |route| {
                    (route.probed, route.whole_until) = (now, until);
                });
                (Turn::First, until, outage)
            }
            (_, Some(known), Some(outage)) => {
                let (time, outage) = self.found_out(outage, calls, took, now)?;
                (Turn::Again(time), known.until, Some(outage))
            }
            (Standing::Unknown, ..) if free => (Turn::First, now + calls.lease, None),
            _ => return None,
        };
        let refresh = Refresh { until, outage };
        self.entries.insert(digest.to_owned(), refresh);
        Some(turn)
    }

    /// Whether this isolate still finds out when an outage is over.
    fn is_known(&self, outage: &Outage, calls: Calls<'_>, now: Timestamp) -> bool {
        let probes = |route: &Route| now.since(route.probed) < FAILED;
        now < outage.ends || outage.ours && self.routes.get(calls.route).is_some_and(probes)
    }

    /// How long the origin may take to answer a request that finds out whether an outage is over,
    /// and what is known of it then; `None` if there is no such request now.
    fn found_out(
        &mut self,
        mut outage: Outage,
        calls: Calls<'_>,
        took: Duration,
        now: Timestamp,
    ) -> Option<(Duration, Outage)> {
        let known = self.routes.get(calls.route).copied();
        let mut route = known.unwrap_or_default();
        let is_back = !outage.answered && route.answered > outage.sent_at;
        let due = now.since(route.probed.max(outage.sent_at)) >= PROBE;
        let awaited = outage.probe.is_some_and(|probe| now < probe.until);
        // An origin that has become slow needs more time.
        let whole = outage.late && now >= route.whole_until;
        let asks = !awaited && (is_back || due && !calls.counted);
        let time = match outage.late && !whole {
            true => (4 * took).max(SHORTEST).min(calls.lease),
            false => calls.lease,
        };
        if asks && whole {
            route.whole_until = now + time;
        } else if asks {
            outage.probe = Some(Probe {
                sent_at: now,
                until: now + time + PROBE,
            });
        }
        if asks && !is_back {
            route.probed = now;
        }
        if asks || known.is_none() {
            // From now on the origin's answers are noted.
            self.routes.insert(calls.route.to_owned(), route);
        }
        outage.answered |= is_back;
        asks.then_some((time, outage))
    }

    /// Gives the right to refresh an entry back: it was refreshed, or need not be.
    pub fn refreshed(&mut self, digest: &str) {
        self.entries.remove(digest);
    }

    /// Defers a refresh for `pause` from now on, unless this isolate finds out whether the origin
    /// is back.
    pub fn defer(&mut self, digest: &str, pause: Duration, now: Timestamp) {
        let outage = self.entries.peek(digest).and_then(|known| known.outage);
        if outage.is_none_or(|outage| now >= outage.ends) {
            let (until, outage) = (now + pause, None);
            let refresh = Refresh { until, outage };
            self.entries.insert(digest.to_owned(), refresh);
        }
    }

    /// Whether a request for the entry that was sent at `sent_at` is to refresh it.
    pub fn is_under_way(&self, digest: &str, sent_at: Timestamp, now: Timestamp) -> bool {
        self.entries.peek(digest).is_some_and(|known| {
            let probe = known.outage.and_then(|outage| outage.probe);
            let probes = probe.is_some_and(|probe| probe.sent_at == sent_at);
            probes || known.outage.is_none() && now < known.until
        })
    }

    /// A request for an entry has failed. Returns whether other isolates are to be told that this
    /// one finds out when the origin is back.
    pub fn failed(&mut self, digest: &str, request: Failed, now: Timestamp) -> bool {
        let Failed { sent_at, late, .. } = request;
        let known = self.entries.get(digest).copied();
        let before = known.and_then(|known| known.outage);
        let ours = match request.standing {
            Standing::Granted => true,
            Standing::Unknown => before.is_none_or(|before| before.ours),
            Standing::Denied => before.is_some_and(|before| before.ours),
        };
        let probe = before.and_then(|before| before.probe);
        let is_probe = probe.is_some_and(|probe| probe.sent_at == sent_at);
        let told = before.and_then(|before| before.told);
        let tells = ours && told.is_none_or(|told| now.since(told) >= TELL);
        let pause = now + FAILED;
        let outage = Outage {
            sent_at,
            late,
            ends: match before {
                Some(before) if is_probe && !ours => before.ends,
                _ => pause,
            },
            ours,
            told: if tells { Some(now) } else { told },
            probe: probe.filter(|_| !is_probe),
            answered: is_probe && before.is_some_and(|before| before.answered),
        };
        let refresh = Refresh {
            until: known
                .filter(|_| is_probe)
                .map_or(pause, |known| known.until),
            outage: Some(outage),
        };
        self.entries.insert(digest.to_owned(), refresh);
        tells
    }

    /// The origin has answered a request of this route that was sent at `sent_at`.
    pub fn answered(&mut self, route: &str, sent_at: Timestamp) {
        // Most isolates know of no failure.
        if !self.routes.is_empty() {
            self.routes.change(route, |route| {
                route.answered = route.answered.max(sent_at);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(20);
    const LEASE: Duration = Duration::from_secs(10);
    const CALLS: Calls<'static> = Calls {
        route: "/r",
        counted: false,
        lease: LEASE,
    };

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + ms)
    }

    fn take(refreshes: &mut Refreshes, digest: &str, ms: u64) -> Option<Turn> {
        refreshes.take(digest, CALLS, Standing::Unknown, TOOK, at(ms))
    }

    fn denied(refreshes: &mut Refreshes, digest: &str, ms: u64) -> Option<Turn> {
        refreshes.take(digest, CALLS, Standing::Denied, TOOK, at(ms))
    }

    const AGAIN: Option<Turn> = Some(Turn::Again(LEASE));

    fn failed(refreshes: &mut Refreshes, digest: &str, sent: u64, ms: u64) -> bool {
        let request = Failed {
            sent_at: at(sent),
            late: false,
            standing: Standing::Unknown,
        };
        refreshes.failed(digest, request, at(ms))
    }

    fn late(refreshes: &mut Refreshes, sent: u64, ms: u64) {
        let request = Failed {
            sent_at: at(sent),
            late: true,
            standing: Standing::Unknown,
        };
        refreshes.failed("a", request, at(ms));
    }

    /// The entry under "a" was refreshed in vain at 0.
    fn in_vain() -> Refreshes {
        let mut refreshes = Refreshes::new();
        assert_eq!(take(&mut refreshes, "a", 0), Some(Turn::First));
        assert!(failed(&mut refreshes, "a", 0, 0), "others are told");
        refreshes
    }

    #[test]
    fn one_refreshes_until_it_is_done_or_its_time_is_over() {
        let mut refreshes = Refreshes::new();
        assert_eq!(take(&mut refreshes, "a", 0), Some(Turn::First));
        assert!(refreshes.is_under_way("a", at(3), at(9_999)));
        assert_eq!(take(&mut refreshes, "a", 9_999), None);
        assert_eq!(take(&mut refreshes, "b", 9_999), Some(Turn::First));
        assert_eq!(take(&mut refreshes, "a", 10_000), Some(Turn::First));
        refreshes.refreshed("a");
        assert!(!refreshes.is_under_way("a", at(10_000), at(10_001)));
        assert_eq!(take(&mut refreshes, "a", 10_001), Some(Turn::First));
        refreshes.defer("b", LEASE, at(10_001));
        assert_eq!(take(&mut refreshes, "b", 20_000), None);
        assert_eq!(take(&mut refreshes, "b", 20_001), Some(Turn::First));
    }

    #[test]
    fn who_found_out_asks_again_whatever_the_store_says() {
        let mut refreshes = in_vain();
        let mut told = 0;
        assert_eq!(denied(&mut refreshes, "a", 99), None);
        for n in 1..100 {
            let ms = 100 * n;
            assert_eq!(denied(&mut refreshes, "a", ms), AGAIN, "{ms}");
            assert!(refreshes.is_under_way("a", at(ms), at(ms)));
            assert_eq!(take(&mut refreshes, "a", ms + 50), None, "it is under way");
            told += u32::from(failed(&mut refreshes, "a", ms, ms + 99));
            assert!(!refreshes.is_under_way("a", at(ms), at(ms + 99)));
        }
        assert_eq!(told, 19, "others are told twice a second");
        // Then nobody comes for a second.
        assert_eq!(denied(&mut refreshes, "a", 10_999), None);
        assert_eq!(take(&mut refreshes, "a", 10_999), Some(Turn::First));
    }

    #[test]
    fn who_may_be_one_of_many_asks_for_a_second() {
        let mut refreshes = Refreshes::new();
        let request = Failed {
            sent_at: at(0),
            late: false,
            standing: Standing::Denied,
        };
        assert!(!refreshes.failed("a", request, at(0)));
        for ms in [100, 200, 900] {
            assert_eq!(denied(&mut refreshes, "a", ms), AGAIN);
            assert!(!failed(&mut refreshes, "a", ms, ms));
        }
        assert_eq!(denied(&mut refreshes, "a", 1_000), None);
    }

    #[test]
    fn an_origin_that_was_late_is_asked_with_little_time_and_with_enough() {
        let again = Some(Turn::Again(SHORTEST));
        let mut refreshes = Refreshes::new();
        assert_eq!(take(&mut refreshes, "a", 0), Some(Turn::First));
        late(&mut refreshes, 0, 2_000);
        // One with its whole time goes on beside the others.
        assert_eq!(take(&mut refreshes, "a", 2_000), AGAIN);
        assert_eq!(take(&mut refreshes, "a", 2_099), None);
        assert_eq!(take(&mut refreshes, "a", 2_100), again);
        assert_eq!(take(&mut refreshes, "a", 2_349), None);
        assert_eq!(take(&mut refreshes, "a", 2_350), again, "it is lost");
        late(&mut refreshes, 2_350, 2_500);
        let lasting = Duration::from_millis(300);
        let turn = refreshes.take("a", CALLS, Standing::Unknown, lasting, at(2_501));
        assert_eq!(turn, Some(Turn::Again(4 * lasting)));
        late(&mut refreshes, 2_501, 3_701);
        for ms in (3_800..12_000).step_by(200) {
            assert_eq!(take(&mut refreshes, "a", ms), again, "{ms}");
            late(&mut refreshes, ms, ms + 150);
        }
        assert_eq!(take(&mut refreshes, "a", 12_000), AGAIN);
    }

    #[test]
    fn an_answer_of_the_store_that_comes_late_keeps_nobody_from_finding_out() {
        let mut refreshes = in_vain();
        refreshes.defer("a", LEASE, at(1));
        assert_eq!(take(&mut refreshes, "a", 150), AGAIN);
        failed(&mut refreshes, "a", 150, 151);
        refreshes.defer("a", LEASE, at(1_151));
        assert_eq!(take(&mut refreshes, "a", 1_152), None, "the outage is over");
    }

    #[test]
    fn who_holds_the_lease_refreshes_whatever_is_known() {
        let mut refreshes = in_vain();
        let turn = refreshes.take("a", CALLS, Standing::Granted, TOOK, at(1));
        assert_eq!(turn, Some(Turn::First));
        assert_eq!(take(&mut refreshes, "a", 101), AGAIN, "it may hang");
        failed(&mut refreshes, "a", 2, 900);
        failed(&mut refreshes, "a", 101, 950);
        assert_eq!(take(&mut refreshes, "a", 1_050), AGAIN);
    }

    #[test]
    fn one_entry_of_a_route_asks_for_all_until_the_origin_answers() {
        let mut refreshes = in_vain();
        take(&mut refreshes, "b", 0);
        failed(&mut refreshes, "b", 0, 0);
        assert_eq!(take(&mut refreshes, "a", 150), AGAIN);
        assert_eq!(take(&mut refreshes, "b", 249), None);
        refreshes.answered("/other", at(150));
        assert_eq!(take(&mut refreshes, "b", 249), None);
        refreshes.answered("/r", at(150));
        assert_eq!(take(&mut refreshes, "b", 249), AGAIN);
        failed(&mut refreshes, "b", 249, 249);
        refreshes.answered("/r", at(260));
        assert_eq!(
            take(&mut refreshes, "b", 261),
            None,
            "that says nothing here"
        );
        assert_eq!(take(&mut refreshes, "b", 349), AGAIN);
    }

    #[test]
    fn while_one_entry_of_a_route_asks_the_others_leave_the_origin_alone() {
        let mut refreshes = in_vain();
        take(&mut refreshes, "b", 0);
        failed(&mut refreshes, "b", 0, 0);
        for ms in (100..5_000).step_by(100) {
            assert_eq!(take(&mut refreshes, "a", ms), AGAIN, "{ms}");
            assert_eq!(take(&mut refreshes, "b", ms), None, "{ms}");
            failed(&mut refreshes, "a", ms, ms);
        }
        refreshes.answered("/r", at(5_000));
        assert_eq!(take(&mut refreshes, "b", 5_001), AGAIN);
    }

    #[test]
    fn where_calls_are_counted_only_the_origins_answer_ends_the_pause() {
        let calls = Calls {
            counted: true,
            ..CALLS
        };
        let take = |refreshes: &mut Refreshes, ms| {
            refreshes.take("a", calls, Standing::Unknown, TOOK, at(ms))
        };
        let mut refreshes = in_vain();
        assert_eq!(take(&mut refreshes, 999), None);
        refreshes.answered("/r", at(1));
        assert_eq!(take(&mut refreshes, 999), AGAIN);
        let mut refreshes = in_vain();
        assert_eq!(take(&mut refreshes, 1_000), Some(Turn::First));
    }

    #[test]
    fn an_answer_to_what_was_sent_before_the_failure_says_nothing() {
        let mut refreshes = in_vain();
        take(&mut refreshes, "a", 150);
        failed(&mut refreshes, "a", 150, 160);
        refreshes.answered("/r", at(150));
        assert_eq!(take(&mut refreshes, "a", 170), None);
        refreshes.answered("/r", at(151));
        assert_eq!(take(&mut refreshes, "a", 170), AGAIN);
    }

    #[test]
    fn memory_is_bounded() {
        let mut refreshes = Refreshes::new();
        for n in 0..10_000 {
            let (digest, route) = (n.to_string(), format!("/{n}"));
            let route = &*route;
            let calls = Calls { route, ..CALLS };
            refreshes.take(&digest, calls, Standing::Unknown, TOOK, at(0));
            failed(&mut refreshes, &digest, 0, 0);
            refreshes.take(&digest, calls, Standing::Unknown, TOOK, at(200));
        }
        assert!(refreshes.entries.len() <= ENTRIES && refreshes.routes.len() <= ROUTES);
    }
}
