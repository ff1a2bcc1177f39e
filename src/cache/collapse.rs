//! Collapsed forwarding: whether a request that misses goes to the origin or waits for another
//! request that has gone there.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::message::body::Body;
use crate::store::Lease;

use super::fetching::Miss;
use super::lookup::Lookup;
use super::memory::CacheMemory;
use super::single_flight::{self, ELSEWHERE, Role, SingleFlight};

/// The place of a request among those that miss the same key.
#[derive(Debug, Default)]
pub struct Place {
    /// The key for which this request is the leader, if it is one.
    leading: Option<Leading>,
    /// Whether the request goes to the origin for itself only: others may fetch the same key at the
    /// same time.
    independent: bool,
    /// Since when the request waits, and how often it has looked for the response.
    since: Option<Timestamp>,
    looks: u32,
}

#[derive(Debug)]
struct Leading {
    digest: String,
    /// Whether the leader has gone to the origin. Until then it may wait for another isolate.
    started: bool,
}

impl Place {
    /// Whether this request is the leader for its key, so that others may wait for its response.
    pub const fn leads(&self) -> bool {
        self.leading.is_some()
    }

    /// Takes the key for which this request is the leader. The caller must then release the
    /// followers.
    pub fn take_digest(&mut self) -> Option<String> {
        Some(self.leading.take()?.digest)
    }

    /// Whether the request goes to the origin for itself only: others may fetch the same key at the
    /// same time.
    pub const fn is_independent(&self) -> bool {
        self.independent
    }

    /// Ends the leadership because this request need not fetch the response for others. Followers
    /// find a stored response or go to the origin themselves.
    pub fn leave(&mut self, fetches: &mut SingleFlight, now: Timestamp) {
        self.step_down(fetches, now);
        if let Some(digest) = self.take_digest() {
            fetches.finish(&digest);
        }
    }

    /// Ends the leadership of a request that still waits for another isolate, if another request of
    /// this isolate has gone to the origin because the store told it to.
    pub fn step_down(&mut self, fetches: &SingleFlight, now: Timestamp) {
        let replaced =
            |leading: &Leading| !leading.started && fetches.has_started(&leading.digest, now);
        if self.leading.as_ref().is_some_and(replaced) {
            self.leading = None;
        }
    }

    fn waited(&self, now: Timestamp) -> Duration {
        now.since(self.since.unwrap_or(now))
    }

    /// Counts one more look and returns how many there were before.
    fn look(&mut self, now: Timestamp) -> u32 {
        self.since.get_or_insert(now);
        self.looks += 1;
        self.looks - 1
    }
}

impl<B: Body> Lookup<B> {
    /// Whether the response to another request for the same key could serve this request too.
    fn is_collapsible(&self) -> bool {
        // A response whose lifetime is too short for the store still serves all requests of the
        // isolate.
        let uncollapsible =
            matches!(self.lease, Some(Lease::Uncacheable)) && self.request.rules.min_ttl.is_zero();
        self.request.storable && !uncollapsible
    }

    /// Joins the requests of this isolate that miss the same key. Returns how long to wait before
    /// looking again, or `None` if this request goes on by itself. It can be called before the
    /// store is asked, so that of many concurrent misses only one asks the store. `refused`: this
    /// request may not call the origin. It cannot be a leader then, but it can wait for one.
    pub fn join(
        &self,
        place: &mut Place,
        fetches: &mut SingleFlight,
        max_wait: Duration,
        refused: bool,
        now: Timestamp,
    ) -> Option<Duration> {
        if !self.is_collapsible() || self.request.only_if_cached() || place.leads() {
            return None;
        }
        let digest = self.key.hex();
        if refused && !fetches.is_under_way(&digest, now) {
            return None;
        }
        // A request that holds the store's lease becomes the leader, even if there already is one.
        if self.holds_lease() {
            fetches.hand_over(&digest, now);
        }
        match fetches.join(&digest, place.waited(now), max_wait, now) {
            Role::Leader => {
                place.independent = false;
                let started = false;
                place.leading = Some(Leading { digest, started });
                None
            }
            Role::Independent => {
                place.independent = true;
                None
            }
            Role::Follower => Some(single_flight::pause(place.look(now))),
        }
    }
}

impl<B: Body> Miss<B> {
    /// Joins the requests that miss the same key, for a request that is about to go to the origin.
    /// Returns how long to wait before looking again, or `None` if the request goes to the origin
    /// now. Unlike [`Lookup::join`], it may also wait for another isolate. `store_tells`: whether
    /// the store can be asked what came of that isolate's fetch. `refused`: as for
    /// [`Lookup::join`].
    pub fn join(
        &self,
        place: &mut Place,
        memory: &mut CacheMemory<B>,
        max_wait: Duration,
        store_tells: bool,
        refused: bool,
        now: Timestamp,
    ) -> Option<Duration> {
        place.step_down(&memory.fetches, now);
        if self.asks_the_origin() {
            // The client asked for the origin's own answer, so another request's response is of no
            // use.
            place.leave(&mut memory.fetches, now);
            return None;
        }
        let fetches = &mut memory.fetches;
        let pause = self.lookup.join(place, fetches, max_wait, refused, now);
        if pause.is_some() || refused {
            return pause;
        }
        let waited = place.waited(now);
        let leading = place.leading.as_mut()?;
        // Another isolate fetches the response, and the store will tell when it is there. After a
        // failure each isolate asks for itself.
        let elsewhere = store_tells && !memory.fetches.is_again(&leading.digest);
        if elsewhere && self.lookup.is_refreshed_elsewhere() && waited < ELSEWHERE {
            return Some(single_flight::pause_elsewhere(place.look(now)));
        }
        leading.started = true;
        memory.fetches.start(&leading.digest, max_wait, now);
        None
    }
}
