//! Responses: the gate's own, and those of the origin.

use std::time::Duration;

use js_sys::{Error, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{ReadableStream, Response};

use crate::engine::http_cache::Fields;
use crate::gateway::Relay;
use crate::message::answer::{Answer, Content};
use crate::message::body::Body;

use super::body::JsBody;
use super::head::ResponseHead;
use super::lines::Lines;
use super::origin::{Answered, ignore};
use super::pipe::{copied, pipe};
use super::platform::sleep;
use super::prepared::respond_unstored;

#[wasm_bindgen(module = "/src/shell/web/web.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = relay)]
    fn js_relay(origin: &Response, body: &JsValue, changes: &str) -> Result<Response, JsValue>;
}

/// Makes a response of an answer.
///
/// # Errors
///
/// If the runtime refuses it. It accepts every field value that came from it.
pub fn respond(answer: Answer<JsBody>) -> Result<Response, JsValue> {
    let Answer {
        status,
        headers,
        body,
        said: _,
    } = answer;
    match body {
        Content::Text(text) if !has_no_content(status) => {
            respond_unstored(status, headers, &text.into())
        }
        Content::Stored(body) if !has_no_content(status) && !body.is_empty() => {
            body.head().respond(status, headers, body.array())
        }
        _ => respond_unstored(status, headers, &JsValue::UNDEFINED),
    }
}

/// The origin's response with the gate's headers, and the gate's member at the end of
/// `Cache-Status`. `body`: in place of its own; `None` is none.
///
/// # Errors
///
/// If the runtime refuses it.
pub fn relay(
    origin: &Answered,
    body: Option<Option<ReadableStream>>,
    relay: &Relay<JsBody>,
    cache_status: Option<&str>,
) -> Result<Response, JsValue> {
    let changes = changes(&origin.head, relay, cache_status).ok_or(JsValue::UNDEFINED)?;
    let body = body.map_or(JsValue::UNDEFINED, |body| {
        body.map_or(JsValue::NULL, Into::into)
    });
    js_relay(&origin.response, &body, &changes)
}

/// The changes to the origin's head as `web.js` takes them; `None` if a header cannot be one.
fn changes(
    origin: &ResponseHead,
    relay: &Relay<JsBody>,
    cache_status: Option<&str>,
) -> Option<String> {
    // To remove what is not there would cost as much.
    let removed = relay.remove.iter().filter(|name| origin.has(name));
    let mut lines = Lines::beginning_with_names(removed)?;
    lines.line(&relay.set.len().to_string())?;
    for (name, value) in relay.set.iter().chain(&relay.append) {
        lines.field(name, value)?;
    }
    if let Some(member) = cache_status {
        lines.field("cache-status", member)?;
    }
    Some(lines.into())
}

/// How the head of a response waits for the end of its body, while a copy of the body is read.
pub enum Wait {
    /// It does not wait.
    No,
    /// It waits.
    Yes,
    /// It waits, and the body goes through a pipe, of this length in bytes if that is known.
    Piped(Option<u64>),
}

/// The body of a response that is handed on, and a copy of it for the cache.
pub struct Shared {
    /// What the client gets.
    pub body: Option<ReadableStream>,
    /// What the cache reads.
    pub copy: Result<Option<ReadableStream>, JsValue>,
    /// How the head waits for the copy.
    pub wait: Wait,
    /// Is kept when the client has the whole body, if that is known.
    pub over: Option<Promise>,
}

/// Shares the body of the origin's response between the client and the cache. `tells`: the head
/// says whether the copy is stored. `unseen`: the platform may copy a coded body.
///
/// The runtime would keep the bytes that came before the head was sent, and send them only together
/// with the next ones. A pipe, put in before the wait, passes them on. But what goes through a pipe
/// is decoded, and coded again on the way to the client. If the platform copies it instead, the
/// client gets it as it came. Then the head waits only if there is a `Content-Length`: the origin
/// had the whole body before it sent any of it, and the body comes at once.
pub fn share(origin: &Answered, tells: bool, unseen: bool) -> Shared {
    let response = &origin.response;
    let field = |name| origin.head.value(name);
    let length = field("content-length").and_then(|length| length.parse().ok());
    let Some(body) = response.body() else {
        return Shared {
            body: None,
            copy: Ok(None),
            wait: Wait::Yes,
            over: None,
        };
    };
    if is_coded(origin) && unseen {
        let copy = response.clone().map(|copy| copy.body());
        return Shared {
            body: response.body(),
            copy,
            wait: length
                .filter(|_| tells)
                .map_or(Wait::No, |_: u64| Wait::Yes),
            over: None,
        };
    }
    let length = length.filter(|_| !is_coded(origin));
    // What came from the network has a URL.
    match copied(&body, length, response.url().is_empty()) {
        Ok(copied) => Shared {
            body: Some(copied.readable()),
            copy: Ok(Some(copied.copy())),
            wait: match tells {
                true => Wait::Piped(length),
                false => Wait::No,
            },
            over: Some(copied.over()),
        },
        Err(error) => Shared {
            body: Some(body),
            copy: Err(error),
            wait: Wait::No,
            over: None,
        },
    }
}

/// Whether the platform undoes the content coding of the origin's response, so that what goes
/// through a pipe is coded again. It leaves other codings than these as they are.
pub fn is_coded(origin: &Answered) -> bool {
    let coding = origin.head.value("content-encoding");
    coding.is_some_and(|coding| matches!(coding.trim(), "gzip" | "br"))
}

/// The body of a response that broke off before its head was sent: the client gets the part that
/// came, and sees it break off.
///
/// # Errors
///
/// As [`pipe`].
pub fn broken_off(length: Option<u64>, part: Uint8Array) -> Result<ReadableStream, JsValue> {
    let (readable, writable) = pipe(length)?;
    let to = writable.get_writer()?;
    spawn_local(async move {
        let written = (part.length() > 0).then(|| JsFuture::from(to.write_with_chunk(&part)));
        // If the body failed before its first byte, the runtime would not even send the head.
        sleep(Duration::ZERO).await;
        if let Some(written) = written {
            let _ = written.await;
        }
        ignore(to.abort_with_reason(&Error::new("the origin's response broke off")));
    });
    Ok(readable)
}

/// Whether responses with this status have no body (Fetch Standard, "null body status").
const fn has_no_content(status: u16) -> bool {
    matches!(status, 204 | 205 | 304)
}
