//! What happened of late: the last minute by seconds, the last hour by minutes, the last day by
//! hours. Only the second is counted in; when it is over it is added to its minute and its hour.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::http_cache::CacheResult;

use super::counts::{Row, add};
use super::histogram::Histogram;
use super::labels::{Outcome, SOURCES};

/// What happened within a second, a minute or an hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Span {
    /// When it began, Unix time in milliseconds.
    pub from: u64,
    /// Requests, by [`Outcome`].
    pub outcomes: Row<{ Outcome::WORDS.len() }>,
    /// Requests, by what decided about their limits.
    pub sources: Row<{ SOURCES.len() }>,
    /// Requests that asked the cache, by [`CacheResult`].
    pub cache: Row<{ CacheResult::WORDS.len() }>,
    /// How long calls of the store took.
    pub calls: Histogram,
    /// By limit.
    pub limits: Vec<LimitSpan>,
}

/// What a limit decided within a span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitSpan {
    /// Requests that it let pass.
    pub admitted: u32,
    /// Requests that it refused.
    pub refused: u32,
    /// How full the fullest bucket was, in hundredths of its quota.
    pub fullest: u8,
}

impl Span {
    fn begin(from: u64, limits: usize) -> Self {
        Self {
            from,
            limits: vec![LimitSpan::default(); limits],
            ..Self::default()
        }
    }

    fn merge(&mut self, other: &Self) {
        merge(&mut self.outcomes, &other.outcomes);
        merge(&mut self.sources, &other.sources);
        merge(&mut self.cache, &other.cache);
        self.calls.merge(&other.calls);
        for (mine, theirs) in self.limits.iter_mut().zip(&other.limits) {
            mine.admitted = mine.admitted.saturating_add(theirs.admitted);
            mine.refused = mine.refused.saturating_add(theirs.refused);
            mine.fullest = mine.fullest.max(theirs.fullest);
        }
    }
}

fn merge<const N: usize>(row: &mut Row<N>, other: &Row<N>) {
    for (place, number) in other.iter().enumerate() {
        add(row, place, *number);
    }
}

/// Spans of one length, the latest last. Spans in which nothing happened are left out.
#[derive(Debug)]
struct Ring {
    width: u64,
    most: u64,
    spans: VecDeque<Span>,
}

impl Ring {
    const fn new(width: u64, most: u64) -> Self {
        Self {
            width,
            most,
            spans: VecDeque::new(),
        }
    }

    const fn start(&self, at: u64) -> u64 {
        at - at % self.width
    }

    /// Goes back to this time, if it is before the latest span: what was counted since counts as
    /// of now. `merges`: whether the latest span takes what the others hold.
    fn rewind(&mut self, at: u64, merges: bool) {
        let from = self.start(at);
        let Some(mut last) = self.spans.pop_back() else {
            return;
        };
        last.from = last.from.min(from);
        while let Some(before) = self.spans.pop_back() {
            if before.from < last.from {
                self.spans.push_back(before);
                break;
            }
            if merges {
                last.merge(&before);
            }
        }
        self.spans.push_back(last);
    }

    /// The span of this time. Time that goes back a little is counted in the latest span.
    fn at(&mut self, at: u64, limits: usize) -> Option<&mut Span> {
        let from = self.start(at);
        if self.spans.back().is_none_or(|last| last.from < from) {
            let oldest = from.saturating_sub(self.width * (self.most - 1));
            while self.spans.front().is_some_and(|span| span.from < oldest) {
                self.spans.pop_front();
            }
            self.spans.push_back(Span::begin(from, limits));
        }
        self.spans.back_mut()
    }
}

/// The last minute, hour and day.
#[derive(Debug)]
pub struct Recent {
    limits: usize,
    seconds: Ring,
    minutes: Ring,
    hours: Ring,
}

/// The widths of the spans: a second, a minute, an hour.
const WIDTHS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(60),
    Duration::from_secs(3_600),
];

/// A clock that goes back by more milliseconds than this is followed. Others are of requests that
/// are under way while the clock is corrected.
const LITTLE: u64 = 5_000;

impl Recent {
    /// Nothing yet, with so many limits.
    pub fn new(limits: usize) -> Self {
        let [second, minute, hour] = WIDTHS.map(crate::clock::millis);
        Self {
            limits,
            seconds: Ring::new(second, 60),
            minutes: Ring::new(minute, 60),
            hours: Ring::new(hour, 24),
        }
    }

    /// The present second, to be counted in.
    pub fn now(&mut self, now: Timestamp) -> Option<&mut Span> {
        let at = now.as_millis();
        let latest = self.seconds.spans.back().map_or(0, |last| last.from);
        if latest > at.saturating_add(LITTLE) {
            // Seconds that are over are a part of their minutes and hours already.
            self.seconds.rewind(at, false);
            self.minutes.rewind(at, true);
            self.hours.rewind(at, true);
        }
        let over = self.seconds.spans.back();
        if let Some(over) = over.filter(|last| last.from < self.seconds.start(at)) {
            for ring in [&mut self.minutes, &mut self.hours] {
                if let Some(span) = ring.at(over.from, self.limits) {
                    span.merge(over);
                }
            }
        }
        self.seconds.at(at, self.limits)
    }

    /// The seconds, minutes and hours that end after `since`, the oldest first, each with the
    /// present one.
    pub fn since(&self, since: Timestamp, now: Timestamp) -> [Vec<Span>; 3] {
        let present = self.seconds.spans.back();
        [&self.seconds, &self.minutes, &self.hours].map(|ring| {
            let mut spans = ring.spans.clone();
            if ring.width > self.seconds.width
                && let Some(present) = present
            {
                let from = ring.start(present.from);
                match spans.back_mut() {
                    Some(last) if last.from >= from => last.merge(present),
                    _ => spans.push_back(Span {
                        from,
                        ..present.clone()
                    }),
                }
            }
            let oldest = ring
                .start(now.as_millis())
                .saturating_sub(ring.width * (ring.most - 1));
            let wanted =
                |span: &Span| span.from >= oldest && span.from + ring.width > since.as_millis();
            spans.into_iter().filter(wanted).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_700_000_000_000;

    fn count(recent: &mut Recent, at: u64) {
        if let Some(span) = recent.now(Timestamp::from_millis(at)) {
            add(&mut span.outcomes, 0, 1);
        }
    }

    fn all(spans: &[Span]) -> u64 {
        spans.iter().flat_map(|span| span.outcomes).sum()
    }

    proptest! {
        #[test]
        fn every_ring_holds_all_that_happened_in_its_time(
            steps in prop::collection::vec(prop_oneof![0_u64..3_000, 0_u64..600_000], 1..200),
        ) {
            let mut recent = Recent::new(1);
            let (mut at, mut counted) = (START, Vec::new());
            for step in steps {
                at += step;
                count(&mut recent, at);
                counted.push(at);
            }
            let rings = recent.since(Timestamp::from_millis(0), Timestamp::from_millis(at));
            for (spans, (width, most)) in rings.iter().zip([(1_000, 60), (60_000, 60), (3_600_000, 24)]) {
                let oldest = (at - at % width) - width * (most - 1);
                let expected = counted.iter().filter(|at| **at >= oldest).count();
                prop_assert_eq!(all(spans), expected as u64);
                prop_assert!(spans.len() as u64 <= most);
                prop_assert!(spans.windows(2).all(|pair| pair[0].from < pair[1].from));
            }
        }
    }

    #[test]
    fn only_spans_that_end_after_the_time_asked_for_are_told() {
        let mut recent = Recent::new(0);
        for second in 0..10 {
            count(&mut recent, START + second * 1_000);
        }
        let now = Timestamp::from_millis(START + 9_500);
        let [seconds, minutes, _] = recent.since(Timestamp::from_millis(START + 6_500), now);
        assert_eq!(all(&seconds), 4);
        assert_eq!(all(&minutes), 10);
    }

    #[test]
    fn a_clock_that_goes_far_back_is_followed() {
        let (mut recent, hour) = (Recent::new(0), 3_600_000);
        let steps = [0, 30 * hour, 30 * hour + 1_000, 60_000, 61_000, 122_000];
        for step in steps {
            count(&mut recent, START + step);
        }
        let now = Timestamp::from_millis(START + 122_000);
        let [seconds, minutes, hours] = recent.since(Timestamp::from_millis(0), now);
        // What was counted in the wrong time counts as of the time after it.
        assert_eq!((all(&minutes), all(&hours)), (5, 5));
        for spans in [&seconds, &minutes, &hours] {
            let from: Vec<_> = spans.iter().map(|span| span.from).collect();
            assert!(from.is_sorted_by(|one, next| one < next), "{from:?}");
            assert!(from.iter().all(|from| *from <= now.as_millis()), "{from:?}");
        }
        assert_eq!(
            seconds.last().map(|span| all(std::slice::from_ref(span))),
            Some(1)
        );
        // Further ahead than all rings are long, and back.
        for step in [900 * hour, 130_000, 131_000] {
            count(&mut recent, START + step);
        }
        let now = Timestamp::from_millis(START + 131_000);
        let [seconds, minutes, _] = recent.since(Timestamp::from_millis(0), now);
        assert_eq!(seconds.last().map(|span| span.from), Some(START + 131_000));
        assert_eq!(all(&minutes), 8);
    }

    #[test]
    fn a_clock_that_goes_back_loses_nothing() {
        let mut recent = Recent::new(0);
        for at in [START + 5_000, START + 1_000, START + 6_000] {
            count(&mut recent, at);
        }
        let [seconds, ..] = recent.since(
            Timestamp::from_millis(0),
            Timestamp::from_millis(START + 6_000),
        );
        assert_eq!(all(&seconds), 3);
    }
}
