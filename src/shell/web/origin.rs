//! Requests to the origin.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    AbortController, ReadableStream, ReadableStreamByobReader, ReadableStreamDefaultReader,
    ReadableStreamGetReaderOptions, ReadableStreamReaderMode, Request, RequestInit,
    RequestRedirect, Response, WritableStreamDefaultWriter,
};

use crate::clock::Timestamp;
use crate::message::body::BodyError;
use crate::message::forward::{Failure, Fetch};

use super::pipe::pipe;
use super::platform::{Timer, clear_timeout, now, set_timeout, timeout};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = fetch)]
    fn js_fetch(request: &Request, init: &RequestInit) -> Promise;

    /// `web_sys` declares that this never throws. It throws if the stream is not one of bytes.
    type ByteStream;

    #[wasm_bindgen(method, catch, js_name = getReader)]
    fn byte_reader(
        this: &ByteStream,
        options: &ReadableStreamGetReaderOptions,
    ) -> Result<ReadableStreamByobReader, JsValue>;
}

/// Sends the client's request on, changed as `plan` says.
///
/// The origin's time for its response starts when the whole request has been sent. Until then, it
/// starts again with each chunk that the client sends.
pub async fn fetch(client: &Request, plan: &Fetch) -> Result<Response, Failure> {
    let request = forwarded(client, plan).map_err(|_| Failure::Failed)?;
    let init = RequestInit::new();
    let alarm = Alarm::set(plan.timeout, &init).map_err(|_| Failure::Failed)?;
    let upload = Upload::of(&request, &init).map_err(|_| Failure::Failed)?;
    let answered = js_fetch(&request, &init);
    if let Some(upload) = upload {
        let alarm = Rc::clone(&alarm);
        // The upload goes on if the origin answers before it has the whole body.
        spawn_local(async move { upload.run(&alarm).await });
    }
    let answered = JsFuture::from(answered).await;
    alarm.stop();
    let response: Response = answered
        .map_err(|_| match alarm.rang.get() {
            true => Failure::TimedOut,
            false => Failure::Failed,
        })?
        .unchecked_into();
    // The client did not ask for another protocol, so it cannot speak one.
    match response.status() == 101 && !has_socket(&response) {
        true => Err(Failure::Failed),
        false => Ok(response),
    }
}

fn has_socket(response: &Response) -> bool {
    Reflect::get(response, &"webSocket".into()).is_ok_and(|socket| socket.is_truthy())
}

/// The client's request with another URL and other headers. Its body stays the same stream.
/// Redirects are left to the client.
///
/// Headers that do not change are copied without being read: as JavaScript strings, their octets
/// that are not UTF-8 would become U+FFFD.
fn forwarded(client: &Request, plan: &Fetch) -> Result<Request, JsValue> {
    let moved = Request::new_with_str_and_init(&plan.url, client.unchecked_ref())?;
    let init = RequestInit::new();
    init.set_redirect(RequestRedirect::Manual);
    let request = Request::new_with_request_and_init(&moved, &init)?;
    let headers = request.headers();
    if let Some(keep) = &plan.keep {
        let names: Vec<String> = headers
            .keys()
            .into_iter()
            .filter_map(|name| name.ok()?.as_string())
            .collect();
        for name in names.iter().filter(|name| !keep.contains(name)) {
            headers.delete(name)?;
        }
    }
    for name in &plan.remove {
        headers.delete(name)?;
    }
    for (name, value) in &plan.set {
        headers.set(name, value)?;
    }
    Ok(request)
}

/// Aborts a request when its time is over. Each chunk that is passed on starts the time again.
struct Alarm {
    controller: AbortController,
    time: Duration,
    since: Cell<Timestamp>,
    /// Whether its time was over.
    rang: Cell<bool>,
    /// Whether the request is answered, or has failed.
    stopped: Cell<bool>,
    timer: RefCell<JsValue>,
    callback: Closure<dyn FnMut()>,
}

impl Alarm {
    fn set(time: Duration, init: &RequestInit) -> Result<Rc<Self>, JsValue> {
        let controller = AbortController::new()?;
        init.set_signal(Some(&controller.signal()));
        let alarm = Rc::new_cyclic(|alarm: &Weak<Self>| {
            let alarm = Weak::clone(alarm);
            Self {
                controller,
                time,
                since: Cell::new(now()),
                rang: Cell::new(false),
                stopped: Cell::new(false),
                timer: RefCell::new(JsValue::UNDEFINED),
                callback: Closure::new(move || {
                    if let Some(alarm) = alarm.upgrade() {
                        alarm.look();
                    }
                }),
            }
        });
        alarm.look();
        Ok(alarm)
    }

    /// Aborts the request if its time is over, and looks again later otherwise.
    fn look(&self) {
        let left = self.time.saturating_sub(now().since(self.since.get()));
        if left.is_zero() {
            self.rang.set(true);
            self.controller.abort();
        } else {
            *self.timer.borrow_mut() = set_timeout(self.callback.as_ref(), timeout(left));
        }
    }

    /// Gives the request its whole time again.
    fn progress(&self) {
        self.since.set(now());
    }

    fn stop(&self) {
        self.stopped.set(true);
        clear_timeout(&self.timer.borrow());
    }

    /// Aborts after the client broke off, so that the origin does not take the part for the whole.
    fn abort(&self) {
        if !self.stopped.get() {
            self.controller.abort();
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A body on its way from the client to the origin. Its chunks stay in JavaScript's memory.
struct Upload {
    from: ReadableStreamByobReader,
    to: WritableStreamDefaultWriter,
    /// Where a chunk is read into.
    room: u32,
}

impl Upload {
    /// Puts a pipe between the client's body and the origin. `None` if there is no body, or if the
    /// runtime passes it on itself.
    ///
    /// The runtime refuses to make a `GET` with a body, but it forwards one that it received. A
    /// body that comes from another Worker, and not from the network, may not be a stream of bytes.
    fn of(request: &Request, init: &RequestInit) -> Result<Option<Self>, JsValue> {
        let Some(body) = request.body() else {
            return Ok(None);
        };
        if matches!(request.method().as_str(), "GET" | "HEAD") {
            return Ok(None);
        }
        let length = request.headers().get("content-length")?;
        let length = length.and_then(|length| length.parse::<u64>().ok());
        let (readable, writable) = pipe(length)?;
        let by_own_buffer = ReadableStreamGetReaderOptions::new();
        by_own_buffer.set_mode(ReadableStreamReaderMode::Byob);
        let Ok(from) = body
            .unchecked_ref::<ByteStream>()
            .byte_reader(&by_own_buffer)
        else {
            return Ok(None);
        };
        let to = writable.get_writer()?;
        let fits = length.and_then(|length| u32::try_from(length).ok());
        init.set_body(&readable);
        Ok(Some(Self {
            from,
            to,
            room: fits.map_or(LARGEST_CHUNK, |length| length.clamp(1, LARGEST_CHUNK)),
        }))
    }

    async fn run(self, alarm: &Alarm) {
        let mut room = Uint8Array::new_with_length(self.room);
        loop {
            let Ok(piece) = self.piece(&room).await else {
                // The client broke off.
                alarm.abort();
                return ignore(self.to.abort());
            };
            alarm.progress();
            let passed = match &piece {
                Some(piece) => JsFuture::from(self.to.write_with_chunk(piece)).await,
                None => JsFuture::from(self.to.close()).await,
            };
            if passed.is_err() {
                // The origin takes no more. It may have answered already.
                return ignore(self.from.cancel());
            }
            alarm.progress();
            let Some(piece) = piece else { return };
            // The origin has the chunk: the next one may use the same memory.
            room = Uint8Array::new(&piece.buffer());
        }
    }

    /// The next chunk from the client; `None` at the end.
    async fn piece(&self, room: &Uint8Array) -> Result<Option<Uint8Array>, JsValue> {
        piece(&JsFuture::from(self.from.read_with_array_buffer_view(room)).await?)
    }
}

/// The size of the largest chunk of a request's body, in bytes. An upload in chunks of 4 KiB takes
/// five times as much CPU.
const LARGEST_CHUNK: u32 = 65_536;

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
    pub bytes: Bytes,
}

/// Reads a body to its end: at most `most` bytes, and for at most `time`, if there is a bound. A
/// missing stream is an empty body.
pub async fn read(
    body: Option<ReadableStream>,
    most: usize,
    time: Option<Duration>,
) -> Result<Bytes, Part> {
    let Some(stream) = body else {
        return Ok(Bytes::new());
    };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let late = Rc::new(Cell::new(false));
    let _timer = time.map(|time| {
        let (late, reader) = (Rc::clone(&late), reader.clone());
        Timer::after(time, move || {
            late.set(true);
            // This also ends the read that is waiting.
            ignore(reader.cancel());
        })
    });
    let mut body = BytesMut::new();
    let why = loop {
        let chunk = chunk(&reader).await;
        match chunk {
            _ if late.get() => break BodyError::TooSlow,
            Err(_) => break BodyError::Broken,
            Ok(None) => return Ok(body.freeze()),
            Ok(Some(chunk)) if body.len() + chunk.length() as usize > most => {
                ignore(reader.cancel());
                break BodyError::TooLong;
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk.to_vec()),
        }
    };
    let bytes = body.freeze();
    Err(Part { why, bytes })
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
