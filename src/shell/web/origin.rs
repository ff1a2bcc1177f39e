//! Requests to the origin.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_channel::oneshot;
use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{ReadableStream, ReadableStreamDefaultReader, Request, Response};

use crate::message::body::BodyError;
use crate::message::forward::{Failure, Fetch};
use crate::shell::callback;

use super::head::ResponseHead;
use super::lines::Lines;
use super::platform::{Timer, timeout};

#[wasm_bindgen(module = "/src/shell/web/origin.js")]
extern "C" {
    #[wasm_bindgen(js_name = send)]
    fn start_sending(client: &Request, plan: &str, ms: f64, done: &JsValue);
}

/// What a copy of a body fails with if its client reads too slowly, as in `copy.js`.
const SLOW: &str = "slow";

/// Why there is no response, if it is for this reason, as in `origin.js`.
const LATE: u16 = 1;

/// The origin's answer.
#[derive(Debug)]
pub struct Answered {
    /// The response itself.
    pub response: Response,
    /// What `origin.js` has told of it.
    pub head: ResponseHead,
}

/// Sends the client's request on, changed as `plan` says. Redirects are left to the client.
pub async fn fetch(client: &Request, plan: &Fetch) -> Result<Answered, Failure> {
    let text = text_of(plan).ok_or(Failure::Failed)?;
    let (tell, told) = oneshot::channel();
    // JavaScript alone holds it, so it is freed there if it is never called.
    let done = Closure::once_into_js(
        move |status: u16, lines: String, response: Option<Response>| {
            // Nobody waits any more if the request was dropped.
            let _ = tell.send((status, lines, response));
        },
    );
    start_sending(client, &text, timeout(plan.timeout), &done);
    drop(done);
    match callback::told(told).await {
        (status, lines, Some(response)) => Ok(Answered {
            response,
            head: ResponseHead::of(status, lines),
        }),
        (LATE, _, None) => Err(Failure::TimedOut),
        (_, _, None) => Err(Failure::Failed),
    }
}

/// A plan as `origin.js` takes it; `None` if a header cannot be one.
fn text_of(plan: &Fetch) -> Option<String> {
    let mut lines = Lines::beginning(&plan.url)?;
    match &plan.keep {
        Some(keep) => lines.names(keep)?,
        None => lines.line("*")?,
    }
    lines.names(&plan.remove)?;
    for (name, value) in &plan.set {
        lines.field(name, value)?;
    }
    Some(lines.into())
}

/// Nothing waits for it, and its failure changes nothing.
pub fn ignore(promise: Promise) {
    spawn_local(async move { drop(JsFuture::from(promise).await) });
}

/// Cancels the body of a response that is not needed, so that its connection ends.
pub fn let_go(response: &Response) {
    if let Some(body) = response.body() {
        ignore(body.cancel());
    }
}

/// A body that was not read to its end.
pub struct Part {
    /// Why it was not.
    pub why: BodyError,
    /// The part that arrived.
    pub chunks: Vec<Uint8Array>,
}

/// Reads a body to its end: at most `most` bytes, and for at most `time`. A missing stream is an
/// empty body.
pub async fn read(
    body: Option<ReadableStream>,
    most: usize,
    time: Duration,
) -> Result<Bytes, BodyError> {
    let chunks = read_chunks(body, most, time, |_| true).await;
    let chunks = chunks.map_err(|part| part.why)?;
    let mut body = BytesMut::new();
    for chunk in chunks {
        body.extend_from_slice(&chunk.to_vec());
    }
    Ok(body.freeze())
}

/// Reads a body to its end, as it arrives in chunks. `grows` is told its length so far, and says
/// whether there is room for it.
pub async fn read_chunks(
    body: Option<ReadableStream>,
    most: usize,
    time: Duration,
    mut grows: impl FnMut(usize) -> bool,
) -> Result<Vec<Uint8Array>, Part> {
    let Some(stream) = body else {
        return Ok(Vec::new());
    };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let late = Rc::new(Cell::new(false));
    let _timer = {
        let (late, reader) = (Rc::clone(&late), reader.clone());
        Timer::after(time, move || {
            late.set(true);
            // This also ends the read that is waiting.
            ignore(reader.cancel());
        })
    };
    let (mut chunks, mut length) = (Vec::new(), 0);
    let why = loop {
        let chunk = chunk(&reader).await;
        match chunk {
            _ if late.get() => break BodyError::TooSlow,
            Err(error) if error == SLOW => break BodyError::NoRoom,
            Err(_) => break BodyError::Broken,
            Ok(None) => return Ok(chunks),
            Ok(Some(chunk)) => {
                length += usize::try_from(chunk.length()).unwrap_or(usize::MAX);
                let why = match length <= most {
                    true if grows(length) => {
                        chunks.push(chunk);
                        continue;
                    }
                    true => BodyError::NoRoom,
                    false => BodyError::TooLong,
                };
                ignore(reader.cancel());
                break why;
            }
        }
    };
    Err(Part { why, chunks })
}

/// The next chunk of a body; `None` at its end.
async fn chunk(reader: &ReadableStreamDefaultReader) -> Result<Option<Uint8Array>, JsValue> {
    piece(&JsFuture::from(reader.read()).await?)
}

/// The result of a read.
fn piece(read: &JsValue) -> Result<Option<Uint8Array>, JsValue> {
    match Reflect::get(read, &"done".into())?.is_truthy() {
        true => Ok(None),
        false => Ok(Some(Reflect::get(read, &"value".into())?.dyn_into()?)),
    }
}
