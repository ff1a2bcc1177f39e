//! A stored body as a JavaScript array, so that it need not pass through wasm's memory again.

use bytes::Bytes;
use js_sys::Uint8Array;

use crate::message::body::Body;

use super::prepared::Slot;

/// Bytes on the JavaScript side. They are plain data, which may outlive the request that brought
/// them.
#[derive(Debug, Clone)]
pub struct JsBody {
    array: Uint8Array,
    length: usize,
    head: Slot,
}

impl JsBody {
    /// The array.
    pub const fn array(&self) -> &Uint8Array {
        &self.array
    }

    /// Where the head of the latest response with this body is, which the next one changes.
    pub const fn head(&self) -> &Slot {
        &self.head
    }
}

impl From<Uint8Array> for JsBody {
    fn from(array: Uint8Array) -> Self {
        Self {
            length: usize::try_from(array.length()).unwrap_or(usize::MAX),
            array,
            head: Slot::default(),
        }
    }
}

impl JsBody {
    /// A body of these chunks.
    pub fn of(chunks: &[Uint8Array]) -> Self {
        let length = chunks.iter().map(Uint8Array::length).sum();
        let array = Uint8Array::new_with_length(length);
        let mut at = 0;
        for chunk in chunks {
            array.set(chunk, at);
            at += chunk.length();
        }
        array.into()
    }
}

impl Body for JsBody {
    fn len(&self) -> usize {
        self.length
    }

    fn bytes(&self) -> Bytes {
        self.array.to_vec().into()
    }

    fn from_bytes(bytes: Bytes) -> Self {
        Uint8Array::from(&*bytes).into()
    }

    fn slice(&self, from: usize, to: usize) -> Self {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        self.array.subarray(place(from), place(to)).into()
    }
}
