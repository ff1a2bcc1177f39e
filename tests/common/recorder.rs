//! A subscriber that records what `tracing` is told.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The fields of a span or an event, as text.
pub type Fields = BTreeMap<&'static str, String>;

/// Records what is told; clones record together.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Recorded>>);

#[derive(Default)]
pub struct Recorded {
    /// The fields of each span.
    pub spans: Vec<Fields>,
    /// Of each event the number of its span, and the fields.
    pub events: Vec<(u64, Fields)>,
    /// The spans that were entered, each time.
    pub entered: Vec<u64>,
    /// All names, targets and values.
    pub text: String,
}

struct Visitor<'a>(&'a mut Fields, &'a mut String);

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.1, "{}={value} ", field.name()).unwrap();
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl Recorded {
    fn note(&mut self, metadata: &Metadata<'_>) {
        let (name, target) = (metadata.name(), metadata.target());
        write!(self.text, "\n{target} {name} ").unwrap();
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut recorded = self.0.lock().unwrap();
        recorded.note(span.metadata());
        let mut fields = Fields::new();
        span.record(&mut Visitor(&mut fields, &mut recorded.text));
        recorded.spans.push(fields);
        Id::from_u64(recorded.spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let recorded = &mut *self.0.lock().unwrap();
        let fields = &mut recorded.spans[span.into_u64() as usize - 1];
        values.record(&mut Visitor(fields, &mut recorded.text));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut recorded = self.0.lock().unwrap();
        recorded.note(event.metadata());
        let mut fields = Fields::new();
        event.record(&mut Visitor(&mut fields, &mut recorded.text));
        let parent = event.parent().map_or(0, Id::into_u64);
        recorded.events.push((parent, fields));
    }

    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().entered.push(span.into_u64());
    }

    fn exit(&self, _: &Id) {}
}

impl Recorder {
    /// What was recorded since it was last taken.
    pub fn take(&self) -> Recorded {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// The value of a field; empty if it was not recorded.
pub fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map_or("", String::as_str)
}
