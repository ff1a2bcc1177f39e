//! Rows for Workers Analytics Engine: what was counted since the row before, of each route, limit
//! and kind of store call, and of the isolate. The rows of all isolates add up to the fleet.

use std::time::Duration;

use crate::clock::Timestamp;

use super::counts::{CallCounts, Counts, LimitCounts, RouteCounts, largest};
use super::histogram::Histogram;
use super::labels::{Labels, StoreOp};
use super::prometheus::Gauges;

/// So many rows are written at once, at most; the platform takes 25 of one request.
const MOST: usize = 20;

/// One row: its blobs are its kind, the name of what it is about, and the version; its doubles are
/// the numbers that [`Points::take`] describes.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// `route`, `origin`, `limit`, `store` or `isolate`; it is the index, too.
    pub kind: &'static str,
    /// The route, the limit or the kind of call; empty for the isolate.
    pub name: String,
    /// The numbers, 20 at most.
    pub numbers: Vec<f64>,
}

/// What was written so far, and when the next rows are due.
#[derive(Debug)]
pub struct Points {
    every: Duration,
    due: Option<Timestamp>,
    written: Counts,
    degraded_ms: u64,
}

impl Points {
    /// Rows that are due so often.
    pub fn every(every: Duration, labels: &Labels) -> Self {
        Self {
            every,
            due: None,
            written: Counts::of(labels),
            degraded_ms: 0,
        }
    }

    /// Whether rows are due.
    pub fn is_due(&mut self, now: Timestamp) -> bool {
        let due = *self.due.get_or_insert(now + self.every);
        // A clock that went back must not hold them up.
        now >= due || due.since(now) > self.every
    }

    /// Takes the rows of what was counted since the last ones, the busiest first; those that find
    /// no room come with the next ones, and nothing is lost. The numbers of a row, in their order:
    ///
    /// - `route`: requests by outcome (served, refused, held, degraded, error); of the cache: hit
    ///   from l1, hit from redis, stale from l1, stale from redis, collapsed, miss, bypass,
    ///   `stale_error`.
    /// - `origin`, by route: requests to it by class (2xx, 3xx, 4xx, 5xx, failed, timed out); the
    ///   milliseconds that they took; requests by that, as for `store`.
    /// - `limit`: admitted by redis, lease, local, none; refused by redis, lease, local, blocked;
    ///   refused in the shadow by the same; near; permits granted, spent, returned.
    /// - `store`: calls by result (ok, timeout, network, unauthorised, quota, protocol); the
    ///   milliseconds that they took; calls by the milliseconds that they took, up to 5, 10, 25,
    ///   50, 100, 250, 500, 1,000, 2,500, 10,000 and more.
    /// - `isolate`: commands for limit, cache, lease, purge, queue; how often the breaker opened
    ///   by reason (timeout, network, unauthorised, quota, protocol), let a probe through, closed;
    ///   milliseconds degraded; 1 if it is open; bytes of the cache;
    ///   milliseconds of the clock's correction.
    pub fn take(
        &mut self,
        counts: &Counts,
        labels: &Labels,
        gauges: Gauges,
        now: Timestamp,
    ) -> Vec<Point> {
        self.due = Some(now + self.every);
        let isolate = isolate(counts, &self.written, gauges, &mut self.degraded_ms);
        self.written.commands = counts.commands;
        self.written.opened = counts.opened;
        (self.written.probed, self.written.closed) = (counts.probed, counts.closed);
        let mut rows = Vec::new();
        for (place, now) in counts.routes.iter().enumerate() {
            let numbers = self.written.routes.get(place).map(|old| route(now, old));
            rows.push((Row::Route(place), numbers.unwrap_or_default()));
            let numbers = self.written.routes.get(place).map(|old| origin(now, old));
            rows.push((Row::Origin(place), numbers.unwrap_or_default()));
        }
        for (place, now) in counts.limits.iter().enumerate() {
            let numbers = self.written.limits.get(place).map(|old| limit(now, old));
            rows.push((Row::Limit(place), numbers.unwrap_or_default()));
        }
        for (place, (now, old)) in counts.calls.iter().zip(&self.written.calls).enumerate() {
            rows.push((Row::Store(place), store(now, old)));
        }
        rows.retain(|(_, numbers)| numbers.iter().any(|number| *number > 0));
        let mut points = vec![Point {
            kind: "isolate",
            name: String::new(),
            numbers: isolate,
        }];
        while points.len() < MOST
            && let Some(place) = largest(&rows, |(_, numbers)| sum(numbers))
        {
            let (row, numbers) = rows.swap_remove(place);
            let (kind, name) = self.write(row, counts, labels);
            points.push(Point {
                kind,
                name,
                numbers: numbers.into_iter().map(number).collect(),
            });
        }
        points
    }

    /// Notes that a row is written, and names it.
    fn write(&mut self, row: Row, counts: &Counts, labels: &Labels) -> (&'static str, String) {
        let named = |names: &[String], place: usize| names.get(place).cloned().unwrap_or_default();
        match row {
            Row::Route(place) => {
                let now = counts.routes.get(place);
                if let (Some(now), Some(old)) = (now, self.written.routes.get_mut(place)) {
                    (old.outcomes, old.cache) = (now.outcomes, now.cache);
                }
                ("route", named(&labels.routes, place))
            }
            Row::Origin(place) => {
                let now = counts.routes.get(place);
                if let (Some(now), Some(old)) = (now, self.written.routes.get_mut(place)) {
                    (old.origin, old.origin_took) = (now.origin, now.origin_took);
                }
                ("origin", named(&labels.routes, place))
            }
            Row::Limit(place) => {
                copy(&mut self.written.limits, &counts.limits, place);
                ("limit", named(&labels.limits, place))
            }
            Row::Store(place) => {
                copy(&mut self.written.calls, &counts.calls, place);
                let word = StoreOp::WORDS.get(place).copied().unwrap_or_default();
                ("store", word.to_owned())
            }
        }
    }
}

/// What a row is about, by its place.
#[derive(Clone, Copy)]
enum Row {
    Route(usize),
    Origin(usize),
    Limit(usize),
    Store(usize),
}

fn sum(numbers: &[u64]) -> u64 {
    numbers.iter().copied().fold(0, u64::saturating_add)
}

fn copy<T: Copy>(to: &mut [T], from: &[T], place: usize) {
    if let (Some(to), Some(from)) = (to.get_mut(place), from.get(place)) {
        *to = *from;
    }
}

fn less(now: &[u64], old: &[u64]) -> Vec<u64> {
    let pairs = now.iter().zip(old);
    pairs.map(|(now, old)| now.saturating_sub(*old)).collect()
}

fn route(now: &RouteCounts, old: &RouteCounts) -> Vec<u64> {
    let cache = |of: &RouteCounts| {
        let [hit, stale, collapsed, miss, bypass, on_error] = of.cache;
        let all = |row: [u64; 3]| row.iter().sum::<u64>();
        [
            // What was served in place of a call that the origin's quota forbids has no tier.
            hit[0] + hit[1],
            hit[2],
            stale[0] + stale[1],
            stale[2],
            all(collapsed),
            all(miss),
            all(bypass),
            all(on_error),
        ]
    };
    let mut row = less(&now.outcomes, &old.outcomes);
    row.extend(less(&cache(now), &cache(old)));
    row
}

fn origin(now: &RouteCounts, old: &RouteCounts) -> Vec<u64> {
    // Switches of protocols are left out.
    let mut row: Vec<_> = less(&now.origin, &old.origin).into_iter().skip(1).collect();
    row.extend(times(&now.origin_took, &old.origin_took));
    row
}

/// The milliseconds of calls, and the calls by their length.
fn times(now: &Histogram, old: &Histogram) -> Vec<u64> {
    let mut row = vec![now.sum_ms.saturating_sub(old.sum_ms)];
    row.extend(less(&now.counts, &old.counts));
    row
}

fn limit(now: &LimitCounts, old: &LimitCounts) -> Vec<u64> {
    let numbers = |of: &LimitCounts| {
        let [admitted, refused, shadow] = of.decisions;
        // Nothing is admitted by a remembered refusal, and nothing is refused without a decision.
        [
            [admitted[0], admitted[1], admitted[2], admitted[4]],
            [refused[0], refused[1], refused[2], refused[3]],
            [shadow[0], shadow[1], shadow[2], shadow[3]],
            [of.near, of.granted, of.spent, of.returned],
        ]
        .concat()
    };
    less(&numbers(now), &numbers(old))
}

fn store(now: &CallCounts, old: &CallCounts) -> Vec<u64> {
    let mut row = less(&now.results, &old.results);
    row.extend(times(&now.took, &old.took));
    row
}

fn isolate(now: &Counts, old: &Counts, gauges: Gauges, degraded_ms: &mut u64) -> Vec<f64> {
    let mut row = less(&now.commands, &old.commands);
    // No success opens a breaker.
    row.extend(less(&now.opened, &old.opened).into_iter().skip(1));
    row.extend([
        now.probed.saturating_sub(old.probed),
        now.closed.saturating_sub(old.closed),
        gauges.degraded_ms.saturating_sub(*degraded_ms),
        u64::from(gauges.open),
        gauges.l1_bytes,
    ]);
    // A clock that goes back makes it less for a while.
    *degraded_ms = gauges.degraded_ms.max(*degraded_ms);
    let mut row: Vec<_> = row.into_iter().map(number).collect();
    let offset = number(gauges.offset_ms.unsigned_abs());
    row.push(if gauges.offset_ms < 0 {
        -offset
    } else {
        offset
    });
    row
}

#[expect(
    clippy::cast_precision_loss,
    reason = "doubles are all that the engine takes; whole numbers are exact up to 2^53"
)]
const fn number(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::super::labels::{CallResult, Decision, Outcome, Purpose};
    use super::*;
    use crate::engine::limit::Source;

    const GAUGES: Gauges = Gauges {
        open: true,
        degraded_ms: 1_500,
        l1_bytes: 4_096,
        offset_ms: -20,
    };

    fn names(prefix: &str, number: usize) -> Vec<String> {
        (0..number).map(|n| format!("{prefix}{n}")).collect()
    }

    #[test]
    fn nothing_is_lost_and_nothing_told_twice_however_many_rows_there_are() {
        let labels = Labels {
            routes: names("/r", 70),
            limits: names("l", 30),
        };
        let mut counts = Counts::of(&labels);
        let mut points = Points::every(Duration::from_secs(10), &labels);
        let now = Timestamp::from_millis(1_000);
        let (mut served, mut admitted, mut flushes) = (0.0, 0.0, 0);
        for n in 0_u32..1_000 {
            counts.request(usize::try_from(n % 70).unwrap_or(0), Outcome::Served);
            counts.decided(
                usize::try_from(n % 30).unwrap_or(0),
                Decision::Admitted,
                Source::Redis,
            );
        }
        loop {
            let rows = points.take(&counts, &labels, GAUGES, now);
            assert!(rows.len() <= MOST);
            assert!(rows.iter().all(|row| row.numbers.len() <= 20));
            flushes += 1;
            for row in &rows {
                match row.kind {
                    "route" => served += row.numbers[0],
                    "limit" => admitted += row.numbers[0],
                    _ => {}
                }
            }
            if rows.len() == 1 {
                break;
            }
        }
        assert_eq!((served, admitted), (1_000.0, 1_000.0));
        assert_eq!(flushes, 100_usize.div_ceil(MOST - 1) + 1);
    }

    #[test]
    fn the_isolates_row_has_what_the_order_says() {
        let labels = Labels::default();
        let mut counts = Counts::of(&labels);
        counts.commands[Purpose::Lease.place()] = 7;
        counts.opened[CallResult::Timeout.place()] = 1;
        let mut points = Points::every(Duration::from_secs(10), &labels);
        let rows = points.take(&counts, &labels, GAUGES, Timestamp::from_millis(0));
        let expected = [
            0.0, 0.0, 7.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1_500.0, 1.0, 4_096.0,
            -20.0,
        ];
        assert_eq!(rows[0].numbers, expected);
        let again = points.take(&counts, &labels, GAUGES, Timestamp::from_millis(1));
        assert_eq!(again[0].numbers[2], 0.0);
        assert_eq!(again[0].numbers[12], 0.0);
    }

    #[test]
    fn degraded_time_is_told_once_even_if_the_clock_goes_back() {
        let labels = Labels::default();
        let counts = Counts::of(&labels);
        let mut points = Points::every(Duration::from_secs(10), &labels);
        let mut told = 0.0;
        for degraded_ms in [1_000, 9_000, 4_000, 8_000, 12_000] {
            let gauges = Gauges {
                degraded_ms,
                ..GAUGES
            };
            let rows = points.take(&counts, &labels, gauges, Timestamp::from_millis(0));
            told += rows[0].numbers[12];
        }
        assert_eq!(told, 12_000.0);
    }

    #[test]
    fn rows_are_due_after_the_time_even_if_the_clock_goes_back() {
        let mut points = Points::every(Duration::from_secs(10), &Labels::default());
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1_000);
        assert!(!points.is_due(at(100)));
        assert!(!points.is_due(at(109)));
        assert!(points.is_due(at(110)));
        assert!(points.is_due(at(50)));
    }
}
