//! A stored body as a JavaScript array, so that it need not pass through wasm's memory again.

use bytes::Bytes;
use js_sys::Uint8Array;

use crate::message::body::Body;

/// Bytes on the JavaScript side. They are plain data, which may outlive the request that brought
/// them.
#[derive(Debug, Clone)]
pub struct JsBody(Uint8Array);

impl JsBody {
    /// The array.
    pub const fn array(&self) -> &Uint8Array {
        &self.0
    }
}

impl Body for JsBody {
    fn len(&self) -> usize {
        usize::try_from(self.0.length()).unwrap_or(usize::MAX)
    }

    fn bytes(&self) -> Bytes {
        self.0.to_vec().into()
    }

    fn from_bytes(bytes: Bytes) -> Self {
        Self(Uint8Array::from(&*bytes))
    }

    fn slice(&self, from: usize, to: usize) -> Self {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self(self.0.subarray(place(from), place(to)))
    }
}
