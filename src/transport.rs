//! The interface to the network: one HTTP exchange with a deadline, and how it can fail.

#[cfg(all(
    not(target_arch = "wasm32"),
    any(feature = "redis-tcp", feature = "reqwest")
))]
pub(crate) mod native;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;

/// Sends one HTTP request and waits for the whole reply.
///
/// A transport also supplies the time and the randomness that retries need, so that its callers
/// read neither a clock nor a random generator, and a test can control both.
///
/// There is no `Send` bound, because on wasm a future holds JavaScript objects. A limiter or a
/// cache, which several threads use, needs a [`SendTransport`].
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

/// A boxed future. It is `Send`, except on wasm32.
#[cfg(not(target_arch = "wasm32"))]
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// A boxed future. It is `Send`, except on wasm32.
#[cfg(target_arch = "wasm32")]
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What any thread may use. On wasm32, which has one thread here, that is everything.
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub trait AnyThread: Send + Sync {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + Sync + ?Sized> AnyThread for T {}
/// What any thread may use. On wasm32, which has one thread here, that is everything.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub trait AnyThread {}
#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> AnyThread for T {}

/// What may move to another thread. On wasm32, which has one thread here, that is everything.
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub trait Movable: Send {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + ?Sized> Movable for T {}
/// What may move to another thread. On wasm32, which has one thread here, that is everything.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub trait Movable {}
#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> Movable for T {}

/// A transport that any thread may use: what a limiter or a cache needs.
///
/// Its methods box the futures of [`Transport`]. They are written where the transport is known,
/// since only there it is known that its futures are `Send`:
///
/// ```
/// # use std::time::Duration;
/// # use bytes::Bytes;
/// # use omnitrade_edge::clock::Timestamp;
/// # use omnitrade_edge::transport::{BoxFuture, SendTransport, Transport, TransportError};
/// # struct Mine;
/// # impl Transport for Mine {
/// #     async fn send(
/// #         &self,
/// #         _request: http::Request<Bytes>,
/// #         _timeout: Duration,
/// #         _max_bytes: usize,
/// #     ) -> Result<http::Response<Bytes>, TransportError> {
/// #         Err(TransportError::Connect)
/// #     }
/// #     fn now(&self) -> Timestamp {
/// #         Timestamp::from_millis(0)
/// #     }
/// #     async fn sleep(&self, _duration: Duration) {}
/// #     fn random(&self) -> f64 {
/// #         0.5
/// #     }
/// # }
/// impl SendTransport for Mine {
///     fn send_boxed(
///         &self,
///         request: http::Request<Bytes>,
///         timeout: Duration,
///         max_bytes: usize,
///     ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
///         Box::pin(self.send(request, timeout, max_bytes))
///     }
///
///     fn sleep_boxed(&self, duration: Duration) -> BoxFuture<'_, ()> {
///         Box::pin(self.sleep(duration))
///     }
/// }
/// ```
///
/// On wasm32 every transport is one.
pub trait SendTransport: Transport + AnyThread + 'static {
    /// [`Transport::send`].
    fn send_boxed(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>>;

    /// [`Transport::sleep`].
    fn sleep_boxed(&self, duration: Duration) -> BoxFuture<'_, ()>;
}

#[cfg(target_arch = "wasm32")]
impl<T: Transport + 'static> SendTransport for T {
    fn send_boxed(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(self.send(request, timeout, max_bytes))
    }

    fn sleep_boxed(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.sleep(duration))
    }
}

impl<T: Transport> Transport for &T {
    fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
        max_bytes: usize,
    ) -> impl Future<Output = Result<http::Response<Bytes>, TransportError>> {
        T::send(self, request, timeout, max_bytes)
    }

    fn now(&self) -> Timestamp {
        T::now(self)
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        T::sleep(self, duration)
    }

    fn random(&self) -> f64 {
        T::random(self)
    }
}

/// A transport whose futures are known to be `Send`, whatever `T` is.
pub(crate) struct Boxed<'a, T>(pub(crate) &'a T);

impl<T: SendTransport> Transport for Boxed<'_, T> {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<http::Response<Bytes>, TransportError> {
        self.0.send_boxed(request, timeout, max_bytes).await
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep_boxed(duration).await;
    }

    fn random(&self) -> f64 {
        self.0.random()
    }
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
