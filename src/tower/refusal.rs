//! What a client gets in place of a response, if a limit refuses its request.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use serde_json::Value;

use crate::clock::millis;
use crate::engine::limit_problem::{LimitProblem, Why, body};
use crate::limiter::Limited;

/// A request that limits refuse: what
/// [`refuse_with`](super::RateLimitLayer::refuse_with) makes a response of.
#[derive(Debug)]
pub struct Refusal<'a> {
    problem: LimitProblem,
    limits: &'a [Limited],
    request: &'a Parts,
}

impl<'a> Refusal<'a> {
    pub(super) const fn new(
        problem: LimitProblem,
        limits: &'a [Limited],
        request: &'a Parts,
    ) -> Self {
        Self {
            problem,
            limits,
            request,
        }
    }

    /// 429 Too Many Requests; or 503 Service Unavailable if the store fails and a limit lets
    /// nothing pass then ([`OnFailure::Closed`](crate::limiter::OnFailure)).
    pub const fn status(&self) -> StatusCode {
        match self.problem.why {
            Why::QuotaExceeded | Why::ReducedCapacity | Why::AbnormalUsage => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Why::StoreDown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// How long until the same request will pass.
    pub const fn retry_after(&self) -> Duration {
        self.problem.retry_after
    }

    /// What each limit says, in the order in which they were given to the layer.
    pub const fn limits(&self) -> &'a [Limited] {
        self.limits
    }

    /// The head of the refused request.
    pub const fn request(&self) -> &'a Parts {
        self.request
    }

    /// Whether it is a call of gRPC or gRPC-Web, by its content type.
    pub fn is_grpc(&self) -> bool {
        let kind = self.request.headers.get(CONTENT_TYPE);
        kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
    }

    /// The response that a client gets by default: problem details (RFC 9457) with the problem
    /// types of draft-ietf-httpapi-ratelimit-headers-10, or the status of a call of gRPC.
    ///
    /// The layer adds `Retry-After` and the headers of the limits, to this response and to those of
    /// others.
    pub fn response(&self) -> Response<Bytes> {
        match self.is_grpc() {
            true => self.grpc(),
            false => self.problem(),
        }
    }

    /// The whole seconds of `Retry-After`.
    pub(super) fn seconds(&self) -> u64 {
        self.problem.seconds()
    }

    fn problem(&self) -> Response<Bytes> {
        let (status, why) = (self.status(), self.problem.why);
        let mut members = body(why.title(), status.as_u16(), why.code());
        self.problem.tell(&mut members);
        let mut response = Response::new(Value::Object(members).to_string().into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM);
        headers.insert(CACHE_CONTROL, NO_STORE);
        response
    }

    /// A status without messages before it ("Trailers-Only"), as the protocol of gRPC over HTTP/2
    /// has it.
    fn grpc(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        if let Some(kind) = self.request.headers.get(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, kind.clone());
        }
        headers.insert(
            GRPC_STATUS,
            match self.problem.why {
                Why::StoreDown => UNAVAILABLE,
                _ => RESOURCE_EXHAUSTED,
            },
        );
        let title = self.problem.why.title();
        headers.insert(GRPC_MESSAGE, HeaderValue::from_static(title));
        // When a client that repeats calls by itself may do so (gRFC A6).
        let wait = i32::try_from(millis(self.retry_after())).unwrap_or(i32::MAX);
        headers.insert(GRPC_RETRY_PUSHBACK, wait.into());
        response
    }
}

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_RETRY_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

const RESOURCE_EXHAUSTED: HeaderValue = HeaderValue::from_static("8");
const UNAVAILABLE: HeaderValue = HeaderValue::from_static("14");
