//! Counters since the start of an instance.

use std::fmt::Write as _;

use crate::engine::limit::Source;

/// Counters of one instance, since it started.
#[derive(Debug, Default)]
pub struct Counters {
    requests: Vec<([&'static str; 2], u64)>,
    cache: Vec<([&'static str; 1], u64)>,
    origin: Vec<([&'static str; 1], u64)>,
    store: Vec<([&'static str; 1], u64)>,
}

impl Counters {
    /// A request about which the limits were asked. `source`: what decided.
    pub fn limited(&mut self, source: Source, refused: bool) {
        let outcome = if refused { "refused" } else { "admitted" };
        count(&mut self.requests, [source.as_str(), outcome]);
    }

    /// An answer whose `Cache-Status` has this member of the gate (RFC 9211). It counts only if the
    /// cache was asked.
    pub fn cached(&mut self, member: &str) {
        let said = RESULTS
            .iter()
            .find(|(parameter, _)| member.split("; ").any(|said| said == *parameter));
        if let Some((_, result)) = said {
            count(&mut self.cache, [result]);
        }
    }

    /// A request to the origin, in the background or not: `answered`, or why it was not.
    pub fn origin(&mut self, result: &'static str) {
        count(&mut self.origin, [result]);
    }

    /// A call of the store: `ok`, or the code of its error.
    pub fn store(&mut self, result: &'static str) {
        count(&mut self.store, [result]);
    }

    /// The counters in the text format of Prometheus. `store`: how the instance sees its store, as
    /// the health page tells it.
    pub fn text(&self, store: &str) -> String {
        let mut text = String::new();
        family(
            &mut text,
            [
                "requests_total",
                "Requests by what decided about their limits.",
            ],
            ["limiter", "outcome"],
            &self.requests,
        );
        family(
            &mut text,
            [
                "cache_total",
                "Requests that asked the cache: hit, or why it had no answer.",
            ],
            ["result"],
            &self.cache,
        );
        family(
            &mut text,
            [
                "origin_requests_total",
                "Requests to the origin, refreshes included.",
            ],
            ["result"],
            &self.origin,
        );
        family(
            &mut text,
            [
                "store_calls_total",
                "Calls of the store: ok, or the code of the error.",
            ],
            ["result"],
            &self.store,
        );
        head(
            &mut text,
            "store_state",
            "gauge",
            "1 for the state of the store's circuit breaker.",
        );
        for state in STATES {
            let is = u8::from(state == store);
            let _ = writeln!(text, "{PREFIX}store_state{{state=\"{state}\"}} {is}");
        }
        text
    }
}

/// The parameters of `Cache-Status` that tell the result, and its name: RFC 9211 §2.1 and §2.2.
const RESULTS: &[(&str, &str)] = &[
    ("hit", "hit"),
    ("fwd=bypass", "bypass"),
    ("fwd=method", "method"),
    ("fwd=uri-miss", "uri-miss"),
    ("fwd=vary-miss", "vary-miss"),
    ("fwd=miss", "miss"),
    ("fwd=request", "request"),
    ("fwd=stale", "stale"),
    ("fwd=partial", "partial"),
];

/// All that the health page says of a store.
const STATES: [&str; 4] = ["none", "closed", "open", "half-open"];

const PREFIX: &str = "omnitrade_edge_";

fn count<const N: usize>(counts: &mut Vec<([&'static str; N], u64)>, labels: [&'static str; N]) {
    match counts.iter_mut().find(|(known, _)| *known == labels) {
        Some((_, count)) => *count += 1,
        None => counts.push((labels, 1)),
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(
        text,
        "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}"
    );
}

fn family<const N: usize>(
    text: &mut String,
    [name, help]: [&str; 2],
    labels: [&str; N],
    counts: &[([&'static str; N], u64)],
) {
    head(text, name, "counter", help);
    for (values, count) in counts {
        let _ = write!(text, "{PREFIX}{name}{{");
        for (n, (label, value)) in labels.iter().zip(values).enumerate() {
            let comma = if n == 0 { "" } else { "," };
            let _ = write!(text, "{comma}{label}=\"{value}\"");
        }
        let _ = writeln!(text, "}} {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reported_is_told_as_prometheus_reads_it() {
        let mut counters = Counters::default();
        for refused in [false, false, true] {
            counters.limited(Source::Redis, refused);
        }
        counters.limited(Source::Local, false);
        counters.cached("omnitrade-edge; hit; ttl=5");
        counters.cached("omnitrade-edge; fwd=stale; fwd-status=304; stored");
        counters.cached("omnitrade-edge; detail=refused");
        counters.origin("answered");
        counters.store("ok");
        counters.store("timeout");
        let text = counters.text("half-open");
        for line in [
            "# TYPE omnitrade_edge_requests_total counter",
            r#"omnitrade_edge_requests_total{limiter="redis",outcome="admitted"} 2"#,
            r#"omnitrade_edge_requests_total{limiter="redis",outcome="refused"} 1"#,
            r#"omnitrade_edge_requests_total{limiter="local",outcome="admitted"} 1"#,
            r#"omnitrade_edge_cache_total{result="hit"} 1"#,
            r#"omnitrade_edge_cache_total{result="stale"} 1"#,
            r#"omnitrade_edge_origin_requests_total{result="answered"} 1"#,
            r#"omnitrade_edge_store_calls_total{result="ok"} 1"#,
            r#"omnitrade_edge_store_calls_total{result="timeout"} 1"#,
            "# TYPE omnitrade_edge_store_state gauge",
            r#"omnitrade_edge_store_state{state="half-open"} 1"#,
            r#"omnitrade_edge_store_state{state="closed"} 0"#,
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
        }
        assert_eq!(text.matches("cache_total{").count(), 2, "{text}");
        assert!(text.ends_with('\n'));
    }
}
