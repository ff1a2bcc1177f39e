//! The JSON of Upstash's REST protocol, written and read without an intermediate tree.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::arg::Arg;
use super::failure;
use super::value::Value;
use crate::error::{Error, ErrorKind};

#[cfg(test)]
mod tests;

/// Appends an argument as JSON.
///
/// Integers beyond 2^53 are sent as strings, because a server may read JSON numbers as doubles;
/// Redis treats both as text.
pub(super) fn push_arg(out: &mut Vec<u8>, arg: Arg<'_>) {
    match arg {
        Arg::Str(text) => push_str(out, text),
        Arg::Int(number) if number.unsigned_abs() <= MAX_EXACT => push_number(out, number),
        Arg::Uint(number) if number <= MAX_EXACT => push_number(out, number),
        Arg::Int(number) => push_str(out, &number.to_string()),
        Arg::Uint(number) => push_str(out, &number.to_string()),
    }
}

/// Appends a string as JSON.
pub(super) fn push_str(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    push_json(out, text);
}

/// Appends several arrays as one array. Each is given without its closing bracket.
pub(super) fn push_open_arrays<'a>(out: &mut Vec<u8>, arrays: impl Iterator<Item = &'a [u8]>) {
    for (index, array) in arrays.enumerate() {
        out.extend_from_slice(if index == 0 { b"[" } else { b"]," });
        out.extend_from_slice(array);
    }
    out.extend_from_slice(b"]]");
}

/// Reads the reply to the command with this name.
///
/// # Errors
///
/// The command's own error, or [`ErrorKind::Protocol`].
pub(super) fn read_one(reply: &[u8], base64: bool, command: &str) -> Result<Value, Error> {
    let command = Some(command);
    read(reply, Answer { base64, command })?
}

/// Reads the reply to the commands with these names: a value or an error for each.
///
/// # Errors
///
/// The error of the whole request, if there is one, or [`ErrorKind::Protocol`].
pub(super) fn read_many(
    reply: &[u8],
    base64: bool,
    commands: &[&str],
) -> Result<Vec<Result<Value, Error>>, Error> {
    let answers = read(reply, Answers { base64, commands })??;
    if answers.len() == commands.len() {
        Ok(answers)
    } else {
        Err(protocol("as many replies as commands are missing"))
    }
}

/// Reads a whole document. serde_json bounds its depth (128), the transport bounds its length.
fn read<'de, S: DeserializeSeed<'de>>(reply: &'de [u8], seed: S) -> Result<S::Value, Error> {
    let mut json = serde_json::Deserializer::from_slice(reply);
    seed.deserialize(&mut json)
        .and_then(|value| json.end().map(|()| value))
        .map_err(|error| {
            // The text of the error is left out: it may quote the reply.
            protocol(match error.classify() {
                serde_json::error::Category::Eof => "the reply ends early",
                serde_json::error::Category::Data => "the reply has another shape",
                _ => "the reply is not JSON",
            })
        })
}

fn protocol(detail: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, true, detail)
}

fn push_number(out: &mut Vec<u8>, number: impl serde::Serialize) {
    push_json(out, &number);
}

fn push_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Strings and integers always have a JSON form, and writing to a `Vec` cannot fail.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}

/// The largest integer up to which a double holds every integer exactly.
const MAX_EXACT: u64 = (1 << 53) - 1;

/// Reads `{"result": …}` or `{"error": "…"}`.
#[derive(Clone, Copy)]
struct Answer<'a> {
    base64: bool,
    /// Which command it answers.
    command: Option<&'a str>,
}

impl<'de> DeserializeSeed<'de> for Answer<'_> {
    type Value = Result<Value, Error>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Answer<'_> {
    type Value = Result<Value, Error>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a result or an error")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut answer = None;
        while let Some(field) = map.next_key()? {
            match field {
                Field::Result => {
                    let value = map.next_value_seed(Reply {
                        base64: self.base64,
                    })?;
                    answer.get_or_insert(Ok(value));
                }
                Field::Error => {
                    if let Some(text) = map.next_value::<Option<String>>()? {
                        answer = Some(Err(failure::from_text(&text, self.command)));
                    }
                }
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        answer.ok_or_else(|| A::Error::custom("neither a result nor an error"))
    }
}

/// The fields of an answer.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Field {
    Result,
    Error,
    #[serde(other)]
    Other,
}

/// Reads an array of answers, or one error for the whole.
struct Answers<'a> {
    base64: bool,
    commands: &'a [&'a str],
}

impl<'de> DeserializeSeed<'de> for Answers<'_> {
    type Value = Result<Vec<Result<Value, Error>>, Error>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Answers<'_> {
    type Value = Result<Vec<Result<Value, Error>>, Error>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of results and errors")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut answers = Vec::with_capacity(self.commands.len());
        while let Some(answer) = seq.next_element_seed(Answer {
            base64: self.base64,
            command: self.commands.get(answers.len()).copied(),
        })? {
            answers.push(answer);
        }
        Ok(Ok(answers))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        match (Answer {
            base64: self.base64,
            command: None,
        })
        .visit_map(map)?
        {
            Err(error) => Ok(Err(error)),
            Ok(_) => Err(A::Error::custom("one result for several commands")),
        }
    }
}

/// Reads a reply of Redis.
#[derive(Clone, Copy)]
struct Reply {
    base64: bool,
}

impl<'de> DeserializeSeed<'de> for Reply {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reply {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a 64-bit integer, a string or an array")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Value, E> {
        i64::try_from(number).map(Value::Int).map_err(E::custom)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        if self.base64 && text != "OK" {
            let bytes = STANDARD.decode(text).map_err(|_| E::custom("not base64"))?;
            return Ok(Value::Bytes(Bytes::from(bytes)));
        }
        Ok(Value::from(text))
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Value, E> {
        if self.base64 {
            self.visit_str(&text)
        } else {
            Ok(Value::Bytes(Bytes::from(text)))
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        let answer = Answer {
            base64: self.base64,
            command: None,
        }
        .visit_map(map)?;
        Ok(answer.unwrap_or_else(Value::Error))
    }
}
