//! A request that went to the origin, and what came back.

use http::{Method, StatusCode};

use super::fields::{Fields, trim};
use crate::clock::Timestamp;

/// A request that was sent on, and the head of its response.
///
/// `request` is what the response was chosen by: the client's header fields, not those that the gate
/// added to validate.
#[derive(Debug)]
pub struct Exchange<'a, F: ?Sized> {
    /// The request's method.
    pub method: &'a Method,
    /// The request's header fields.
    pub request: &'a F,
    /// The response's status.
    pub status: StatusCode,
    /// The response's field lines: names in lower case, and values.
    pub response: &'a [(String, String)],
    /// When the request was sent.
    pub request_time: Timestamp,
    /// When the response's head arrived.
    pub response_time: Timestamp,
}

/// Whether a response has a content coding (RFC 9110 §8.4).
pub(super) fn is_coded<F: Fields + ?Sized>(response: &F) -> bool {
    let coding = response.value("content-encoding").unwrap_or_default();
    !matches!(trim(&coding), "" | "identity")
}

/// In which form a body reaches the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyCoding {
    /// The HTTP client below has undone the `Content-Encoding`, if there was one, as `fetch` does.
    Decoded,
    /// The body is what the origin sent.
    AsReceived,
}
