//! What failures of the store mean.

use http::StatusCode;
use omnitrade_edge::error::Error;
use omnitrade_edge::redis::{
    Command, Options, Script, failure_of, is_first_line_refusal, meaning_of,
};
use serde_json::json;
use wasm_bindgen::prelude::*;

/// An error in JSON: `[code, mayHaveRun, redisCode, message, refusesFirstLine]`.
fn text(error: &Error) -> String {
    json!([
        error.code(),
        error.may_have_run(),
        error.redis_code(),
        error.to_string(),
        is_first_line_refusal(error),
    ])
    .to_string()
}

/// The error that an HTTP reply other than 2xx means, to the command with this name.
#[wasm_bindgen]
pub fn failure(status: u16, body: &str, command: Option<String>) -> String {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    text(&failure_of(status, body.as_bytes(), command.as_deref()))
}

/// The error that Redis's own text means, in the reply to the command with this name.
#[wasm_bindgen]
pub fn meaning(said: &str, command: Option<String>) -> String {
    text(&meaning_of(said, command.as_deref()))
}

/// What is wrong with the address and the token of a store, if anything is: the error in JSON.
#[wasm_bindgen]
pub fn options_problem(url: &str, token: &str) -> Option<String> {
    let error = Options::new(url, token).problem()?;
    Some(text(&error))
}

/// Whether the command with this name only reads, so that it may run twice.
#[wasm_bindgen]
pub fn only_reads(name: &str) -> bool {
    Command::new(name).is_idempotent()
}

/// The SHA-1 of a script, in hexadecimal.
#[wasm_bindgen]
pub fn sha1(lua: &str) -> String {
    Script::new(lua.to_owned()).sha().to_owned()
}
