//! The interface to the network: one HTTP exchange with a deadline, and how it can fail.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;

/// Sends one HTTP request and waits for the whole reply.
///
/// A transport also supplies the time and the randomness that retries need, so that its callers
/// read neither a clock nor a random generator, and a test can control both.
///
/// There is no `Send` bound, because on wasm a future holds JavaScript objects.
pub trait Transport {
    /// Sends `request` and reads the reply to its end.
    ///
    /// `timeout` bounds the whole exchange, including connecting and reading the body. `max_bytes`
    /// bounds the body of the reply: a longer one is [`TransportError::TooLarge`], which must be
    /// detected before the whole body is held in memory.
    fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
        max_bytes: usize,
    ) -> impl Future<Output = Result<http::Response<Bytes>, TransportError>>;

    /// The present time.
    fn now(&self) -> Timestamp;

    /// Waits for `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;

    /// A uniformly distributed number in `[0, 1)`. It spreads retries; it need not be secure.
    fn random(&self) -> f64;
}

/// Why an exchange brought no reply. No variant carries an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection was made, so the request was never sent: any request may be sent again.
    #[error("the connection could not be made")]
    Connect,
    /// The deadline passed. The server may have acted on the request.
    #[error("no reply within the deadline")]
    Timeout,
    /// The connection broke after the request was sent, or may have been sent.
    #[error("the connection broke before the reply was complete")]
    Broken,
    /// The reply is longer than allowed.
    #[error("the reply is too large")]
    TooLarge,
}
