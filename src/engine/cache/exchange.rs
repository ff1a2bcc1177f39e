//! A request that went to the origin, and what came back.

use http::{HeaderMap, Method, StatusCode};

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
    /// The response's header fields.
    pub response: &'a HeaderMap,
    /// When the request was sent.
    pub request_time: Timestamp,
    /// When the response's head arrived.
    pub response_time: Timestamp,
}

/// In which form a body reaches the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyCoding {
    /// The HTTP client below has undone the `Content-Encoding`, if there was one, as `fetch` does.
    Decoded,
    /// The body is what the origin sent.
    AsReceived,
}
