//! Which entries this isolate refreshes in the background, and which of them in vain.
//!
//! ```text
//!            take                failed                its time is over
//! nothing ─────────► refreshing ────────► tried in vain ────────────────► nothing
//!    ▲                   ▲ │                   │
//!    └──── refreshed ────│─┘                   │
//!                        └── take, once the origin may have come back
//! ```
//!
//! After a failed refresh the entry is left alone for a second, in all isolates. The isolate that
//! has found out that the origin fails also finds out when it is back: it goes on asking, a few
//! times in a second and for one entry of each route at a time. Once the origin answers any request
//! of the route, all its entries are refreshed.

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
    /// Whether the entry was refreshed in vain lately.
    failure: Option<InVain>,
}

/// A refresh that failed.
#[derive(Debug, Clone, Copy)]
struct InVain {
    /// When the latest such request was sent.
    sent_at: Timestamp,
    /// Until when this isolate, and no other one, tries again.
    ends: Timestamp,
    /// Whether a request of it is under way.
    under_way: bool,
    /// Whether the refresh was tried again because the origin had answered another request. If that
    /// fails too, the origin's answers to other requests say nothing about this entry.
    answered: bool,
}

/// What is known of a route whose entries were refreshed in vain.
#[derive(Debug, Clone, Copy, Default)]
struct Route {
    /// When the latest request was sent that the origin has answered.
    answered: Timestamp,
    /// When the latest request was sent to find out whether the origin is back.
    probed: Timestamp,
}

/// The calls of the origin for the entries of a route.
#[derive(Debug, Clone, Copy)]
pub struct Calls<'a> {
    /// The name of the route.
    route: &'a str,
    /// How often a failing origin is asked for one of the entries.
    every: Duration,
}

impl<'a> Calls<'a> {
    /// Those of the route of this name. `counted`: they are counted by an origin quota, which is
    /// not spent on finding out whether the origin is back.
    pub const fn of(route: &'a str, counted: bool) -> Self {
        let every = if counted { FAILED } else { PROBE };
        Self { route, every }
    }
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
    /// No refresh is known to have failed lately. Another isolate may be refreshing the entry.
    First,
    /// This isolate's refresh has failed. No other isolate refreshes the entry now.
    Again,
}

impl Refreshes {
    /// No refresh is known.
    pub fn new() -> Self {
        Self {
            entries: Recent::new(ENTRIES),
            routes: Recent::new(ROUTES),
        }
    }

    /// Takes the isolate's right to refresh an entry at `now`, unless another request has it. It
    /// ends by itself after `length`.
    pub fn take(
        &mut self,
        digest: &str,
        calls: Calls<'_>,
        standing: Standing,
        length: Duration,
        now: Timestamp,
    ) -> Option<Turn> {
        let known = self.entries.get(digest).copied();
        let failure = known.and_then(|known| known.failure);
        let ours = failure.filter(|failure| now < failure.ends && !failure.under_way);
        let (turn, failure) = match (standing, known, ours) {
            (Standing::Granted, ..) => (Turn::First, None),
            (_, _, Some(failure)) => (Turn::Again, self.tried_again(failure, calls, now)?.into()),
            (_, Some(known), _) if now < known.until => return None,
            (Standing::Denied, ..) => return None,
            (Standing::Unknown, ..) => (Turn::First, None),
        };
        let until = now + length;
        let refresh = Refresh { until, failure };
        self.entries.insert(digest.to_owned(), refresh);
        Some(turn)
    }

    /// What is known of a failure if the refresh is tried again at `now`; `None` if it is not yet.
    fn tried_again(
        &mut self,
        mut failure: InVain,
        Calls { route, every }: Calls<'_>,
        now: Timestamp,
    ) -> Option<InVain> {
        let known = self.routes.get(route).copied();
        if known.is_none() {
            // From now on the origin's answers are noted.
            self.routes.insert(route.to_owned(), Route::default());
        }
        let mut known = known.unwrap_or_default();
        let is_back = !failure.answered && known.answered > failure.sent_at;
        failure.under_way = true;
        if is_back {
            failure.answered = true;
        } else if now.since(known.probed.max(failure.sent_at)) >= every {
            known.probed = now;
            self.routes.insert(route.to_owned(), known);
        } else {
            return None;
        }
        Some(failure)
    }

    /// Gives the right to refresh an entry back: it was refreshed, or need not be.
    pub fn refreshed(&mut self, digest: &str) {
        self.entries.remove(digest);
    }

    /// Defers a refresh for `pause` from now on, unless this isolate has to find out whether the
    /// origin is back.
    pub fn defer(&mut self, digest: &str, pause: Duration, now: Timestamp) {
        let known = self.entries.peek(digest);
        let failure = known.and_then(|known| known.failure);
        if failure.is_none_or(|failure| now >= failure.ends) {
            let refresh = Refresh {
                until: now + pause,
                failure: None,
            };
            self.entries.insert(digest.to_owned(), refresh);
        }
    }

    /// Whether a request refreshes the entry at `now`.
    pub fn is_under_way(&self, digest: &str, now: Timestamp) -> bool {
        let known = self.entries.peek(digest);
        known.is_some_and(|known| {
            now < known.until && known.failure.is_none_or(|failure| failure.under_way)
        })
    }

    /// A request for an entry, sent at `sent_at`, has failed. `leased`: it held the store's lease,
    /// so other isolates leave the entry alone from now on.
    pub fn failed(&mut self, digest: &str, leased: bool, sent_at: Timestamp, now: Timestamp) {
        let known = self.entries.get(digest).and_then(|known| known.failure);
        let before = known.filter(|known| known.under_way && !leased);
        let failure = InVain {
            sent_at,
            ends: before.map_or(now + FAILED, |before| before.ends.max(now + PROBE)),
            under_way: false,
            answered: before.is_some_and(|before| before.answered),
        };
        let refresh = Refresh {
            until: failure.ends,
            failure: Some(failure),
        };
        self.entries.insert(digest.to_owned(), refresh);
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

    const LEASE: Duration = Duration::from_secs(10);

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + ms)
    }

    const CALLS: Calls<'static> = Calls::of("/r", false);

    fn take(refreshes: &mut Refreshes, digest: &str, ms: u64) -> Option<Turn> {
        refreshes.take(digest, CALLS, Standing::Unknown, LEASE, at(ms))
    }

    /// The entry under "a" was refreshed in vain at 0.
    fn in_vain() -> Refreshes {
        let mut refreshes = Refreshes::new();
        assert_eq!(take(&mut refreshes, "a", 0), Some(Turn::First));
        refreshes.failed("a", true, at(0), at(0));
        refreshes
    }

    #[test]
    fn one_refreshes_until_it_is_done_or_its_time_is_over() {
        let mut refreshes = Refreshes::new();
        assert_eq!(take(&mut refreshes, "a", 0), Some(Turn::First));
        assert!(refreshes.is_under_way("a", at(9_999)));
        assert_eq!(take(&mut refreshes, "a", 9_999), None);
        assert_eq!(take(&mut refreshes, "b", 9_999), Some(Turn::First));
        assert_eq!(take(&mut refreshes, "a", 10_000), Some(Turn::First));
        refreshes.refreshed("a");
        assert!(!refreshes.is_under_way("a", at(10_001)));
        assert_eq!(take(&mut refreshes, "a", 10_001), Some(Turn::First));
        refreshes.defer("b", LEASE, at(10_001));
        assert_eq!(take(&mut refreshes, "b", 20_000), None);
        assert_eq!(take(&mut refreshes, "b", 20_001), Some(Turn::First));
    }

    #[test]
    fn who_found_out_asks_again_and_the_store_says_who_else() {
        let mut refreshes = in_vain();
        let denied = |refreshes: &mut Refreshes, ms| {
            refreshes.take("a", CALLS, Standing::Denied, LEASE, at(ms))
        };
        assert_eq!(denied(&mut refreshes, 99), None);
        assert_eq!(denied(&mut refreshes, 100), Some(Turn::Again));
        assert_eq!(take(&mut refreshes, "a", 110), None, "it is under way");
        refreshes.failed("a", false, at(100), at(120));
        assert_eq!(take(&mut refreshes, "a", 199), None, "since it was sent");
        assert_eq!(take(&mut refreshes, "a", 200), Some(Turn::Again));
        refreshes.failed("a", false, at(200), at(999));
        assert_eq!(denied(&mut refreshes, 1_000), Some(Turn::Again));
        refreshes.failed("a", false, at(1_000), at(1_001));
        assert_eq!(take(&mut refreshes, "a", 1_100), Some(Turn::Again));
        refreshes.failed("a", false, at(1_100), at(1_250));
        assert_eq!(denied(&mut refreshes, 1_400), None, "another isolate may");
        assert_eq!(take(&mut refreshes, "a", 1_400), Some(Turn::First));
    }

    #[test]
    fn an_answer_of_the_store_that_comes_late_keeps_nobody_from_finding_out() {
        let mut refreshes = in_vain();
        refreshes.defer("a", LEASE, at(1));
        assert_eq!(take(&mut refreshes, "a", 150), Some(Turn::Again));
        refreshes.failed("a", false, at(150), at(151));
        refreshes.defer("a", LEASE, at(1_000));
        assert_eq!(take(&mut refreshes, "a", 1_001), None);
    }

    #[test]
    fn who_holds_the_lease_refreshes_whatever_is_known() {
        let mut refreshes = in_vain();
        let turn = refreshes.take("a", CALLS, Standing::Granted, LEASE, at(1));
        assert_eq!(turn, Some(Turn::First));
        refreshes.failed("a", true, at(1), at(900));
        assert_eq!(take(&mut refreshes, "a", 1_050), Some(Turn::Again));
        refreshes.failed("a", false, at(1_050), at(1_060));
        assert_eq!(take(&mut refreshes, "a", 1_890), Some(Turn::Again));
    }

    #[test]
    fn one_entry_of_a_route_asks_for_all_until_the_origin_answers() {
        let mut refreshes = in_vain();
        take(&mut refreshes, "b", 0);
        refreshes.failed("b", true, at(0), at(0));
        assert_eq!(take(&mut refreshes, "a", 150), Some(Turn::Again));
        assert_eq!(take(&mut refreshes, "b", 249), None);
        refreshes.answered("/other", at(150));
        assert_eq!(take(&mut refreshes, "b", 249), None);
        refreshes.answered("/r", at(150));
        assert_eq!(take(&mut refreshes, "b", 249), Some(Turn::Again));
        refreshes.failed("b", false, at(249), at(249));
        refreshes.answered("/r", at(260));
        assert_eq!(
            take(&mut refreshes, "b", 261),
            None,
            "that says nothing here"
        );
        assert_eq!(take(&mut refreshes, "b", 349), Some(Turn::Again));
    }

    #[test]
    fn where_calls_are_counted_only_the_origins_answer_ends_the_pause() {
        let mut refreshes = in_vain();
        let calls = Calls::of("/r", true);
        let take = |refreshes: &mut Refreshes, ms| {
            refreshes.take("a", calls, Standing::Unknown, LEASE, at(ms))
        };
        assert_eq!(take(&mut refreshes, 999), None);
        refreshes.answered("/r", at(1));
        assert_eq!(take(&mut refreshes, 999), Some(Turn::Again));
        let mut refreshes = in_vain();
        assert_eq!(take(&mut refreshes, 1_000), Some(Turn::First));
    }

    #[test]
    fn an_answer_to_what_was_sent_before_the_failure_says_nothing() {
        let mut refreshes = in_vain();
        take(&mut refreshes, "a", 150);
        refreshes.failed("a", false, at(150), at(160));
        refreshes.answered("/r", at(150));
        assert_eq!(take(&mut refreshes, "a", 170), None);
        refreshes.answered("/r", at(151));
        assert_eq!(take(&mut refreshes, "a", 170), Some(Turn::Again));
    }

    #[test]
    fn memory_is_bounded() {
        let mut refreshes = Refreshes::new();
        for n in 0..10_000 {
            let (digest, route) = (n.to_string(), format!("/{n}"));
            let calls = Calls::of(&route, false);
            refreshes.take(&digest, calls, Standing::Unknown, LEASE, at(0));
            refreshes.failed(&digest, true, at(0), at(0));
            refreshes.take(&digest, calls, Standing::Unknown, LEASE, at(200));
        }
        assert!(refreshes.entries.len() <= ENTRIES && refreshes.routes.len() <= ROUTES);
    }
}
