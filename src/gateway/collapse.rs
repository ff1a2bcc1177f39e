//! Collapsed forwarding: whether a request that misses goes to the origin, or waits for another that does.

use std::time::Duration;

use crate::clock::Timestamp;

use super::Gate;
use super::body::Body;
use super::caching::Caching;
use super::flight::{self, Boarding, Landing};
use super::head::Head;
use super::saving::{Save, Write};
use super::step::{Exchange, Queue, Step};

impl<B: Body> Gate<B> {
    /// Whether to wait for another request that is on its way for the same, and for how long.
    pub(super) fn queue(&mut self, exchange: &mut Exchange<B>, now: Timestamp) -> Option<Duration> {
        let Caching::On(cached) = &exchange.caching else {
            return None;
        };
        let refused = exchange.admission.check().origin_refused().is_some();
        if refused || !cached.is_collapsible() {
            return None;
        }
        let store_tells = !exchange.store_failed && self.store_is_up();
        self.step_down(&mut exchange.queue, now);
        let queue = &mut exchange.queue;
        let waited = now.since(queue.since.unwrap_or(now));
        if queue.flight.is_none() {
            let patience = exchange.route.origin_timeout;
            let key = cached.key.hex();
            let flights = &mut self.memory.flights;
            // Whom the store has told to fetch it leads, whoever was here before.
            if cached.holds_lease() {
                flights.stored(&key);
            }
            match flights.board(&key, waited, patience, now) {
                Boarding::Lead => queue.flight = Some(key),
                Boarding::Alone => return None,
                Boarding::Wait => {
                    queue.since.get_or_insert(now);
                    queue.looks += 1;
                    return Some(flight::pause(queue.looks - 1));
                }
            }
        }
        // Somebody else in the world is at it, and the store will tell what comes of it.
        let elsewhere =
            store_tells && cached.is_refreshed_elsewhere() && waited < flight::ELSEWHERE;
        if elsewhere {
            queue.since.get_or_insert(now);
            queue.looks += 1;
            return Some(flight::pause_elsewhere(queue.looks - 1));
        }
        if let Some(key) = &queue.flight {
            let patience = exchange.route.origin_timeout;
            self.memory.flights.depart(key, patience, now);
            queue.departed = true;
        }
        None
    }

    /// Looks again for what another request was on its way for.
    pub fn waited(
        &mut self,
        head: &impl Head,
        mut exchange: Exchange<B>,
        now: Timestamp,
    ) -> Step<B> {
        let now = self.memory.limiter.clock.correct(now);
        exchange.caching.look_again(head, &mut self.memory.l1, now);
        self.step_down(&mut exchange.queue, now);
        let missing = exchange.caching.needs_store(head, true, now);
        if missing
            && exchange.leads()
            && self.store_allows(&mut exchange, now)
            && let Some(ask) = self.ask_cache(head, &exchange, now)
        {
            return Step::Ask(ask, exchange);
        }
        self.proceed(head, exchange, now)
    }

    /// Who leads, but waits for another isolate, leads no more once the store has told another one here to
    /// go.
    fn step_down(&self, queue: &mut Queue, now: Timestamp) {
        if !queue.departed
            && let Some(key) = &queue.flight
            && self.memory.flights.has_departed(key, now)
        {
            queue.flight = None;
        }
    }

    /// The body of a response that was to be kept broke off, or is too large.
    pub fn not_saved(&mut self, save: &Save, now: Timestamp) -> Option<Write> {
        let now = self.memory.limiter.clock.correct(now);
        self.ground(save.keeping.flight.as_deref(), Landing::Failed, now)
    }

    /// Lets nobody wait for what will not be stored; what to write tells other isolates.
    pub(super) fn ground(
        &mut self,
        flight: Option<&str>,
        how: Landing,
        now: Timestamp,
    ) -> Option<Write> {
        let digest = flight?;
        self.memory.flights.landed(digest, how, now);
        self.store_is_up().then(|| self.nothing_comes(digest, how))
    }
}
