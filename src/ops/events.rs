//! What has changed: the store opened or closed, a token was refused, states cannot be read. Each
//! change is one line of the log, in JSON, and stands in a list of the latest.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::Timestamp;

/// So many events are remembered.
const MOST: usize = 100;

/// So many failures are remembered.
const MOST_FAILURES: usize = 20;

/// So many failures are told within a pause, at most: a server may say something new each time.
const MOST_TOLD: usize = 5;

/// How often the same failure is told, at most.
const PAUSE: Duration = Duration::from_secs(60);

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub at: Timestamp,
    /// What happened: `store_open`, `store_closed`, `store_error` or `states_unreadable`.
    pub what: &'static str,
    /// More about it, as names and values.
    pub fields: Vec<(&'static str, Value)>,
}

impl Event {
    /// The event as JSON: `at` (Unix time in milliseconds), `event`, and its fields.
    pub fn to_json(&self) -> Value {
        let mut all = Map::new();
        all.insert("at".to_owned(), self.at.as_millis().into());
        all.insert("event".to_owned(), self.what.into());
        for (name, value) in &self.fields {
            all.insert((*name).to_owned(), value.clone());
        }
        all.into()
    }
}

/// The latest events, and those that nobody has logged yet.
#[derive(Debug, Default)]
pub struct Events {
    latest: VecDeque<Event>,
    unlogged: Vec<String>,
    /// The failures that have been told, and when.
    failures: VecDeque<(String, Timestamp)>,
}

impl Events {
    /// Something has changed.
    pub fn tell(&mut self, what: &'static str, fields: Vec<(&'static str, Value)>, at: Timestamp) {
        let event = Event { at, what, fields };
        self.unlogged
            .push(serde_json::to_string(&event.to_json()).unwrap_or_default());
        if self.latest.len() == MOST {
            self.latest.pop_front();
        }
        self.latest.push_back(event);
    }

    /// A call of the store failed so. One that `lasts` until somebody mends its cause is told once,
    /// others once a minute at most.
    pub fn failure(&mut self, detail: &str, lasts: bool, at: Timestamp) {
        if self.is_new(detail, lasts, at) {
            self.tell("store_error", vec![("detail", detail.into())], at);
        }
    }

    /// Whether a failure has not been told lately; it is told now.
    pub fn is_new(&mut self, detail: &str, lasts: bool, at: Timestamp) -> bool {
        // A clock that goes back must not keep failures quiet.
        let is_late = |told_at: Timestamp| at.since(told_at).max(told_at.since(at)) < PAUSE;
        let place = self.failures.iter().position(|(told, _)| told == detail);
        let known = place.and_then(|place| self.failures.get(place));
        if known.is_some_and(|(_, told_at)| lasts || is_late(*told_at)) {
            return false;
        }
        let lately = self.failures.iter().filter(|(_, at)| is_late(*at));
        if lately.count() >= MOST_TOLD {
            return false;
        }
        if let Some(place) = place {
            self.failures.remove(place);
        } else if self.failures.len() == MOST_FAILURES {
            self.failures.pop_front();
        }
        self.failures.push_back((detail.to_owned(), at));
        true
    }

    /// So many states could not be read. They are written anew then, so each is told once.
    pub fn unreadable(&mut self, states: u64, at: Timestamp) {
        let detail =
            format!("store: {states} states of limits could not be read, and were taken for empty");
        self.tell("states_unreadable", vec![("detail", detail.into())], at);
    }

    /// The events since then, the oldest first.
    pub fn since(&self, since: Timestamp) -> impl Iterator<Item = &Event> {
        self.latest.iter().filter(move |event| event.at > since)
    }

    /// Takes the lines for the log.
    pub fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unlogged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_lasts_is_told_once_and_others_once_a_minute() {
        let mut events = Events::default();
        let at = Timestamp::from_millis;
        for ms in [1_000, 2_000, 100_000] {
            events.failure("store: unauthorised", true, at(ms));
        }
        let lines = events.take_lines();
        assert_eq!(
            lines,
            [r#"{"at":1000,"detail":"store: unauthorised","event":"store_error"}"#]
        );
        for ms in [2_000, 61_999, 62_000, 63_000] {
            events.failure("store: timeout", false, at(ms));
        }
        assert_eq!(events.take_lines().len(), 2);
        assert!(events.take_lines().is_empty());
        assert_eq!(events.since(at(2_000)).count(), 1);
    }

    #[test]
    fn a_server_that_always_says_something_else_is_a_few_lines_a_minute() {
        let mut events = Events::default();
        for n in 0..600_u64 {
            let detail = format!("store: the store cannot serve now: request {n}");
            events.failure(&detail, n % 2 == 0, Timestamp::from_millis(200 * n));
        }
        // Two minutes.
        assert_eq!(events.take_lines().len(), 2 * MOST_TOLD);
    }

    #[test]
    fn a_clock_that_goes_back_keeps_no_failure_quiet() {
        let mut events = Events::default();
        let at = |seconds: u64| Timestamp::from_millis(1_000 * seconds);
        for seconds in [100_000, 1_000, 1_030, 1_060] {
            events.failure("store: timeout", false, at(seconds));
        }
        assert_eq!(events.take_lines().len(), 3);
    }

    #[test]
    fn only_the_latest_events_are_kept() {
        let mut events = Events::default();
        for n in 0..250 {
            events.tell("store_closed", Vec::new(), Timestamp::from_millis(n));
        }
        let kept: Vec<_> = events.since(Timestamp::from_millis(0)).collect();
        assert_eq!(kept.len(), MOST);
        assert_eq!(kept.last().map(|event| event.at.as_millis()), Some(249));
    }
}
