//! Durations, counted by length.

use std::time::Duration;

use crate::clock::millis;

/// The upper bounds of the buckets but the last, in milliseconds.
pub const BOUNDS: [u64; 10] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000];

/// How many durations there were of each length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Histogram {
    /// By the bounds; the last one has none.
    pub counts: [u64; BOUNDS.len() + 1],
    /// All of them together, in milliseconds.
    pub sum_ms: u64,
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, took: Duration) {
        let ms = millis(took);
        let place = BOUNDS.partition_point(|bound| *bound < ms);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The duration that `percent` of them do not exceed, in milliseconds, as far as the buckets
    /// tell; `None` if there were none. Beyond the last bound it is that bound.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let all = self.count();
        // The rank is rounded up: of two, the 50th percentile is the first.
        let rank = (all * percent).div_ceil(100).max(1);
        let (mut below, mut from) = (0, 0);
        for (count, bound) in self.counts.iter().zip(BOUNDS) {
            if *count > 0 && below + count >= rank {
                return Some(from + (bound - from) * (rank - below) / count);
            }
            below += count;
            from = bound;
        }
        (all > 0).then_some(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(durations: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for ms in durations {
            histogram.add(Duration::from_millis(*ms));
        }
        histogram
    }

    #[test]
    fn a_duration_counts_up_to_and_including_its_bound() {
        let histogram = of(&[5, 6, 10, 10_001]);
        assert_eq!(histogram.counts, [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((histogram.count(), histogram.sum_ms), (4, 10_022));
    }

    #[test]
    fn percentiles_lie_within_the_bucket_that_holds_their_rank() {
        assert_eq!(of(&[]).percentile(50), None);
        assert_eq!(of(&[20_000]).percentile(99), Some(10_000));
        let mut all = vec![8; 98];
        all.extend([200, 200]);
        let histogram = of(&all);
        assert!((6..=10).contains(&histogram.percentile(50).unwrap_or_default()));
        assert!((101..=250).contains(&histogram.percentile(99).unwrap_or_default()));
    }
}
