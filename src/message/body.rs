//! A stored body as a shell holds it: bytes natively, a JavaScript array in the Worker.

use bytes::Bytes;

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// It is longer than it may be.
    TooLong,
    /// It did not end in time.
    TooSlow,
    /// It broke off.
    Broken,
    /// There is no memory for it now, or its client reads it too slowly.
    NoRoom,
}

/// The bytes of a body, cheap to clone.
pub trait Body: Clone {
    /// The number of bytes.
    fn len(&self) -> usize;

    /// Whether the body is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes. May copy.
    fn bytes(&self) -> Bytes;

    /// A body of these bytes. May copy.
    fn from_bytes(bytes: Bytes) -> Self;

    /// The bytes from offset `from` up to, but not including, `to`; fewer if the body ends before.
    /// Does not copy.
    fn slice(&self, from: usize, to: usize) -> Self;
}

impl Body for Bytes {
    fn len(&self) -> usize {
        Self::len(self)
    }

    fn bytes(&self) -> Bytes {
        self.clone()
    }

    fn from_bytes(bytes: Bytes) -> Self {
        bytes
    }

    fn slice(&self, from: usize, to: usize) -> Self {
        let to = to.min(Self::len(self));
        Self::slice(self, from.min(to)..to)
    }
}
