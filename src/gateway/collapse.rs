//! Collapsed forwarding: whether a request that misses goes to the origin, or waits for another that does.

use std::time::Duration;

use crate::clock::Timestamp;

use super::Gate;
use super::body::Body;
use super::caching::Caching;
use super::flight::{self, Boarding, Landing};
use super::head::Head;
use super::purge::Unread;
use super::saving::{Save, Write};
use super::step::{Exchange, Queue, Step};

impl<B: Body> Gate<B> {
    /// Whether to wait for another request that is on its way for the same, and for how long; nobody has
    /// asked the store yet. So a crowd that misses at once asks it once.
    pub(super) fn board(&mut self, exchange: &mut Exchange<B>, now: Timestamp) -> Option<Duration> {
        let refused = exchange.admission.check().origin_refused().is_some();
        let Caching::On(cached) = &mut exchange.caching else {
            return None;
        };
        if refused || !cached.is_collapsible() || cached.only_if_cached() {
            return None;
        }
        let queue = &mut exchange.queue;
        if queue.flight.is_some() {
            return None;
        }
        let waited = now.since(queue.since.unwrap_or(now));
        let patience = exchange.route.origin_timeout;
        let key = cached.key.hex();
        let flights = &mut self.memory.flights;
        // Whom the store has told to fetch it leads, whoever was here before.
        if cached.holds_lease() {
            flights.hand_over(&key, now);
        }
        match flights.board(&key, waited, patience, now) {
            Boarding::Lead => {
                cached.alone = false;
                queue.flight = Some(key);
                None
            }
            Boarding::Alone => {
                cached.alone = true;
                None
            }
            Boarding::Wait => {
                queue.since.get_or_insert(now);
                queue.looks += 1;
                Some(flight::pause(queue.looks - 1))
            }
        }
    }

    /// The same of a request that is about to go to the origin, which may also wait for another isolate.
    pub(super) fn queue(&mut self, exchange: &mut Exchange<B>, now: Timestamp) -> Option<Duration> {
        self.step_down(&mut exchange.queue, now);
        let pause = self.board(exchange, now);
        if pause.is_some() {
            return pause;
        }
        let store_tells = !exchange.store_failed && self.store_is_up();
        let Caching::On(cached) = &exchange.caching else {
            return None;
        };
        if cached.asks_the_origin() {
            // It takes nobody else's answer.
            self.disembark(exchange, now);
            return None;
        }
        let queue = &mut exchange.queue;
        let key = queue.flight.as_ref()?;
        // Somebody else in the world is at it, and the store will tell what comes of it.
        let waited = now.since(queue.since.unwrap_or(now));
        if store_tells && cached.is_refreshed_elsewhere() && waited < flight::ELSEWHERE {
            queue.since.get_or_insert(now);
            queue.looks += 1;
            return Some(flight::pause_elsewhere(queue.looks - 1));
        }
        let patience = exchange.route.origin_timeout;
        self.memory.flights.depart(key, patience, now);
        queue.departed = true;
        None
    }

    /// Nothing has to be fetched: whoever waits finds it, or goes.
    pub(super) fn disembark(&mut self, exchange: &mut Exchange<B>, now: Timestamp) {
        self.step_down(&mut exchange.queue, now);
        if let Some(key) = exchange.queue.flight.take() {
            self.memory.flights.stored(&key);
        }
    }

    /// The request to the origin, of one that has waited, perhaps, and not yet asked the store.
    pub(super) fn fetch_as_told(
        &mut self,
        head: &impl Head,
        mut exchange: Exchange<B>,
        now: Timestamp,
    ) -> Step<B> {
        if matches!(exchange.caching, Caching::On(_))
            && !exchange.caching.was_asked()
            && self.store_allows(&mut exchange, now)
            && let Some(ask) = self.ask_cache(head, &exchange, now)
        {
            return Step::Ask(ask, exchange);
        }
        self.fetch(head, exchange, now)
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
            && !exchange.leads()
            && exchange.caching.has_unchecked(now)
            && let Some(pause) = self.board(&mut exchange, now)
        {
            return Step::Wait(pause, exchange);
        }
        if missing
            && (exchange.leads() || exchange.caching.has_unchecked(now))
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

    /// The body of a response that is to be kept still arrives [`PATIENCE`](super::PATIENCE) after its
    /// head: what to write tells other isolates that they need not wait for it.
    pub fn still_arriving(&self, save: &Save) -> Option<Write> {
        let lease = save.keeping.lease.as_ref()?;
        self.store_is_up()
            .then(|| self.nothing_comes(lease, Landing::Unstored))
    }

    /// The body of a response that was to be kept broke off, is too large, or was not over in time.
    pub fn not_saved(&mut self, save: &Save, why: Unread, now: Timestamp) -> Option<Write> {
        let now = self.memory.limiter.clock.correct(now);
        let how = match why {
            Unread::TooLong | Unread::TooSlow => Landing::Unstored,
            Unread::Broken => Landing::Failed,
        };
        self.ground(save.keeping.flight.as_deref(), how, now)
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
