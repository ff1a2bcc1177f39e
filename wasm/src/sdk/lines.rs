//! Texts of several parts, in lines: a form that both sides read with a few instructions. JSON
//! would make the module a third larger.

use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::redis::Value;
use omnitrade_edge::store::Ask;

/// A call: the number of keys, the keys and the arguments. None of them has a line feed: they are
/// names of keys, digests and numbers.
pub fn call(ask: &Ask) -> String {
    let mut lines = vec![ask.keys.len().to_string()];
    lines.extend(ask.keys.iter().cloned());
    lines.extend(ask.args.iter().cloned());
    lines.join("\n")
}

/// Reads a reply of the store, or `!` and the code of the error in its place.
///
/// The first letter says what a line is: `_`: nothing, `:`: an integer, `*`: an array, with the
/// number of its values, which follow; `$`: a text, with the number of line feeds in it, which
/// follows. JavaScript cannot tell a text's length in bytes without encoding it.
pub fn reply(text: &str) -> Result<Value, Error> {
    match text.strip_prefix('!') {
        Some(code) => {
            let kind = ErrorKind::of_code(code);
            Err(Error::from(kind.unwrap_or(ErrorKind::Protocol)))
        }
        None => {
            let mut rest = text;
            let value = value(&mut rest, 0).filter(|_| rest.is_empty());
            value.ok_or_else(|| Error::from(ErrorKind::Protocol))
        }
    }
}

/// The texts in an array, as [`reply`] reads it.
pub fn texts(text: &str) -> Vec<String> {
    let values = reply(text).ok().and_then(Value::into_array);
    let values = values.unwrap_or_default().into_iter();
    values
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect()
}

fn value(rest: &mut &str, depth: u32) -> Option<Value> {
    let (line, after) = rest.split_once('\n')?;
    *rest = after;
    let (kind, line) = (line.get(..1)?, line.get(1..)?);
    match kind {
        "_" => Some(Value::Null),
        ":" => line.parse().ok().map(Value::Int),
        "$" => {
            let feeds: usize = line.parse().ok()?;
            let (end, _) = rest.match_indices('\n').nth(feeds)?;
            let text = rest.get(..end)?;
            *rest = rest.get(end + 1..)?;
            Some(Value::from(text))
        }
        "*" if depth < DEEPEST => {
            let length: usize = line.parse().ok()?;
            let mut values = Vec::new();
            for _ in 0..length {
                values.push(value(rest, depth + 1)?);
            }
            Some(Value::Array(values))
        }
        _ => None,
    }
}

/// How deep arrays may be nested.
const DEEPEST: u32 = 8;
