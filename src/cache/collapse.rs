//! Collapsed forwarding: whether a request that misses goes to the origin, or waits for another that
//! does.

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
    /// The key that it fetches while others wait for it.
    leading: Option<Leading>,
    /// Whether it goes to the origin beside others that ask the same.
    independent: bool,
    /// Since when it waits, and how often it has looked again.
    since: Option<Timestamp>,
    looks: u32,
}

#[derive(Debug)]
struct Leading {
    digest: String,
    /// Whether it has gone to the origin, and does not wait for another isolate any more.
    started: bool,
}

impl Place {
    /// Whether other requests wait for what comes of this one.
    pub const fn leads(&self) -> bool {
        self.leading.is_some()
    }

    /// The key that it leads.
    pub fn digest(&self) -> Option<&str> {
        Some(&self.leading.as_ref()?.digest)
    }

    /// The same; somebody else sees to those who wait from now on.
    pub fn take_digest(&mut self) -> Option<String> {
        Some(self.leading.take()?.digest)
    }

    /// Whether it goes to the origin beside others that ask the same.
    pub const fn is_independent(&self) -> bool {
        self.independent
    }

    /// Nothing has to be fetched: whoever waits finds it, or goes to the origin.
    pub fn leave(&mut self, fetches: &mut SingleFlight, now: Timestamp) {
        self.step_down(fetches, now);
        if let Some(digest) = self.take_digest() {
            fetches.finish(&digest);
        }
    }

    /// A leader that waits for another isolate leads no more once the store has told another request
    /// here to go.
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

    /// Counts one more look; how often it has looked before.
    fn look(&mut self, now: Timestamp) -> u32 {
        self.since.get_or_insert(now);
        self.looks += 1;
        self.looks - 1
    }
}

impl<B: Body> Lookup<B> {
    /// Whether the response to another request for the same could serve this one, too.
    fn is_collapsible(&self) -> bool {
        // What lives too shortly for the store still goes to all in the isolate.
        let uncollapsible =
            matches!(self.lease, Some(Lease::Uncacheable)) && self.request.rules.min_ttl.is_zero();
        self.request.storable && !uncollapsible
    }

    /// Whether to wait for another request that fetches the same, and for how long; nobody has asked
    /// the store yet. So a crowd that misses at once asks it once.
    pub fn join(
        &self,
        place: &mut Place,
        fetches: &mut SingleFlight,
        max_wait: Duration,
        now: Timestamp,
    ) -> Option<Duration> {
        if !self.is_collapsible() || self.request.only_if_cached() || place.leads() {
            return None;
        }
        let digest = self.key.hex();
        // Whom the store has told to fetch it leads, whoever was here before.
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
    /// The same of a request that is about to go to the origin, which may also wait for another isolate.
    /// `store_tells`: whether the store can be asked what comes of that.
    pub fn join(
        &self,
        place: &mut Place,
        memory: &mut CacheMemory<B>,
        max_wait: Duration,
        store_tells: bool,
        now: Timestamp,
    ) -> Option<Duration> {
        place.step_down(&memory.fetches, now);
        if self.asks_the_origin() {
            // It takes nobody else's response.
            place.leave(&mut memory.fetches, now);
            return None;
        }
        let pause = self.lookup.join(place, &mut memory.fetches, max_wait, now);
        if pause.is_some() {
            return pause;
        }
        let waited = place.waited(now);
        let leading = place.leading.as_mut()?;
        // Another isolate fetches it, and the store will tell what comes of it.
        if store_tells && self.lookup.is_refreshed_elsewhere() && waited < ELSEWHERE {
            return Some(single_flight::pause_elsewhere(place.look(now)));
        }
        leading.started = true;
        memory.fetches.start(&leading.digest, max_wait, now);
        None
    }
}
