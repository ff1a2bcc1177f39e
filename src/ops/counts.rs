//! Counters since the start of an isolate.

use crate::engine::http_cache::{CacheResult, Tier};
use crate::engine::limit::Source;

use super::histogram::Histogram;
use super::labels::{
    CallResult, Decision, Labels, OriginClass, Outcome, Purpose, SOURCES, StoreOp, source_place,
};

/// Counters, one for each word of a label.
pub type Row<const N: usize> = [u64; N];

/// What is counted of each route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RouteCounts {
    /// Requests, by [`Outcome`].
    pub outcomes: Row<{ Outcome::WORDS.len() }>,
    /// Requests that asked the cache, by [`CacheResult`], and by tier: none, the isolate's memory,
    /// Redis.
    pub cache: [Row<3>; CacheResult::WORDS.len()],
    /// Requests to the origin, by [`OriginClass`].
    pub origin: Row<{ OriginClass::WORDS.len() }>,
    /// How long the origin took to begin its answers.
    pub origin_took: Histogram,
}

/// What is counted of each limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitCounts {
    /// By [`Decision`] and [`Source`].
    pub decisions: [Row<{ SOURCES.len() }>; Decision::WORDS.len()],
    /// Requests after which less than a fifth of the quota was left.
    pub near: u64,
    /// Permits that were fetched ahead.
    pub granted: u64,
    /// Permits fetched ahead that were spent.
    pub spent: u64,
    /// Those of them that came back from requests whose cost was corrected. Counters never go down,
    /// so the next ones that are spent or go back are not counted in their place.
    pub unspent: u64,
    /// Permits fetched ahead that went back unspent.
    pub returned: u64,
}

/// What is counted of each kind of call of the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// By [`CallResult`].
    pub results: Row<{ CallResult::WORDS.len() }>,
    /// How long the calls took.
    pub took: Histogram,
}

/// All that is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By route.
    pub routes: Vec<RouteCounts>,
    /// By limit.
    pub limits: Vec<LimitCounts>,
    /// By [`StoreOp`].
    pub calls: [CallCounts; StoreOp::WORDS.len()],
    /// Commands of the store, by [`Purpose`].
    pub commands: Row<{ Purpose::WORDS.len() }>,
    /// How often the circuit breaker opened, by the failure that opened it ([`CallResult`]).
    pub opened: Row<{ CallResult::WORDS.len() }>,
    /// How often it let a probe through.
    pub probed: u64,
    /// How often it closed.
    pub closed: u64,
}

/// Adds to the counter at this place, if there is one.
pub fn add<const N: usize>(row: &mut Row<N>, place: usize, number: u64) {
    if let Some(count) = row.get_mut(place) {
        *count = count.saturating_add(number);
    }
}

/// The place of the item of which `number` is largest. To take a few of many that way needs less
/// code than a sort.
pub fn largest<T>(items: &[T], number: impl Fn(&T) -> u64) -> Option<usize> {
    let numbered = items.iter().map(number).enumerate();
    numbered
        .max_by_key(|(_, number)| *number)
        .map(|(place, _)| place)
}

impl LimitCounts {
    /// Permits fetched ahead are spent.
    pub fn spend(&mut self, permits: u64) {
        let new = self.new_of(permits);
        self.spent = self.spent.saturating_add(new);
    }

    /// Permits fetched ahead go back.
    pub fn give_back(&mut self, permits: u64) {
        let new = self.new_of(permits);
        self.returned = self.returned.saturating_add(new);
    }

    /// Those that are not counted as spent already.
    fn new_of(&mut self, permits: u64) -> u64 {
        let again = permits.min(self.unspent);
        self.unspent -= again;
        permits - again
    }
}

impl Counts {
    /// Counters for these routes and limits, all zero.
    pub fn of(labels: &Labels) -> Self {
        Self {
            routes: vec![RouteCounts::default(); labels.routes.len()],
            limits: vec![LimitCounts::default(); labels.limits.len()],
            ..Self::default()
        }
    }

    /// Counts a request that has its answer.
    pub fn request(&mut self, route: usize, outcome: Outcome) {
        if let Some(route) = self.routes.get_mut(route) {
            add(&mut route.outcomes, outcome.place(), 1);
        }
    }

    /// Counts what the cache did for a request.
    pub fn cached(&mut self, route: usize, result: CacheResult, tier: Option<Tier>) {
        let row = self.routes.get_mut(route);
        if let Some(row) = row.and_then(|route| route.cache.get_mut(result.place())) {
            add(row, tier.map_or(0, |tier| 1 + tier.place()), 1);
        }
    }

    /// Counts what a limit decided.
    pub fn decided(&mut self, limit: usize, decision: Decision, source: Source) {
        let row = self.limits.get_mut(limit);
        if let Some(row) = row.and_then(|limit| limit.decisions.get_mut(decision.place())) {
            add(row, source_place(source), 1);
        }
    }
}
