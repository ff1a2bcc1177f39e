//! Pipes for bytes: see `pipe.js`.

use wasm_bindgen::prelude::*;
use web_sys::{ReadableStream, WritableStream};

#[wasm_bindgen(module = "/src/shell/web/pipe.js")]
extern "C" {
    type Pipe;

    #[wasm_bindgen(catch, js_name = pipe)]
    fn js_pipe(length: Option<f64>) -> Result<Pipe, JsValue>;

    /// Passes a stream on into the end of a pipe. If one end breaks off, the other does too.
    /// `is_own`: whether the program itself has made the stream.
    pub fn flow(from: &ReadableStream, to: &WritableStream, is_own: bool);

    #[wasm_bindgen(method, getter)]
    fn readable(this: &Pipe) -> ReadableStream;

    #[wasm_bindgen(method, getter)]
    fn writable(this: &Pipe) -> WritableStream;
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
    let pipe = js_pipe(length.map(|length| length as f64))?;
    Ok((pipe.readable(), pipe.writable()))
}
