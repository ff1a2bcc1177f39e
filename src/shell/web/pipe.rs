//! Pipes for bytes: see `pipe.js` and `copy.js`.

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use web_sys::{ReadableStream, WritableStream};

#[wasm_bindgen(module = "/src/shell/web/pipe.js")]
extern "C" {
    type Pipe;

    #[wasm_bindgen(catch, js_name = pipe)]
    fn js_pipe(length: Option<f64>) -> Result<Pipe, JsValue>;

    #[wasm_bindgen(method, getter)]
    fn readable(this: &Pipe) -> ReadableStream;

    #[wasm_bindgen(method, getter)]
    fn writable(this: &Pipe) -> WritableStream;
}

#[wasm_bindgen(module = "/src/shell/web/copy.js")]
extern "C" {
    /// A body that a client reads while it is copied for the cache.
    pub type Copied;

    #[wasm_bindgen(catch, js_name = copied)]
    fn js_copied(
        body: &ReadableStream,
        length: Option<f64>,
        is_own: bool,
    ) -> Result<Copied, JsValue>;

    /// What the client reads.
    #[wasm_bindgen(method, getter)]
    pub fn readable(this: &Copied) -> ReadableStream;

    /// What the cache reads.
    #[wasm_bindgen(method, getter)]
    pub fn copy(this: &Copied) -> ReadableStream;

    /// Is kept when the client has the whole body.
    #[wasm_bindgen(method, getter)]
    pub fn over(this: &Copied) -> Promise;
}

/// Copies a body of `length` bytes, if that is known, for the cache. `is_own`: as for `flow`.
///
/// # Errors
///
/// As [`pipe`].
pub fn copied(body: &ReadableStream, length: Option<u64>, is_own: bool) -> Result<Copied, JsValue> {
    js_copied(body, length.map(float), is_own)
}

/// Both ends of a pipe for a body of `length` bytes, if that is known. The pipe has no buffer: each
/// write waits until the bytes are read.
///
/// # Errors
///
/// If the runtime has no such pipes.
pub fn pipe(length: Option<u64>) -> Result<(ReadableStream, WritableStream), JsValue> {
    let pipe = js_pipe(length.map(float))?;
    Ok((pipe.readable(), pipe.writable()))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "no body has so many bytes that a float would not count them"
)]
const fn float(length: u64) -> f64 {
    length as f64
}
