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

    /// [`ReadableStream`] says of this that it never throws. It does, for a stream that is not of bytes.
    type ByteStream;

    #[wasm_bindgen(method, catch, js_name = getReader)]
    fn byte_reader(
        this: &ByteStream,
        options: &ReadableStreamGetReaderOptions,
    ) -> Result<ReadableStreamByobReader, JsValue>;
}

/// Sends the client's request on, changed as `plan` says.
///
/// The time that the origin has for its answer begins when the request is through. While the client
/// is still sending, it begins anew with every piece.
pub async fn fetch(client: &Request, plan: &Fetch) -> Result<Response, Failure> {
    let request = forwarded(client, plan).map_err(|_| Failure::Failed)?;
    let init = RequestInit::new();
    let alarm = Alarm::set(plan.timeout, &init).map_err(|_| Failure::Failed)?;
    let upload = Upload::of(&request, &init).map_err(|_| Failure::Failed)?;
    let answered = js_fetch(&request, &init);
    if let Some(upload) = upload {
        let alarm = Rc::clone(&alarm);
        // It goes on while the origin answers, if the origin answers before it has all.
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
    // Nobody can speak a protocol to which the origin switched unasked.
    match response.status() == 101 && !has_socket(&response) {
        true => Err(Failure::Failed),
        false => Ok(response),
    }
}

fn has_socket(response: &Response) -> bool {
    Reflect::get(response, &"webSocket".into()).is_ok_and(|socket| socket.is_truthy())
}

/// The client's request with another address and other headers; its body stays the stream that it
/// is. Redirects are the client's business.
///
/// What is not changed is copied and never read: in JavaScript octets that are not UTF-8 have become
/// U+FFFD.
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

/// Aborts a request when its time is over. The time begins anew with every progress.
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

    /// Rings if there was no progress for too long, and else looks again when there may have been none.
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

    /// The client broke off: the origin is not to take the part for the whole.
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

/// A body on its way from the client to the origin. Its pieces stay on the JavaScript side.
struct Upload {
    from: ReadableStreamByobReader,
    to: WritableStreamDefaultWriter,
    /// For a piece.
    room: u32,
}

impl Upload {
    /// Puts itself between the client's body and the origin; `None` where the body goes on by itself, or
    /// there is none.
    ///
    /// The runtime builds no `GET` with a body, but forwards one that it was given. A body that another
    /// program made, and not the network, may not be read by pieces of a size.
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
            room: fits.map_or(LARGEST_PIECE, |length| length.clamp(1, LARGEST_PIECE)),
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
                // The origin takes no more. It may have answered nevertheless.
                return ignore(self.from.cancel());
            }
            alarm.progress();
            let Some(piece) = piece else { return };
            // The origin has it: the same memory takes the next piece.
            room = Uint8Array::new(&piece.buffer());
        }
    }

    /// The next piece from the client; `None` at the end.
    async fn piece(&self, room: &Uint8Array) -> Result<Option<Uint8Array>, JsValue> {
        piece(&JsFuture::from(self.from.read_with_array_buffer_view(room)).await?)
    }
}

/// The largest piece of a body that is passed on at once, in bytes. With pieces of 4 KiB an upload
/// takes five times as much CPU.
const LARGEST_PIECE: u32 = 65_536;

/// Nobody waits for it, and nothing follows if it fails.
pub fn ignore(promise: Promise) {
    spawn_local(async move { drop(JsFuture::from(promise).await) });
}

/// Lets go of a response whose body nobody reads, so that its connection ends.
pub fn let_go(response: &Response) {
    if let Some(body) = response.body() {
        ignore(body.cancel());
    }
}

/// What there is of a body that was not read to its end.
pub struct Part {
    /// Why not.
    pub why: BodyError,
    /// What has come.
    pub bytes: Bytes,
}

/// Reads a body to its end, of at most `most` bytes and in so much `time`, if there is a bound; no
/// stream is an empty one.
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
            // What is being waited for ends with it.
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

/// The next piece of a body; `None` at its end.
async fn chunk(reader: &ReadableStreamDefaultReader) -> Result<Option<Uint8Array>, JsValue> {
    piece(&JsFuture::from(reader.read()).await?)
}

/// What a reader gave.
fn piece(read: &JsValue) -> Result<Option<Uint8Array>, JsValue> {
    match Reflect::get(read, &"done".into())?.is_truthy() {
        true => Ok(None),
        false => Ok(Some(Reflect::get(read, &"value".into())?.dyn_into()?)),
    }
}
