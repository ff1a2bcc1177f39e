//! The platform's `fetch`, `Date`, `Math.random` and `setTimeout`.

use std::time::Duration;

use bytes::Bytes;
use js_sys::{Date, Function, Math, Promise};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;

use crate::clock::{Timestamp, millis};
use crate::transport::TransportError;

pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    // Nothing is set, because Workers refuse a request that states its mode or its credentials.
    reqwest::Client::builder().build()
}

pub(super) fn failure(error: &reqwest::Error) -> TransportError {
    if error.is_timeout() {
        TransportError::Timeout
    } else if error.is_builder() {
        // `fetch` was not even called.
        TransportError::Connect
    } else {
        TransportError::Broken
    }
}

/// Reads the body; `None` if it exceeds `max_bytes`.
pub(super) async fn body(
    response: reqwest::Response,
    max_bytes: usize,
) -> reqwest::Result<Option<Bytes>> {
    let body = response.bytes().await?;
    Ok((body.len() <= max_bytes).then_some(body))
}

pub(super) fn now() -> Timestamp {
    // `Date.now` gives whole milliseconds; the conversion saturates.
    Timestamp::from_millis(Date::now() as u64)
}

pub(super) async fn sleep(duration: Duration) {
    let ms = i32::try_from(millis(duration)).unwrap_or(i32::MAX);
    let elapsed = Promise::new(&mut |resolve, _| set_timeout(&resolve, ms));
    // A timer's promise is never rejected.
    let _ = JsFuture::from(elapsed).await;
}

pub(super) fn random() -> f64 {
    Math::random()
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Function, ms: i32);
}
