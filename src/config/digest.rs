//! The digest of a configuration, by which a deployed one is compared with a file.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::read::{Misread, Read};

/// The SHA-256 of a configuration as it was given, in hexadecimal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Digest(Box<str>);

impl Digest {
    /// The digest of a configuration before its defaults are filled in, so that it does not depend
    /// on the version of the program: another one may have other fields.
    pub fn of(config: &Value) -> Self {
        let mut text = String::new();
        write(config, &mut text);
        let digest = Sha256::digest(text.as_bytes());
        let digits = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
        let digits = digest.iter().flat_map(|b| [digits(b >> 4), digits(b & 15)]);
        Self(digits.collect::<String>().into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// It is in no configuration: it is made of the whole of it.
impl Read for Digest {
    fn read(_: &Value, _: &Misread) -> Self {
        Self::default()
    }
}

/// Writes the canonical form: JSON without white space, the fields of a table in the order of their
/// names, and whole numbers without a fraction, because TOML's `1.0` reaches a Worker as `1`.
fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            text.push('{');
            let mut names: Vec<_> = Map::keys(fields).collect();
            names.sort_unstable();
            for (n, name) in names.into_iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write(fields.get(name).unwrap_or(&Value::Null), text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::Number(number) => {
            let float = number.as_f64().filter(|_| number.is_f64());
            let whole = float.filter(|n| n.trunc() == *n && n.abs() < LARGEST_WHOLE);
            // The number is whole, and so small that nothing is lost.
            let whole = whole.map(|n| Value::from(n as i64));
            text.push_str(&whole.unwrap_or_else(|| value.clone()).to_string());
        }
        _ => text.push_str(&value.to_string()),
    }
}

/// 2^53: below this, a float holds every whole number exactly.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_same_configuration_has_the_same_digest_however_it_is_written() {
        let toml: Value = toml_like(r#"{"b":{"y":1.0,"x":[1,"a\n"]},"a":true}"#);
        let json: Value = toml_like(r#"{ "a": true, "b": { "x": [1, "a\u000a"], "y": 1 } }"#);
        assert_eq!(Digest::of(&toml), Digest::of(&json));
        let mut text = String::new();
        write(&toml, &mut text);
        assert_eq!(text, r#"{"a":true,"b":{"x":[1,"a\n"],"y":1}}"#);
        // The SHA-256 of `{}`.
        let empty = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(Digest::of(&json!({})).as_str(), empty);
    }

    #[test]
    fn every_difference_shows() {
        let all = [
            json!({}),
            json!({ "a": null }),
            json!({ "a": [] }),
            json!({ "a": [1, 2] }),
            json!({ "a": [2, 1] }),
            json!({ "a": 1.5 }),
            json!({ "a": "1" }),
            json!({ "a": 1 }),
            json!({ "b": 1 }),
        ];
        for (n, one) in all.iter().enumerate() {
            for other in &all[..n] {
                assert_ne!(Digest::of(one), Digest::of(other), "{one} {other}");
            }
        }
    }

    fn toml_like(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }
}
