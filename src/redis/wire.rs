//! The JSON of Upstash's REST protocol.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

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

/// The words of an array of strings and integers, which is given without its closing bracket.
pub(super) fn words(open_array: &[u8]) -> Vec<String> {
    let json = [open_array, b"]"].concat();
    let items: Result<Vec<&serde_json::value::RawValue>, _> = serde_json::from_slice(&json);
    // It was written by the functions above, so it is always read.
    debug_assert!(items.is_ok());
    let items = items.unwrap_or_default().into_iter().map(|item| item.get());
    items
        .map(|item| serde_json::from_str(item).unwrap_or_else(|_| item.to_owned()))
        .collect()
}

/// Reads the reply to the command with this name.
///
/// # Errors
///
/// The command's own error, or [`ErrorKind::Protocol`].
pub(super) fn read_one(reply: &[u8], base64: bool, command: &str) -> Result<Value, Error> {
    answer(read(reply)?, base64, Some(command)).unwrap_or_else(|| Err(other_shape()))
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
    let answers = match read(reply)? {
        Json::Array(answers) => answers,
        whole => {
            // One result would be that of a single command.
            let error = answer(whole, base64, None).and_then(Result::err);
            return Err(error.unwrap_or_else(other_shape));
        }
    };
    if answers.len() != commands.len() {
        return Err(protocol("as many replies as commands are missing"));
    }
    let each = answers.into_iter().zip(commands);
    each.map(|(json, command)| answer(json, base64, Some(command)))
        .collect::<Option<_>>()
        .ok_or_else(other_shape)
}

/// Reads a whole document. serde_json bounds its depth (128), the transport bounds its length.
fn read(reply: &[u8]) -> Result<Json, Error> {
    serde_json::from_slice(reply).map_err(|error| {
        // The text of the error is left out: it may quote the reply.
        protocol(match error.is_eof() {
            true => "the reply ends early",
            false => "the reply is not JSON",
        })
    })
}

/// Reads `{"result": …}` or `{"error": "…"}`, the answer to `command`. `None` if it is neither.
fn answer(json: Json, base64: bool, command: Option<&str>) -> Option<Result<Value, Error>> {
    let Json::Object(mut fields) = json else {
        return None;
    };
    match fields.get("error") {
        Some(Json::String(text)) => return Some(Err(failure::from_text(text, command))),
        Some(Json::Null) | None => {}
        Some(_) => return None,
    }
    value(fields.get_mut("result")?.take(), base64).map(Ok)
}

/// Reads a reply of Redis: null, a 64-bit integer, a string, an array, or an error in an array.
fn value(json: Json, base64: bool) -> Option<Value> {
    match json {
        Json::Null => Some(Value::Null),
        Json::Bool(_) => None,
        Json::Number(number) => number.as_i64().map(Value::Int),
        Json::String(text) if base64 && text != "OK" => {
            Some(Value::Bytes(STANDARD.decode(text).ok()?.into()))
        }
        Json::String(text) => Some(Value::Bytes(text.into())),
        Json::Array(values) => {
            let values = values.into_iter().map(|json| value(json, base64));
            values.collect::<Option<_>>().map(Value::Array)
        }
        Json::Object(_) => Some(answer(json, base64, None)?.unwrap_or_else(Value::Error)),
    }
}

fn other_shape() -> Error {
    protocol("the reply has another shape")
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
