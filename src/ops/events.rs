//! What has changed: the store opened or closed, a token was refused, states cannot be read. Each
//! change is one line of the log, in JSON, and stands in a list of the latest.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::Timestamp;

/// So many events are remembered.
const MOST: usize = 100;

/// So many failures that stay are remembered.
const MOST_LASTING: usize = 20;

/// How often the same thing is told, at most.
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
    /// The failures that stay until somebody mends their cause, and have been told.
    lasting: Vec<String>,
    unreadable_at: Option<Timestamp>,
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

    /// A failure that stays until somebody mends its cause; it is told once.
    pub fn lasting(&mut self, detail: &str, at: Timestamp) {
        if self.lasting.iter().any(|told| told == detail) {
            return;
        }
        if self.lasting.len() < MOST_LASTING {
            self.lasting.push(detail.to_owned());
        }
        self.tell("store_error", vec![("detail", detail.into())], at);
    }

    /// The same, if another event tells it.
    pub fn told_already(&mut self, detail: &str) {
        if self.lasting.len() < MOST_LASTING && !self.lasting.iter().any(|told| told == detail) {
            self.lasting.push(detail.to_owned());
        }
    }

    /// So many states could not be read; it is told once a minute at most.
    pub fn unreadable(&mut self, states: u64, at: Timestamp) {
        if self
            .unreadable_at
            .is_some_and(|told| at.since(told) < PAUSE)
        {
            return;
        }
        self.unreadable_at = Some(at);
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
    fn what_lasts_is_told_once_and_the_rest_once_a_minute() {
        let mut events = Events::default();
        let at = Timestamp::from_millis;
        events.lasting("store: unauthorised", at(1_000));
        events.lasting("store: unauthorised", at(2_000));
        events.unreadable(3, at(2_000));
        events.unreadable(3, at(61_999));
        events.unreadable(4, at(62_000));
        let lines = events.take_lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(
            lines.first().map(String::as_str),
            Some(r#"{"at":1000,"detail":"store: unauthorised","event":"store_error"}"#)
        );
        assert!(events.take_lines().is_empty());
        assert_eq!(events.since(at(2_000)).count(), 1);
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
