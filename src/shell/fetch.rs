//! [`Transport`] over the platform's `fetch`, on wasm.
//!
//! The exchange itself is JavaScript, `fetch.js`: what it does there in a dozen steps would be a
//! dozen calls from here.

use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot;
use http::{HeaderValue, Request, Response, StatusCode};
use js_sys::{Date, Function, Math, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::clock::{Timestamp, millis};
use crate::redis::SYNC_TOKEN;
use crate::transport::{Transport, TransportError};

use super::callback;

/// A transport over the platform's `fetch`: in Workers, in browsers, in Node and the like.
///
/// It does not follow redirects, so that the token reaches no other address. The platform does not
/// say whether a connection was made, so a failure is never [`TransportError::Connect`]. Of the
/// reply's headers, it reads only the one that the [`RestClient`](crate::redis::RestClient) reads,
/// `upstash-sync-token`.
#[derive(Debug, Clone, Copy, Default)]
pub struct FetchTransport;

impl FetchTransport {
    /// A transport. The platform holds the connections.
    pub const fn new() -> Self {
        Self
    }
}

impl Transport for FetchTransport {
    async fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Response<Bytes>, TransportError> {
        let start = self.now();
        let reply = exchange(&request, timeout, max_bytes).await;
        match reply.status {
            // The platform may break off on its own at the same time, so the clock decides, too.
            BROKEN if self.now().since(start) >= timeout => Err(TransportError::Timeout),
            BROKEN => Err(TransportError::Broken),
            LATE => Err(TransportError::Timeout),
            TOO_LARGE => Err(TransportError::TooLarge),
            status => {
                let mut response = Response::new(reply.body);
                // In a browser, a redirect that is not followed has no status.
                *response.status_mut() =
                    StatusCode::from_u16(status).map_err(|_| TransportError::Broken)?;
                let token = reply
                    .field
                    .and_then(|value| HeaderValue::try_from(value).ok());
                if let Some(token) = token {
                    response.headers_mut().insert(SYNC_TOKEN, token);
                }
                Ok(response)
            }
        }
    }

    fn now(&self) -> Timestamp {
        // `Date.now` gives whole milliseconds; the conversion saturates.
        Timestamp::from_millis(Date::now() as u64)
    }

    async fn sleep(&self, duration: Duration) {
        let ms = timer(duration);
        let elapsed = Promise::new(&mut |resolve, _| set_timeout(&resolve, ms));
        // A timer's promise is never rejected.
        let _ = JsFuture::from(elapsed).await;
    }

    fn random(&self) -> f64 {
        Math::random()
    }
}

#[wasm_bindgen(module = "/src/shell/fetch.js")]
extern "C" {
    #[wasm_bindgen(js_name = exchange)]
    fn start_exchange(head: &str, body: &JsValue, ms: f64, most: f64, done: &JsValue);
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Function, ms: f64);
}

/// The statuses of an exchange that brought no reply, as in `fetch.js`.
const BROKEN: u16 = 0;
const LATE: u16 = 1;
const TOO_LARGE: u16 = 2;

/// What `fetch.js` tells.
struct Reply {
    status: u16,
    field: Option<String>,
    body: Bytes,
}

async fn exchange(request: &Request<Bytes>, timeout: Duration, max_bytes: usize) -> Reply {
    let (tell, told) = oneshot::channel();
    // JavaScript alone holds it, so it is freed there if it is never called.
    let done = Closure::once_into_js(
        move |status: u16, field: Option<String>, body: Option<Uint8Array>| {
            let body = body.map_or_else(Bytes::new, |body| body.to_vec().into());
            // Nobody waits any more if the request was dropped.
            let _ = tell.send(Reply {
                status,
                field,
                body,
            });
        },
    );
    let body = match std::str::from_utf8(request.body()) {
        Ok("") => JsValue::UNDEFINED,
        Ok(text) => text.into(),
        Err(_) => Uint8Array::from(&**request.body()).into(),
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "no body has so many bytes that a float would not count them"
    )]
    start_exchange(
        &head_of(request),
        &body,
        timer(timeout),
        max_bytes as f64,
        &done,
    );
    drop(done);
    callback::told(told).await
}

/// The head of a request as `fetch.js` takes it.
fn head_of(request: &Request<Bytes>) -> String {
    let uri = request.uri().to_string();
    let mut head = [
        request.method().as_str(),
        "\n",
        &uri,
        "\n",
        SYNC_TOKEN.as_str(),
    ]
    .concat();
    for (name, value) in request.headers() {
        head.extend(["\n", name.as_str(), "\n"]);
        match value.to_str() {
            Ok(value) => head.push_str(value),
            // `fetch` takes one character for each octet.
            Err(_) => head.extend(value.as_bytes().iter().copied().map(char::from)),
        }
    }
    head
}

/// A duration as JavaScript's timers take it: in milliseconds, and no longer than they accept.
fn timer(duration: Duration) -> f64 {
    i32::try_from(millis(duration)).unwrap_or(i32::MAX).into()
}
