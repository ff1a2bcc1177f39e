//! The shapes of configuration values, as data. One description serves to check values (all errors
//! at once, each with its path), to fill in defaults, and to generate the JSON Schema and the
//! reference page.

use serde_json::{Map, Value, json};

use super::duration::{duration_units, parse_duration};
use super::error::ConfigProblem;
use super::size::{format_size, parse_size, size_units};

/// The shape of a value.
#[derive(Debug)]
pub enum Shape {
    /// A text that `fits` accepts.
    Text {
        /// What fits, in words: "a path such as …".
        expected: &'static str,
        /// Whether a text fits.
        fits: fn(&str) -> bool,
    },
    /// A duration such as `"60s"`, longer than zero unless `or_zero`.
    Duration {
        /// Whether it may be zero.
        or_zero: bool,
    },
    /// A size such as `"16MB"`, within these two bounds in bytes.
    Size(u64, u64),
    /// A whole number within these two bounds.
    Integer(u64, u64),
    /// One of these numbers.
    Number(&'static [u64]),
    /// `true` or `false`.
    Bool,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Any number of values of this shape.
    List(&'static Shape),
    /// Named values of one shape; the names consist of letters, digits, `-`, `_` and `.`.
    Map(&'static Shape),
    /// Fields with fixed names, each with its own shape and meaning.
    Table(&'static [Field]),
    /// One of two shapes; no value has both.
    Either(&'static Shape, &'static Shape),
    /// This shape, and a function that says what to write in place of a text that does not have it,
    /// if it can say more than what this shape expects of all texts.
    Advised(&'static Shape, fn(&str) -> Option<String>),
}

/// One field of a table.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// The shape of its value.
    pub shape: Shape,
    /// What its absence means.
    pub absent: Absent,
    /// Its meaning.
    pub doc: &'static str,
}

/// What an absent field means.
#[derive(Debug)]
pub enum Absent {
    /// The field is required.
    Missing,
    /// It has this default, in JSON.
    Is(&'static str),
    /// It is optional; these words say what applies without it.
    Otherwise(&'static str),
}

impl Shape {
    /// Checks `value`, fills in defaults, and adds all errors to `problems`.
    pub fn check(&self, value: &mut Value, path: &str, problems: &mut Vec<ConfigProblem>) {
        match (self, &mut *value) {
            (Self::List(item), Value::Array(items)) => {
                for (n, each) in items.iter_mut().enumerate() {
                    item.check(each, &format!("{path}[{n}]"), problems);
                }
            }
            (Self::Map(item), Value::Object(map)) => {
                for (name, each) in map.iter_mut() {
                    let path = join(path, name);
                    if !is_name(name) {
                        let expected = "a name of at most 64 letters, digits, `-`, `_` or `.`";
                        problems.push(ConfigProblem::new(&path, expected, None));
                    }
                    item.check(each, &path, problems);
                }
            }
            (Self::Table(fields), Value::Object(map)) => {
                check_table(fields, map, path, problems);
            }
            (Self::Either(one, other), value) => {
                // A value that resembles one of the shapes is checked against that one, so that
                // errors name its fields.
                match [one, other]
                    .into_iter()
                    .find(|shape| shape.resembles(value))
                {
                    Some(shape) => shape.check(value, path, problems),
                    None => problems.push(self.problem(path, value)),
                }
            }
            (_, value) => {
                if !self.fits(value) {
                    problems.push(self.problem(path, value));
                }
            }
        }
    }

    /// The problem that this value does not have the shape.
    fn problem(&self, path: &str, found: &Value) -> ConfigProblem {
        let advice = found.as_str().and_then(|text| self.advice(text));
        let expected = advice.unwrap_or_else(|| self.expected());
        ConfigProblem::new(path, &expected, Some(found))
    }

    /// Whether a value is meant to have this shape, even if some of its parts are wrong.
    fn resembles(&self, value: &Value) -> bool {
        match self {
            Self::List(_) => value.is_array(),
            Self::Map(_) | Self::Table(_) => value.is_object(),
            Self::Either(one, other) => one.resembles(value) || other.resembles(value),
            Self::Advised(shape, _) => shape.resembles(value),
            _ => self.fits(value),
        }
    }

    fn fits(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text { fits, .. }, Value::String(text)) => fits(text),
            (Self::Duration { or_zero }, Value::String(text)) => {
                parse_duration(text).is_some_and(|d| *or_zero || !d.is_zero())
            }
            (Self::Size(least, most), Value::String(text)) => {
                parse_size(text).is_some_and(|bytes| (*least..=*most).contains(&bytes))
            }
            (Self::Integer(least, most), Value::Number(_)) => {
                value.as_u64().is_some_and(|n| (least..=most).contains(&&n))
            }
            (Self::Number(numbers), Value::Number(_)) => {
                value.as_u64().is_some_and(|n| numbers.contains(&n))
            }
            (Self::OneOf(words), Value::String(text)) => words.contains(&text.as_str()),
            (Self::Bool, Value::Bool(_)) => true,
            (Self::Advised(shape, _), value) => shape.fits(value),
            _ => false,
        }
    }

    /// What to write in place of this text, if that is more than what is expected of all texts.
    fn advice(&self, found: &str) -> Option<String> {
        match self {
            Self::Advised(_, advice) => advice(found),
            Self::Duration { .. } if is_counted(found) => {
                Some(format!("{} ({})", self.expected(), duration_units()))
            }
            // A size in a known unit is outside of the bounds, which the message names in any case.
            Self::Size(..) if is_counted(found) && parse_size(found).is_none() => {
                Some(format!("{} ({})", self.expected(), size_units()))
            }
            Self::Either(one, other) => {
                let [first, second] = [one.advice(found), other.advice(found)];
                (first.is_some() || second.is_some()).then(|| {
                    let first = first.unwrap_or_else(|| one.expected());
                    let second = second.unwrap_or_else(|| other.expected());
                    format!("{first}, or {second}")
                })
            }
            _ => None,
        }
    }

    /// What values fit, in words.
    pub fn expected(&self) -> String {
        match self {
            Self::Text { expected, .. } => (*expected).to_owned(),
            Self::Duration { or_zero: false } => "a duration such as \"60s\"".to_owned(),
            Self::Duration { or_zero: true } => "a duration such as \"60s\" or \"0s\"".to_owned(),
            Self::Size(least, most) => format!(
                "a size such as \"64KB\", from \"{}\" to \"{}\"",
                format_size(*least),
                format_size(*most)
            ),
            Self::Integer(least, most) => format!("a whole number from {least} to {most}"),
            Self::Number(numbers) => {
                let written: Vec<_> = numbers.iter().map(u64::to_string).collect();
                format!("one of {}", written.join(", "))
            }
            Self::Bool => "true or false".to_owned(),
            Self::OneOf(words) => {
                let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                quoted.join(" or ")
            }
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) | Self::Table(_) => "a table".to_owned(),
            Self::Either(one, other) => format!("{} or {}", one.expected(), other.expected()),
            Self::Advised(shape, _) => shape.expected(),
        }
    }

    /// The JSON Schema (2020-12) of this shape.
    pub fn schema(&self) -> Value {
        match self {
            Self::Text { expected, .. } => json!({ "type": "string", "description": expected }),
            Self::Duration { .. } => json!({
                "type": "string",
                "pattern": "^[0-9]+(ms|s|m|h|d)$",
                "description": self.expected(),
            }),
            Self::Size(..) => json!({
                "type": "string",
                "pattern": "^[0-9]+(B|KB|MB)$",
                "description": self.expected(),
            }),
            Self::Integer(least, most) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Self::Number(numbers) => json!({ "enum": numbers }),
            Self::Bool => json!({ "type": "boolean" }),
            Self::OneOf(words) => json!({ "enum": words }),
            Self::List(item) => json!({ "type": "array", "items": item.schema() }),
            Self::Map(item) => json!({
                "type": "object",
                "propertyNames": { "pattern": "^[A-Za-z0-9._-]{1,64}$" },
                "additionalProperties": item.schema(),
            }),
            Self::Either(one, other) => json!({ "anyOf": [one.schema(), other.schema()] }),
            Self::Advised(shape, _) => shape.schema(),
            Self::Table(fields) => {
                let required: Vec<_> = fields
                    .iter()
                    .filter(|field| matches!(field.absent, Absent::Missing))
                    .map(|field| field.name)
                    .collect();
                let properties: Map<_, _> = fields
                    .iter()
                    .map(|field| (field.name.to_owned(), field.schema()))
                    .collect();
                json!({
                    "type": "object",
                    "required": required,
                    "properties": properties,
                    "additionalProperties": false,
                })
            }
        }
    }
}

impl Field {
    fn schema(&self) -> Value {
        let mut schema = self.shape.schema();
        if let Value::Object(map) = &mut schema {
            let doc = match map.get("description").and_then(Value::as_str) {
                Some(expected) => format!("{} ({expected})", self.doc),
                None => self.doc.to_owned(),
            };
            let doc = match self.absent {
                Absent::Otherwise(applies) => format!("{doc} Default: {applies}."),
                _ => doc,
            };
            map.insert("description".to_owned(), doc.into());
            if let Some(default) = self.default() {
                map.insert("default".to_owned(), default);
            }
        }
        schema
    }

    fn default(&self) -> Option<Value> {
        match self.absent {
            Absent::Is(json) => serde_json::from_slice(json.as_bytes()).ok(),
            Absent::Missing | Absent::Otherwise(_) => None,
        }
    }
}

fn check_table(
    fields: &[Field],
    map: &mut Map<String, Value>,
    path: &str,
    problems: &mut Vec<ConfigProblem>,
) {
    for name in map.keys() {
        if !fields.iter().any(|field| field.name == name) {
            let known: Vec<_> = fields.iter().map(|field| field.name).collect();
            let expected = format!("one of the fields {}", known.join(", "));
            problems.push(ConfigProblem::unknown(&join(path, name), &expected));
        }
    }
    for field in fields {
        let path = join(path, field.name);
        // TOML has no null; in JSON, null means that the field is absent.
        let given = map.get(field.name).filter(|value| !value.is_null());
        match (given, field.default()) {
            (Some(_), _) => {}
            (None, Some(default)) => {
                map.insert(field.name.to_owned(), default);
            }
            (None, None) => {
                if matches!(field.absent, Absent::Missing) {
                    problems.push(ConfigProblem::missing(&path, &field.shape.expected()));
                }
                continue;
            }
        }
        if let Some(value) = map.get_mut(field.name) {
            field.shape.check(value, &path, problems);
        }
    }
}

/// Whether `text` may be a name: it becomes part of headers and of Redis keys.
pub fn is_name(text: &str) -> bool {
    let fit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=64).contains(&text.len()) && text.bytes().all(fit)
}

/// Whether `text` may be the prefix of all key names in the store (`redis.key_prefix`): at most 32
/// letters, digits, `-`, `_` or `.`, of which some may be enclosed in braces, once.
///
/// The braces make their content a hash tag: a clustered Redis puts all keys with the same hash tag
/// into one slot, which is required for a script that reads several keys. Redis takes the text
/// between the first `{` of a key and the first `}` after it, and ignores empty braces, so a prefix
/// holds either one complete tag that is not empty, or no brace at all. The tag may be anywhere in
/// the prefix, because nothing precedes the prefix in a key: `{ot}`, `{ot}-test` and `shop.{ot}`
/// are three deployments, and an ACL can tell them apart by their prefixes.
///
/// ```
/// # use omnitrade_edge::config::is_key_prefix;
/// assert!(is_key_prefix("ot") && is_key_prefix("{ot}") && is_key_prefix("shop.{ot}"));
/// assert!(!is_key_prefix("{}") && !is_key_prefix("{ot") && !is_key_prefix("{a}{b}"));
/// ```
pub fn is_key_prefix(text: &str) -> bool {
    let plain = match text.split_once('{') {
        None => Some((text, "-", "")),
        Some((before, rest)) => rest
            .split_once('}')
            .map(|(tag, after)| (before, tag, after)),
    };
    let whole = |(before, tag, after): (&str, &str, &str)| {
        let rest = [before, after].concat();
        is_name(tag) && (rest.is_empty() || is_name(&rest))
    };
    (1..=32).contains(&text.len()) && plain.is_some_and(whole)
}

/// Whether a text is a number with something behind it: a quantity in some unit, known or not.
fn is_counted(text: &str) -> bool {
    let text = text.trim();
    let number = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '_' | '+' | '-');
    let unit = text.trim_start_matches(number);
    unit.len() < text.len() && !unit.is_empty() && text.contains(|c: char| matches!(c, '1'..='9'))
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    }
}

/// Makes a field of a table.
pub(super) const fn field(
    name: &'static str,
    shape: Shape,
    absent: Absent,
    doc: &'static str,
) -> Field {
    Field {
        name,
        shape,
        absent,
        doc: match IS_WORKER {
            true => "",
            false => doc,
        },
    }
}

/// The Worker only checks values. It makes neither the schema nor the reference page, so it does
/// not carry the texts that only these show.
const IS_WORKER: bool = cfg!(all(target_arch = "wasm32", feature = "worker"));

/// The texts in a list.
pub(super) fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}
