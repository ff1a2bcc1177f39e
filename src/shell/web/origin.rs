//! Requests to the origin.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, Headers, ReadableStream, ReadableStreamDefaultReader, Request, RequestInit,
    RequestRedirect, Response,
};

use crate::clock::millis;
use crate::gateway::forward::Fetch;
use crate::gateway::{Failure, Unread};

use super::platform::set_timeout;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = fetch)]
    fn js_fetch(request: &Request, init: &RequestInit) -> Promise;

    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(id: &JsValue);
}

/// Sends the client's request on, changed as `plan` says.
pub async fn fetch(client: &Request, plan: &Fetch) -> Result<Response, Failure> {
    let request = forwarded(client, plan).map_err(|_| Failure::Failed)?;
    let init = RequestInit::new();
    let alarm = Alarm::set(plan.timeout, &init);
    let answered = JsFuture::from(js_fetch(&request, &init)).await;
    answered
        .map(JsCast::unchecked_into)
        .map_err(|_| match &alarm {
            Some(alarm) if alarm.controller.signal().aborted() => Failure::TimedOut,
            _ => Failure::Failed,
        })
}

/// The client's request with another address and other headers; its body stays the stream that it
/// is. Redirects are the client's business.
fn forwarded(client: &Request, plan: &Fetch) -> Result<Request, JsValue> {
    let moved = Request::new_with_str_and_init(&plan.url, client.unchecked_ref())?;
    let init = RequestInit::new();
    init.set_redirect(RequestRedirect::Manual);
    if let Some(keep) = &plan.keep {
        init.set_headers(&kept(&client.headers(), keep)?.into());
    }
    let request = Request::new_with_request_and_init(&moved, &init)?;
    let headers = request.headers();
    let may_be_there = |name: &&String| plan.keep.as_ref().is_none_or(|keep| keep.contains(name));
    for name in plan.remove.iter().filter(may_be_there) {
        headers.delete(name)?;
    }
    for (name, value) in &plan.set {
        headers.set(name, value)?;
    }
    Ok(request)
}

/// These headers alone.
fn kept(headers: &Headers, names: &[String]) -> Result<Headers, JsValue> {
    let kept = Headers::new()?;
    for name in names {
        if let Some(value) = headers.get(name)? {
            kept.set(name, &value)?;
        }
    }
    Ok(kept)
}

/// Aborts a request when its time is over, unless it is dropped before.
struct Alarm {
    controller: AbortController,
    timer: JsValue,
    _callback: Closure<dyn FnMut()>,
}

impl Alarm {
    fn set(timeout: Duration, init: &RequestInit) -> Option<Self> {
        let controller = AbortController::new().ok()?;
        init.set_signal(Some(&controller.signal()));
        let aborted = controller.clone();
        let callback = Closure::once(move || aborted.abort());
        #[expect(
            clippy::cast_precision_loss,
            reason = "timers take no longer ones anyway"
        )]
        let ms = millis(timeout).min(i32::MAX as u64) as f64;
        Some(Self {
            timer: set_timeout(callback.as_ref(), ms),
            controller,
            _callback: callback,
        })
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        clear_timeout(&self.timer);
    }
}

/// Reads a body to its end, of at most `most` bytes; no stream is an empty one.
pub async fn read(body: Option<ReadableStream>, most: usize) -> Result<Bytes, Unread> {
    let Some(stream) = body else {
        return Ok(Bytes::new());
    };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut body = BytesMut::new();
    loop {
        let part = JsFuture::from(reader.read()).await.map_err(broken)?;
        if Reflect::get(&part, &"done".into())
            .map_err(broken)?
            .is_truthy()
        {
            return Ok(body.freeze());
        }
        let chunk = Reflect::get(&part, &"value".into()).map_err(broken)?;
        let chunk: Uint8Array = chunk.dyn_into().map_err(broken)?;
        if body.len() + chunk.length() as usize > most {
            let _ = reader.cancel();
            return Err(Unread::TooLong);
        }
        body.extend_from_slice(&chunk.to_vec());
    }
}

fn broken(_: JsValue) -> Unread {
    Unread::Broken
}
