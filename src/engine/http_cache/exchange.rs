//! A request to the origin and its response.

use http::{Method, StatusCode};

use super::fields::{Fields, trim};
use crate::clock::Timestamp;

/// A request that was sent to the origin, and the head of its response.
///
/// `request` contains the header fields that select the response: those of the client, without
/// those that the gate added for validation.
#[derive(Debug)]
pub struct Exchange<'a, F: ?Sized> {
    /// The request's method.
    pub method: &'a Method,
    /// The request's header fields.
    pub request: &'a F,
    /// The response's status.
    pub status: StatusCode,
    /// The response's field lines: names, in lower case, and values.
    pub response: &'a [(String, String)],
    /// When the request was sent.
    pub request_time: Timestamp,
    /// When the response's head arrived.
    pub response_time: Timestamp,
}

/// Whether a response has a content coding (RFC 9110 §8.4).
pub fn is_coded<F: Fields + ?Sized>(response: &F) -> bool {
    let coding = response.value("content-encoding").unwrap_or_default();
    !matches!(trim(&coding), "" | "identity")
}

/// The form in which a body reaches the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyCoding {
    /// The HTTP client has already undone the `Content-Encoding`, if there was one. `fetch` does
    /// this.
    Decoded,
    /// The body is exactly what the origin sent.
    AsReceived,
}
