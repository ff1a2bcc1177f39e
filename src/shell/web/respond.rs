//! Responses: the gate's own, and the origin's handed on.

use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Headers, Response, ResponseInit};

use crate::gateway::{Answer, Body, Content, Relay};

use super::body::JsBody;

/// The response that an answer makes.
pub fn respond(answer: Answer<JsBody>) -> Result<Response, JsValue> {
    let headers = Headers::new()?;
    for (name, value) in &answer.headers {
        // A stored field that this runtime does not take is left out; the response is whole without.
        let _ = headers.append(name, value);
    }
    let init = ResponseInit::new();
    init.set_status(answer.status);
    init.set_headers(&headers);
    match answer.body {
        Content::Empty => Response::new_with_opt_str_and_init(None, &init),
        Content::Text(text) => Response::new_with_opt_str_and_init(Some(&text), &init),
        Content::Stored(body) if body.is_empty() => {
            Response::new_with_opt_str_and_init(None, &init)
        }
        Content::Stored(body) => {
            Response::new_with_opt_js_u8_array_and_init(Some(body.array()), &init)
        }
    }
}

/// The origin's response with the gate's headers; its body stays the stream that it is.
pub fn relay(origin: &Response, relay: &Relay<JsBody>) -> Result<Response, JsValue> {
    // 101: the other protocol has begun, and its socket hangs on this very object.
    if origin.status() == 101 {
        return Ok(Clone::clone(origin));
    }
    // A response as the second argument gives its status, text and headers, `Set-Cookie` apart.
    let init: &ResponseInit = origin.unchecked_ref();
    let response = Response::new_with_opt_readable_stream_and_init(origin.body().as_ref(), init)?;
    let headers = response.headers();
    for name in &relay.remove {
        headers.delete(name)?;
    }
    for (name, value) in &relay.set {
        headers.set(name, value)?;
    }
    Ok(response)
}
