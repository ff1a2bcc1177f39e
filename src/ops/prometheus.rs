//! The counters in the text format of Prometheus (exposition format 0.0.4).

use crate::engine::http_cache::{CacheResult, Tier};

use super::counts::{Counts, Row};
use super::histogram::{BOUNDS, Histogram};
use super::labels::{
    CallResult, Decision, Labels, OriginClass, Outcome, Purpose, SOURCES, StoreOp,
};

/// What is told beside the counters.
#[derive(Debug, Clone, Copy)]
pub struct Gauges {
    /// Whether the circuit breaker of the store is open or lets a probe through.
    pub open: bool,
    /// How long it has been so, all times together, in milliseconds.
    pub degraded_ms: u64,
    /// The bytes that the isolate's memory of the cache takes.
    pub l1_bytes: u64,
    /// The correction of the isolate's clock, in milliseconds.
    pub offset_ms: i64,
}

/// The text of a scrape. Series of a route or a limit that are zero are left out.
pub fn text(counts: &Counts, labels: &Labels, gauges: Gauges) -> String {
    let mut page = Page::default();
    let routes = || labels.routes.iter().zip(&counts.routes);
    let limits = || labels.limits.iter().zip(&counts.limits);

    page.family("requests_total", COUNTER, "Requests, by how they ended.");
    for (route, told) in routes() {
        page.row("route", route, "outcome", &Outcome::WORDS, &told.outcomes);
    }
    page.family(
        "limit_decisions_total",
        COUNTER,
        "Decisions of limits, by what they were made from.",
    );
    for (limit, told) in limits() {
        for (decision, row) in Decision::WORDS.iter().zip(&told.decisions) {
            for (source, number) in SOURCES.iter().zip(row).filter(|(_, number)| **number > 0) {
                let labels = [
                    ("limit", limit.as_str()),
                    ("decision", decision),
                    ("source", source),
                ];
                page.sample("", &labels, *number);
            }
        }
    }
    page.family(
        "cache_requests_total",
        COUNTER,
        "Requests that asked the cache, by result, and where the response was found.",
    );
    for (route, told) in routes() {
        for (result, row) in CacheResult::WORDS.iter().zip(&told.cache) {
            for (tier, number) in ["", Tier::WORDS[0], Tier::WORDS[1]].iter().zip(row) {
                let labels = [
                    ("route", route.as_str()),
                    ("result", result),
                    ("tier", tier),
                ];
                if *number > 0 {
                    page.sample("", &labels, *number);
                }
            }
        }
    }
    let calls = || StoreOp::WORDS.iter().zip(&counts.calls);
    page.family(
        "store_calls_total",
        COUNTER,
        "Calls of the store, by result.",
    );
    for (op, told) in calls() {
        page.row("op", op, "outcome", &CallResult::WORDS, &told.results);
    }
    page.family(
        "store_call_duration_seconds",
        HISTOGRAM,
        "How long calls of the store took.",
    );
    for (op, told) in calls() {
        page.histogram("op", op, &told.took);
    }
    page.family(
        "store_commands_total",
        COUNTER,
        "Commands of the store as it bills them, by what they were for.",
    );
    for (purpose, number) in Purpose::WORDS.iter().zip(counts.commands) {
        page.sample("", &[("purpose", purpose)], number);
    }
    page.family(
        "breaker_transitions_total",
        COUNTER,
        "How often the circuit breaker of the store changed its state, and why.",
    );
    for (reason, number) in CallResult::WORDS.iter().zip(counts.opened).skip(1) {
        page.sample("", &[("to", "open"), ("reason", reason)], number);
    }
    page.sample(
        "",
        &[("to", "half-open"), ("reason", "probe")],
        counts.probed,
    );
    page.sample("", &[("to", "closed"), ("reason", "ok")], counts.closed);
    page.family(
        "breaker_open",
        GAUGE,
        "1 while the circuit breaker of the store is not closed.",
    );
    page.sample("", &[], u64::from(gauges.open));
    page.family(
        "degraded_seconds_total",
        COUNTER,
        "How long the circuit breaker of the store was not closed.",
    );
    page.decimal("", &[], false, gauges.degraded_ms);
    page.family(
        "origin_duration_seconds",
        HISTOGRAM,
        "How long the origin took to begin its answers.",
    );
    for (route, told) in routes() {
        page.histogram("route", route, &told.origin_took);
    }
    page.family(
        "origin_responses_total",
        COUNTER,
        "Requests to the origin, refreshes included, by the class of the answer.",
    );
    for (route, told) in routes() {
        page.row("route", route, "class", &OriginClass::WORDS, &told.origin);
    }
    page.family(
        "lease_permits_total",
        COUNTER,
        "Permits that were fetched ahead, were spent, or went back.",
    );
    for (limit, told) in limits() {
        let numbers = [told.granted, told.spent, told.returned];
        page.row(
            "limit",
            limit,
            "state",
            &["granted", "spent", "returned"],
            &numbers,
        );
    }
    page.family(
        "limit_near_total",
        COUNTER,
        "Requests after which less than a fifth of the client's quota was left.",
    );
    for (limit, told) in limits().filter(|(_, told)| told.near > 0) {
        page.sample("", &[("limit", limit)], told.near);
    }
    page.family("l1_bytes", GAUGE, "The memory that cached responses take.");
    page.sample("", &[], gauges.l1_bytes);
    page.family(
        "clock_offset_seconds",
        GAUGE,
        "By how much the clock is corrected to agree with the store's.",
    );
    page.decimal(
        "",
        &[],
        gauges.offset_ms < 0,
        gauges.offset_ms.unsigned_abs(),
    );
    page.family("build_info", GAUGE, "1, with the version.");
    page.sample("", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.text
}

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";
const HISTOGRAM: &str = "histogram";
const PREFIX: &str = "edge_";

/// The page that is being written.
#[derive(Default)]
struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    fn write(&mut self, parts: &[&str]) {
        for part in parts {
            self.text.push_str(part);
        }
    }

    /// Begins a family.
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        self.write(&["# HELP ", PREFIX, name, " ", help, "\n"]);
        self.write(&["# TYPE ", PREFIX, name, " ", kind, "\n"]);
    }

    /// A sample of the family, up to its value.
    fn head(&mut self, suffix: &str, labels: &[(&str, &str)]) {
        let name = self.name;
        self.write(&[PREFIX, name, suffix]);
        let mut labels = labels.iter().filter(|(_, value)| !value.is_empty());
        if let Some((name, value)) = labels.next() {
            self.write(&["{", name, "=\""]);
            self.escaped(value);
            for (name, value) in labels {
                self.write(&["\",", name, "=\""]);
                self.escaped(value);
            }
            self.write(&["\"}"]);
        }
        self.write(&[" "]);
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: u64) {
        self.head(suffix, labels);
        self.write(&[itoa::Buffer::new().format(value), "\n"]);
    }

    /// A sample in seconds, given in milliseconds.
    fn decimal(&mut self, suffix: &str, labels: &[(&str, &str)], is_negative: bool, ms: u64) {
        self.head(suffix, labels);
        self.write(&[if is_negative { "-" } else { "" }]);
        self.seconds(ms);
        self.write(&["\n"]);
    }

    fn seconds(&mut self, ms: u64) {
        self.write(&[itoa::Buffer::new().format(ms / 1_000)]);
        let (mut rest, mut digit) = (ms % 1_000, 100);
        if rest > 0 {
            self.write(&["."]);
        }
        while rest > 0 {
            self.write(&[itoa::Buffer::new().format(rest / digit)]);
            rest %= digit;
            digit /= 10;
        }
    }

    /// A sample for each word of a label, but for those that are zero.
    fn row<const N: usize>(
        &mut self,
        by: &str,
        name: &str,
        label: &str,
        words: &[&str; N],
        row: &Row<N>,
    ) {
        for (word, number) in words.iter().zip(row).filter(|(_, number)| **number > 0) {
            self.sample("", &[(by, name), (label, word)], *number);
        }
    }

    fn histogram(&mut self, by: &str, name: &str, told: &Histogram) {
        let all = told.count();
        if all == 0 {
            return;
        }
        let mut so_far = 0;
        for (bound, count) in BOUNDS.iter().zip(told.counts) {
            so_far += count;
            let mut le = Self::default();
            le.seconds(*bound);
            self.sample("_bucket", &[(by, name), ("le", &le.text)], so_far);
        }
        self.sample("_bucket", &[(by, name), ("le", "+Inf")], all);
        self.decimal("_sum", &[(by, name)], false, told.sum_ms);
        self.sample("_count", &[(by, name)], all);
    }

    fn escaped(&mut self, value: &str) {
        for char in value.chars() {
            match char {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                char => self.text.push(char),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn told(change: impl FnOnce(&mut Counts), gauges: Gauges) -> String {
        let labels = Labels {
            routes: vec!["default".to_owned(), "/a/{b}\\\"".to_owned()],
            limits: vec!["per-ip".to_owned()],
        };
        let mut counts = Counts::of(&labels);
        change(&mut counts);
        text(&counts, &labels, gauges)
    }

    const NONE: Gauges = Gauges {
        open: false,
        degraded_ms: 0,
        l1_bytes: 0,
        offset_ms: 0,
    };

    #[test]
    fn labels_are_escaped_and_empty_ones_left_out() {
        let page = told(
            |counts| {
                counts.request(1, Outcome::Served);
                counts.cached(1, CacheResult::Miss, None);
                counts.cached(1, CacheResult::Hit, Some(Tier::Redis));
            },
            NONE,
        );
        for line in [
            r#"edge_requests_total{route="/a/{b}\\\"",outcome="served"} 1"#,
            r#"edge_cache_requests_total{route="/a/{b}\\\"",result="miss"} 1"#,
            r#"edge_cache_requests_total{route="/a/{b}\\\"",result="hit",tier="redis"} 1"#,
            "edge_breaker_open 0",
        ] {
            assert!(page.lines().any(|told| told == line), "{line} in\n{page}");
        }
        assert!(page.ends_with('\n'));
    }

    #[test]
    fn histograms_add_up_and_seconds_have_no_needless_zeros() {
        let gauges = Gauges {
            degraded_ms: 61_050,
            offset_ms: -20,
            ..NONE
        };
        let page = told(
            |counts| {
                for ms in [3, 40, 20_000] {
                    counts.calls[0].took.add(Duration::from_millis(ms));
                }
            },
            gauges,
        );
        for line in [
            r#"edge_store_call_duration_seconds_bucket{op="admit",le="0.005"} 1"#,
            r#"edge_store_call_duration_seconds_bucket{op="admit",le="0.05"} 2"#,
            r#"edge_store_call_duration_seconds_bucket{op="admit",le="10"} 2"#,
            r#"edge_store_call_duration_seconds_bucket{op="admit",le="+Inf"} 3"#,
            r#"edge_store_call_duration_seconds_sum{op="admit"} 20.043"#,
            r#"edge_store_call_duration_seconds_count{op="admit"} 3"#,
            "edge_degraded_seconds_total 61.05",
            "edge_clock_offset_seconds -0.02",
        ] {
            assert!(page.lines().any(|told| told == line), "{line} in\n{page}");
        }
    }
}
