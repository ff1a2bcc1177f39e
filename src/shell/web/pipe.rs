//! Pipes for bytes: the runtime has them in addition to the Fetch API.

use wasm_bindgen::prelude::*;
use web_sys::{ReadableStream, WritableStream};

#[wasm_bindgen]
extern "C" {
    /// A body that is sent with `Transfer-Encoding: chunked`.
    type IdentityTransformStream;

    #[wasm_bindgen(constructor, catch)]
    fn new() -> Result<IdentityTransformStream, JsValue>;

    #[wasm_bindgen(method, getter)]
    fn readable(this: &IdentityTransformStream) -> ReadableStream;

    #[wasm_bindgen(method, getter)]
    fn writable(this: &IdentityTransformStream) -> WritableStream;

    /// A body that is sent with `Content-Length`, and must have this length.
    #[wasm_bindgen(extends = IdentityTransformStream)]
    type FixedLengthStream;

    #[wasm_bindgen(constructor, catch)]
    fn new(length: f64) -> Result<FixedLengthStream, JsValue>;
}

/// Both ends of a pipe for a body of `length` bytes, if that is known. The pipe has no buffer: each
/// write waits until the bytes are read.
///
/// # Errors
///
/// If the runtime has no such pipes.
pub fn pipe(length: Option<u64>) -> Result<(ReadableStream, WritableStream), JsValue> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "no body has so many bytes that a float would not count them"
    )]
    let pipe = match length {
        Some(length) => FixedLengthStream::new(length as f64)?.into(),
        None => IdentityTransformStream::new()?,
    };
    Ok((pipe.readable(), pipe.writable()))
}
