//! Calls of the store: their keys and arguments on the way out, and the reply.

use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::redis::{Value, read_reply};
use omnitrade_edge::store::{ADMIT, Ask};
use serde_json::json;
use wasm_bindgen::prelude::*;

/// The keys and arguments of a call, in JSON. The script wants one argument more, which says
/// whether the call was sent before: `"0"` or `"1"`.
pub fn text(ask: &Ask) -> String {
    json!([ask.keys, ask.args]).to_string()
}

/// Reads `{"result": …}`, a reply, or the code of the error in its place.
pub fn reply(text: &str) -> Result<Value, Error> {
    if text.starts_with('{') {
        return read_reply(text);
    }
    let kind = KINDS.into_iter().find(|kind| kind.code() == text);
    Err(Error::from(kind.unwrap_or(ErrorKind::Protocol)))
}

const KINDS: [ErrorKind; 10] = [
    ErrorKind::Config,
    ErrorKind::Timeout,
    ErrorKind::Unreachable,
    ErrorKind::Unauthorised,
    ErrorKind::Forbidden,
    ErrorKind::QuotaExhausted,
    ErrorKind::Server,
    ErrorKind::Protocol,
    ErrorKind::Command,
    ErrorKind::TooLarge,
];

/// The script of the limiter and the cache. `locking`: with a first line by which Upstash locks the
/// keys alone, not the whole database.
#[wasm_bindgen]
pub fn script_lua(locking: bool) -> String {
    let lua = if locking {
        ADMIT.locking_lua()
    } else {
        ADMIT.lua()
    };
    lua.to_owned()
}

/// Its SHA-1, in hexadecimal.
#[wasm_bindgen]
pub fn script_sha(locking: bool) -> String {
    let sha = if locking {
        ADMIT.locking_sha()
    } else {
        ADMIT.sha()
    };
    sha.to_owned()
}
