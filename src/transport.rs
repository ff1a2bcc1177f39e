//! The seam to the network: one HTTP exchange, with a deadline, and what can go wrong with it.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;

/// Sends one HTTP request and waits for the whole reply.
///
/// A transport also owns the time and the randomness that a retry needs, so that what is above it
/// reads neither a clock nor a generator and can be driven by a test.
///
/// There is no `Send` bound: on wasm a future holds JavaScript objects.
pub trait Transport {
    /// Sends `request` and reads the reply to its end.
    ///
    /// `timeout` bounds the whole exchange, connecting and reading the body included.
    /// `max_bytes` bounds the body of the reply: a longer one is [`TransportError::TooLarge`],
    /// found out before it is held in memory.
    fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
        max_bytes: usize,
    ) -> impl Future<Output = Result<http::Response<Bytes>, TransportError>>;

    /// The present time.
    fn now(&self) -> Timestamp;

    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;

    /// A uniformly distributed number in `[0, 1)`; spreads retries, guards nothing.
    fn random(&self) -> f64;
}

/// Why an exchange brought no reply. None of them carries an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection came about, so the request was never sent: any request may be sent again.
    #[error("the connection could not be made")]
    Connect,
    /// The deadline passed. The other side may have acted on the request.
    #[error("no reply within the deadline")]
    Timeout,
    /// The connection broke after the request was, or may have been, sent.
    #[error("the connection broke before the reply was complete")]
    Broken,
    /// The reply is longer than allowed.
    #[error("the reply is too large")]
    TooLarge,
}
