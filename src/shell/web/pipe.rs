//! Pipes for bytes, which the platform has beside the Fetch API.

use wasm_bindgen::prelude::*;
use web_sys::{ReadableStream, WritableStream};

#[wasm_bindgen]
extern "C" {
    /// What is read from it is sent in chunks.
    type IdentityTransformStream;

    #[wasm_bindgen(constructor, catch)]
    fn new() -> Result<IdentityTransformStream, JsValue>;

    #[wasm_bindgen(method, getter)]
    fn readable(this: &IdentityTransformStream) -> ReadableStream;

    #[wasm_bindgen(method, getter)]
    fn writable(this: &IdentityTransformStream) -> WritableStream;

    /// What is read from it is sent with `Content-Length`, and has to be as long.
    #[wasm_bindgen(extends = IdentityTransformStream)]
    type FixedLengthStream;

    #[wasm_bindgen(constructor, catch)]
    fn new(length: f64) -> Result<FixedLengthStream, JsValue>;
}

/// Both ends of a pipe for so many bytes, if that is known. It holds none of them: what is written waits
/// for the reader.
///
/// # Errors
///
/// If the platform has no such thing.
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
