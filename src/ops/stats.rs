//! What `GET /__edge/stats` answers, as JSON. Times are Unix times in milliseconds.

use serde_json::Value;

use crate::clock::Timestamp;
use crate::engine::breaker::Status;
use crate::engine::http_cache::CacheResult;

use super::counts::Counts;
use super::events::Event;
use super::histogram::Histogram;
use super::labels::{Decision, Labels, Outcome, Purpose, SOURCES};
use super::prometheus::Gauges;
use super::recent::Span;
use super::store_seen::StoreSeen;

/// What is shown.
pub struct Shown<'a> {
    pub labels: &'a Labels,
    pub counts: &'a Counts,
    /// Seconds, minutes and hours.
    pub spans: [Vec<Span>; 3],
    /// The same of the last two minutes, whatever was asked for.
    pub lately: &'a [Vec<Span>; 3],
    pub events: Vec<&'a Event>,
    /// The limit, the digest and the count of the most refused subjects.
    pub refused: Vec<(usize, String, u64)>,
    pub store: StoreSeen,
    pub started: Timestamp,
    pub gauges: Gauges,
    pub now: Timestamp,
}

/// A JSON text that is being written. `serde_json`'s macro would take four times as much code for
/// the same.
#[derive(Default)]
struct Json(String);

impl Json {
    /// Begins the next item of a list or an object.
    fn next(&mut self) {
        if !self.0.ends_with(['[', '{', ':']) && !self.0.is_empty() {
            self.0.push(',');
        }
    }

    fn name(&mut self, name: &str) {
        self.next();
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    fn begin(&mut self, bracket: char) {
        self.next();
        self.0.push(bracket);
    }

    fn end(&mut self, bracket: char) {
        self.0.push(bracket);
    }

    fn number(&mut self, number: impl itoa::Integer) {
        self.next();
        self.0.push_str(itoa::Buffer::new().format(number));
    }

    fn text(&mut self, text: &str) {
        self.value(&text.into());
    }

    fn value(&mut self, value: &Value) {
        self.next();
        self.0
            .push_str(&serde_json::to_string(value).unwrap_or_default());
    }

    fn numbers(&mut self, name: &str, numbers: &[u64]) {
        self.name(name);
        self.begin('[');
        for number in numbers {
            self.number(*number);
        }
        self.end(']');
    }

    fn texts(&mut self, name: &str, texts: &[&str]) {
        self.name(name);
        self.begin('[');
        for text in texts {
            self.text(text);
        }
        self.end(']');
    }

    fn named(&mut self, name: &str, number: u64) {
        self.name(name);
        self.number(number);
    }

    fn maybe(&mut self, name: &str, number: Option<u64>) {
        self.name(name);
        match number {
            Some(number) => self.number(number),
            None => self.value(&Value::Null),
        }
    }

    fn times(&mut self, calls: &Histogram) {
        self.maybe("p50_ms", calls.percentile(50));
        self.maybe("p99_ms", calls.percentile(99));
    }

    fn span(&mut self, span: &Span) {
        self.begin('{');
        self.named("at", span.from);
        self.numbers("outcomes", &span.outcomes);
        self.numbers("sources", &span.sources);
        self.numbers("cache", &span.cache);
        self.named("calls", span.calls.count());
        self.times(&span.calls);
        self.name("limits");
        self.begin('[');
        for limit in &span.limits {
            self.begin('[');
            self.number(limit.admitted);
            self.number(limit.refused);
            self.number(limit.fullest);
            self.end(']');
        }
        self.end(']');
        self.end('}');
    }

    fn store(&mut self, shown: &Shown<'_>) {
        let mut calls = Histogram::default();
        for span in shown.lately.get(1).into_iter().flatten() {
            calls.merge(&span.calls);
        }
        let store = &shown.store;
        self.name("store");
        self.begin('{');
        self.name("state");
        self.text(store.status.map_or("none", Status::as_str));
        self.maybe("down_since", store.down_since.map(Timestamp::as_millis));
        self.name("reason");
        self.value(&store.reason.map(|reason| reason.word()).into());
        self.times(&calls);
        self.named("degraded_ms", shown.gauges.degraded_ms);
        self.name("offset_ms");
        self.number(shown.gauges.offset_ms);
        self.end('}');
    }

    /// Each limit since the start of the isolate.
    fn limits(&mut self, shown: &Shown<'_>) {
        self.name("limits");
        self.begin('[');
        for (name, told) in shown.labels.limits.iter().zip(&shown.counts.limits) {
            self.begin('{');
            self.name("name");
            self.text(name);
            for (word, row) in Decision::WORDS.iter().zip(&told.decisions) {
                self.named(word, row.iter().sum());
            }
            self.named("near", told.near);
            self.end('}');
        }
        self.end(']');
    }

    fn refused(&mut self, shown: &Shown<'_>) {
        self.name("refused");
        self.begin('[');
        for (limit, digest, number) in &shown.refused {
            self.begin('{');
            self.name("limit");
            let name = shown.labels.limits.get(*limit);
            self.text(name.map_or("", String::as_str));
            self.name("digest");
            self.text(digest);
            self.named("refused", *number);
            self.end('}');
        }
        self.end(']');
    }
}

/// The answer.
pub fn json(shown: &Shown<'_>) -> String {
    let mut json = Json::default();
    json.begin('{');
    json.named("now", shown.now.as_millis());
    json.named("started", shown.started.as_millis());
    json.name("version");
    json.text(env!("CARGO_PKG_VERSION"));
    json.store(shown);
    json.named("l1_bytes", shown.gauges.l1_bytes);
    json.name("words");
    json.begin('{');
    json.texts("outcomes", &Outcome::WORDS);
    json.texts("sources", &SOURCES);
    json.texts("cache", &CacheResult::WORDS);
    json.end('}');
    json.limits(shown);
    json.name("commands");
    json.begin('{');
    for (word, number) in Purpose::WORDS.iter().zip(shown.counts.commands) {
        json.named(word, number);
    }
    json.end('}');
    for (name, spans) in ["seconds", "minutes", "hours"].iter().zip(&shown.spans) {
        json.name(name);
        json.begin('[');
        for span in spans {
            json.span(span);
        }
        json.end(']');
    }
    json.name("events");
    json.begin('[');
    for event in &shown.events {
        json.value(&event.to_json());
    }
    json.end(']');
    json.refused(shown);
    json.end('}');
    json.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::labels::CallResult;
    use super::super::recent::LimitSpan;
    use super::*;

    #[test]
    fn the_answer_is_json_whatever_is_in_it() {
        let labels = Labels {
            routes: Vec::new(),
            limits: vec!["a \"b\"".to_owned(), "c".to_owned()],
        };
        let mut span = Span {
            from: 1_000,
            limits: vec![LimitSpan::default(); 2],
            ..Span::default()
        };
        span.calls.add(Duration::from_millis(7));
        let spans = || {
            [
                vec![span.clone(), span.clone()],
                vec![span.clone()],
                Vec::new(),
            ]
        };
        let event = Event {
            at: Timestamp::from_millis(5),
            what: "store_open",
            fields: vec![("detail", "\u{1}\\".into())],
        };
        let text = json(&Shown {
            labels: &labels,
            counts: &Counts::of(&labels),
            spans: spans(),
            lately: &spans(),
            events: vec![&event, &event],
            refused: vec![(0, "d".to_owned(), 3)],
            store: StoreSeen {
                status: Some(Status::Open),
                down_since: Some(Timestamp::from_millis(3)),
                failed_at: None,
                reason: Some(CallResult::Timeout),
            },
            started: Timestamp::from_millis(1),
            gauges: Gauges {
                open: true,
                degraded_ms: 4,
                l1_bytes: 5,
                offset_ms: -6,
            },
            now: Timestamp::from_millis(7),
        });
        let told: Value = serde_json::from_str(&text).unwrap_or_default();
        for (place, expected) in [
            ("/store/state", Value::from("open")),
            ("/store/reason", "timeout".into()),
            ("/store/offset_ms", (-6).into()),
            ("/store/p50_ms", 10.into()),
            ("/limits/0/name", "a \"b\"".into()),
            ("/seconds/1/calls", 1.into()),
            ("/seconds/0/limits/1/2", 0.into()),
            ("/events/1/detail", "\u{1}\\".into()),
            ("/refused/0/refused", 3.into()),
            ("/commands/lease", 0.into()),
        ] {
            assert_eq!(told.pointer(place), Some(&expected), "{place} in {text}");
        }
        assert_eq!(told.pointer("/hours"), Some(&Value::Array(Vec::new())));
    }
}
