//! The options of BullMQ by name, and what their values are.

use serde_json::{Map, Value};

use crate::error::Error;

use super::refusal::{expected, refused};

/// What an option is.
#[derive(Clone, Copy)]
enum Shape {
    /// An integer that is not negative.
    Count,
    /// An integer.
    Integer,
    Number,
    Bool,
    Text,
    Object(&'static [(&'static str, Shape)]),
    /// One of these.
    Either(&'static [Shape]),
}

use Shape::{Bool, Count, Either, Integer, Number, Object, Text};

const KEEP: Shape = Either(&[
    Bool,
    Integer,
    Object(&[("age", Count), ("count", Integer), ("limit", Count)]),
]);

const OPTIONS: &[(&str, Shape)] = &[
    ("attempts", Count),
    (
        "backoff",
        Either(&[
            Count,
            Object(&[("type", Text), ("delay", Count), ("jitter", Number)]),
        ]),
    ),
    (
        "deduplication",
        Object(&[
            ("id", Text),
            ("ttl", Count),
            ("extend", Bool),
            ("replace", Bool),
            ("keepLastIfActive", Bool),
            ("reschedule", Bool),
        ]),
    ),
    ("delay", Count),
    ("jobId", Text),
    ("keepLogs", Count),
    ("lifo", Bool),
    ("priority", Count),
    ("removeOnComplete", KEEP),
    ("removeOnFail", KEEP),
    ("sizeLimit", Count),
    ("stackTraceLimit", Count),
    (
        "telemetry",
        Object(&[("metadata", Text), ("omitContext", Bool)]),
    ),
    ("timestamp", Count),
];

/// Options that are not supported, and why.
const REFUSED: &[(&str, &str)] = &[
    ("parent", FLOW),
    ("children", FLOW),
    ("failParentOnFailure", FLOW),
    ("continueParentOnFailure", FLOW),
    ("ignoreDependencyOnFailure", FLOW),
    ("removeDependencyOnFailure", FLOW),
    ("repeat", SCHEDULER),
    ("repeatJobKey", SCHEDULER),
    ("prevMillis", SCHEDULER),
    ("debounce", "is called `deduplication`"),
];

const FLOW: &str = "belongs to flows, which only BullMQ adds";
const SCHEDULER: &str = "belongs to schedulers, which only BullMQ adds";

/// The options, if all of them are known and of the right shape. As in JavaScript, those that are
/// `null` are not set.
pub(super) fn known(options: Map<String, Value>) -> Result<Map<String, Value>, Error> {
    for (name, value) in &options {
        if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| refused == name) {
            return Err(refused(format!("`{name}` {why}")));
        }
        let Some((_, shape)) = OPTIONS.iter().find(|(known, _)| known == name) else {
            let shown = shown(name);
            return Err(refused(format!(
                "{shown} is unknown; there are {}",
                names()
            )));
        };
        if !value.is_null() {
            shape.check(name, value)?;
        }
    }
    match without_nulls(Value::Object(options)) {
        Value::Object(options) => Ok(options),
        _ => Ok(Map::new()),
    }
}

/// The name of an option that is unknown, if it looks like one: else it can be anything.
fn shown(name: &str) -> String {
    let is_name = name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match is_name {
        true => format!("`{name}`"),
        false => "an option".into(),
    }
}

fn names() -> String {
    let names: Vec<String> = OPTIONS
        .iter()
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    names.join(", ")
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let fields = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                fields
                    .map(|(name, value)| (name, without_nulls(value)))
                    .collect(),
            )
        }
        value => value,
    }
}

impl Shape {
    fn fits(self, value: &Value) -> bool {
        match self {
            Count => value.as_u64().is_some_and(|number| number <= MOST),
            Integer => value
                .as_i64()
                .is_some_and(|number| number.unsigned_abs() <= MOST),
            Number => value.is_number(),
            Bool => value.is_boolean(),
            Text => value.is_string(),
            Object(_) => value.is_object(),
            Either(shapes) => shapes.iter().any(|shape| shape.fits(value)),
        }
    }

    fn name(self) -> String {
        match self {
            Count => "an integer that is not negative".into(),
            Integer => "an integer".into(),
            Number => "a number".into(),
            Bool => "true or false".into(),
            Text => "a text".into(),
            Object(_) => "an object".into(),
            Either(shapes) => {
                let names: Vec<_> = shapes.iter().map(|shape| shape.name()).collect();
                names.join(" or ")
            }
        }
    }

    fn check(self, path: &str, value: &Value) -> Result<(), Error> {
        if !self.fits(value) {
            return Err(expected(path, &self.name()));
        }
        match self {
            Object(fields) => {
                let Some(map) = value.as_object() else {
                    return Ok(());
                };
                for (name, value) in map {
                    let Some((_, shape)) = fields.iter().find(|(known, _)| known == name) else {
                        return Err(refused(format!("{} of `{path}` is unknown", shown(name))));
                    };
                    if !value.is_null() {
                        shape.check(&format!("{path}.{name}"), value)?;
                    }
                }
                Ok(())
            }
            Either(shapes) => match shapes.iter().find(|shape| shape.fits(value)) {
                Some(shape) => shape.check(path, value),
                None => Ok(()),
            },
            Count | Integer | Number | Bool | Text => Ok(()),
        }
    }
}

/// The greatest integer that JavaScript and Lua hold exactly.
const MOST: u64 = (1 << 53) - 1;
