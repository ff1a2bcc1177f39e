//! What all isolates together have counted, put together from their rows.

use super::counts::{Counts, LimitCounts, RouteCounts};
use super::histogram::Histogram;
use super::labels::{Labels, StoreOp};
use super::prometheus::{self, Gauges};

/// The counters of all isolates.
#[derive(Debug, Default)]
pub struct Fleet {
    counts: Counts,
    labels: Labels,
    degraded_ms: u64,
}

/// What the rows of isolates tell of the present, the largest of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Present {
    /// Whether the circuit breaker of one of them is not closed.
    pub open: bool,
    /// The bytes of the largest cache.
    pub l1_bytes: u64,
    /// The largest correction of a clock, in milliseconds.
    pub offset_ms: i64,
}

/// Takes the numbers of a row in their order.
struct Numbers<'a>(std::slice::Iter<'a, u64>);

impl Numbers<'_> {
    fn add(&mut self, to: &mut u64) {
        *to = to.saturating_add(self.0.next().copied().unwrap_or_default());
    }

    fn add_all<'a>(&mut self, to: impl IntoIterator<Item = &'a mut u64>) {
        to.into_iter().for_each(|to| self.add(to));
    }

    fn add_times(&mut self, to: &mut Histogram) {
        self.add(&mut to.sum_ms);
        self.add_all(&mut to.counts);
    }
}

impl Fleet {
    /// Adds the sum of rows of one kind and name, whose numbers are in the order that
    /// [`Points::take`](super::Points::take) describes. Rows of an unknown kind are left out.
    pub fn add(&mut self, kind: &str, name: &str, numbers: &[u64]) {
        let mut numbers = Numbers(numbers.iter());
        match kind {
            "route" => {
                let Some(route) = self.route(name) else {
                    return;
                };
                numbers.add_all(&mut route.outcomes);
                let [hit, stale, rest @ ..] = &mut route.cache;
                let [_, l1, redis] = hit;
                numbers.add_all([l1, redis]);
                let [_, l1, redis] = stale;
                numbers.add_all([l1, redis]);
                for [untold, ..] in rest {
                    numbers.add(untold);
                }
            }
            "origin" => {
                let Some(route) = self.route(name) else {
                    return;
                };
                numbers.add_all(route.origin.iter_mut().skip(1));
                numbers.add_times(&mut route.origin_took);
            }
            "limit" => {
                let Some(limit) = self.limit(name) else {
                    return;
                };
                let [admitted, refused, shadow] = &mut limit.decisions;
                let [redis, lease, local, _, none] = admitted;
                numbers.add_all([redis, lease, local, none]);
                numbers.add_all(refused.iter_mut().take(4));
                numbers.add_all(shadow.iter_mut().take(4));
                numbers.add(&mut limit.near);
                numbers.add_all([&mut limit.granted, &mut limit.spent, &mut limit.returned]);
            }
            "store" => {
                let place = StoreOp::WORDS.iter().position(|word| *word == name);
                if let Some(calls) = place.and_then(|place| self.counts.calls.get_mut(place)) {
                    numbers.add_all(&mut calls.results);
                    numbers.add_times(&mut calls.took);
                }
            }
            "isolate" => {
                numbers.add_all(&mut self.counts.commands);
                numbers.add_all(self.counts.opened.iter_mut().skip(1));
                numbers.add_all([&mut self.counts.probed, &mut self.counts.closed]);
                numbers.add(&mut self.degraded_ms);
            }
            _ => {}
        }
    }

    fn route(&mut self, name: &str) -> Option<&mut RouteCounts> {
        named(&mut self.labels.routes, &mut self.counts.routes, name)
    }

    fn limit(&mut self, name: &str) -> Option<&mut LimitCounts> {
        named(&mut self.labels.limits, &mut self.counts.limits, name)
    }

    /// The counters in the text format of Prometheus.
    pub fn prometheus(&self, present: Present) -> String {
        let gauges = Gauges {
            open: present.open,
            degraded_ms: self.degraded_ms,
            l1_bytes: present.l1_bytes,
            offset_ms: present.offset_ms,
        };
        prometheus::text(&self.counts, &self.labels, gauges)
    }
}

/// The counters of this name, which may be new.
fn named<'a, T: Default>(
    names: &mut Vec<String>,
    all: &'a mut Vec<T>,
    name: &str,
) -> Option<&'a mut T> {
    let known = names.iter().position(|known| known == name);
    let place = known.unwrap_or_else(|| {
        names.push(name.to_owned());
        all.push(T::default());
        all.len() - 1
    });
    all.get_mut(place)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::counts::Counts;
    use super::super::points::Points;
    use super::*;
    use crate::clock::Timestamp;

    const GAUGES: Gauges = Gauges {
        open: false,
        degraded_ms: 1_234,
        l1_bytes: 0,
        offset_ms: 0,
    };

    /// Counters with numbers in all places that rows have.
    fn counted(labels: &Labels, mut next: impl FnMut() -> u64) -> Counts {
        let mut counts = Counts::of(labels);
        for route in &mut counts.routes {
            route.outcomes.fill_with(&mut next);
            for row in route.cache.iter_mut().take(2) {
                (row[1], row[2]) = (next(), next());
            }
            for row in route.cache.iter_mut().skip(2) {
                row[0] = next();
            }
            route.origin[1..].fill_with(&mut next);
            route.origin_took.counts.fill_with(&mut next);
            route.origin_took.sum_ms = next();
        }
        for limit in &mut counts.limits {
            let [admitted, refused, shadow] = &mut limit.decisions;
            for (place, number) in admitted.iter_mut().enumerate() {
                *number = if place == 3 { 0 } else { next() };
            }
            refused[..4].fill_with(&mut next);
            shadow[..4].fill_with(&mut next);
            (limit.near, limit.granted) = (next(), next());
            (limit.spent, limit.returned) = (next(), next());
        }
        for calls in &mut counts.calls {
            calls.results.fill_with(&mut next);
            calls.took.counts.fill_with(&mut next);
            calls.took.sum_ms = next();
        }
        counts.commands.fill_with(&mut next);
        counts.opened[1..].fill_with(&mut next);
        (counts.probed, counts.closed) = (next(), next());
        counts
    }

    proptest! {
        #[test]
        fn what_isolates_write_adds_up_to_what_they_have_counted(seed in 1_u64..1_000_000) {
            let labels = Labels {
                routes: vec!["default".to_owned(), "/a".to_owned(), "/b".to_owned()],
                limits: vec!["x".to_owned(), "y".to_owned()],
            };
            let mut state = seed;
            let counts = counted(&labels, || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state >> 45
            });
            let mut points = Points::every(Duration::from_secs(10), &labels);
            let mut fleet = Fleet::default();
            // The names come in any order.
            for route in &labels.routes {
                fleet.route(route);
            }
            for limit in &labels.limits {
                fleet.limit(limit);
            }
            for _ in 0..3 {
                let rows = points.take(&counts, &labels, GAUGES, Timestamp::from_millis(0));
                for row in rows {
                    let numbers = row.numbers.iter().map(|number| *number as u64);
                    fleet.add(row.kind, &row.name, &numbers.collect::<Vec<_>>());
                }
            }
            prop_assert_eq!(&fleet.counts, &counts);
            prop_assert_eq!(fleet.degraded_ms, 1_234);
        }
    }

    #[test]
    fn rows_of_another_program_change_nothing() {
        let mut fleet = Fleet::default();
        fleet.add("strange", "x", &[1, 2, 3]);
        fleet.add("store", "strange", &[1]);
        fleet.add("limit", "short", &[5]);
        let mut expected = Counts::default();
        expected.limits.push(LimitCounts::default());
        expected.limits[0].decisions[0][0] = 5;
        assert_eq!(fleet.counts, expected);
    }
}
