//! How long calls took, and how many failed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::report::Check;

/// The calls of one measurement.
#[derive(Debug, Default)]
pub struct Latency {
    /// Those that were answered, sorted.
    times: Vec<Duration>,
    /// How many failed, by the code of their error.
    failed: BTreeMap<String, usize>,
}

impl Latency {
    /// Adds a call that was answered.
    pub fn took(&mut self, time: Duration) {
        let at = self.times.partition_point(|other| *other <= time);
        self.times.insert(at, time);
    }

    /// Adds a call that failed.
    pub fn failed(&mut self, code: &str) {
        *self.failed.entry(code.to_owned()).or_default() += 1;
    }

    /// How many calls were answered.
    pub fn answered(&self) -> usize {
        self.times.len()
    }

    /// How many failed.
    pub fn failures(&self) -> usize {
        self.failed.values().sum()
    }

    /// Which failed: `2 timeout, 1 unreachable`.
    pub fn failures_by_code(&self) -> String {
        let each = self.failed.iter();
        let each: Vec<_> = each
            .map(|(code, count)| format!("{count} {code}"))
            .collect();
        each.join(", ")
    }

    /// The time within which so many hundredths of the answers came (nearest rank); `None` if there
    /// was none.
    pub fn percentile(&self, hundredths: usize) -> Option<Duration> {
        let rank = (self.times.len() * hundredths).div_ceil(100).max(1);
        self.times.get(rank - 1).copied()
    }

    /// The percentiles in words.
    pub fn in_words(&self) -> String {
        let of = |hundredths| shown(self.percentile(hundredths).unwrap_or_default());
        let (half, most, all) = (of(50), of(90), of(99));
        format!("p50 {half}, p90 {most}, p99 {all}")
    }

    /// Adds all of it to what programs are told.
    pub fn tell(&self, check: &mut Check) {
        let of = |hundredths| self.percentile(hundredths).map(in_ms);
        check.datum("answered", self.answered());
        check.datum("failed", json!(self.failed));
        for (name, hundredths) in [
            ("p50_ms", 50),
            ("p90_ms", 90),
            ("p99_ms", 99),
            ("max_ms", 100),
        ] {
            check.datum(name, of(hundredths).map_or(Value::Null, Value::from));
        }
    }
}

/// A time in milliseconds, to a hundredth.
pub fn in_ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

/// A time in words.
pub fn shown(time: Duration) -> String {
    match in_ms(time) {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.0} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let mut latency = Latency::default();
        assert_eq!(latency.percentile(50), None);
        for ms in [5, 1, 4, 2, 3] {
            latency.took(Duration::from_millis(ms));
        }
        let of = |hundredths| latency.percentile(hundredths).map(in_ms);
        assert_eq!(
            [of(0), of(50), of(80), of(81), of(100)],
            [1.0, 3.0, 4.0, 5.0, 5.0].map(Some)
        );
        assert_eq!(latency.in_words(), "p50 3.0 ms, p90 5.0 ms, p99 5.0 ms");
    }

    #[test]
    fn failures_are_counted_by_their_code() {
        let mut latency = Latency::default();
        for code in ["timeout", "unreachable", "timeout"] {
            latency.failed(code);
        }
        assert_eq!((latency.failures(), latency.answered()), (3, 0));
        assert_eq!(latency.failures_by_code(), "2 timeout, 1 unreachable");
    }
}
