//! [`Transport`] over `reqwest`: sockets natively, the platform's `fetch` on wasm.
//!
//! `native.rs` and `wasm.rs` hold what differs between the two, under the same names.

use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind};
use crate::transport::{Transport, TransportError};

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(not(target_arch = "wasm32"))]
use native as platform;

#[cfg(target_arch = "wasm32")]
mod wasm;
#[cfg(target_arch = "wasm32")]
use wasm as platform;

/// A transport over `reqwest`. It is cheap to clone, and clones share their connections.
///
/// Natively it needs a tokio runtime with time and I/O enabled, and it does not follow redirects,
/// so that the token reaches no other address. On wasm, `fetch` follows redirects by its own rules.
///
/// On wasm the platform does not say whether a connection was established, so a failure is always
/// [`TransportError::Broken`]. If a reply does not announce its length, its size is checked only
/// after it has been read.
#[derive(Debug, Clone)]
pub struct ReqwestTransport {
    client: ::reqwest::Client,
}

impl ReqwestTransport {
    /// A transport with connections of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if TLS cannot be set up on this machine.
    pub fn new() -> Result<Self, Error> {
        let client = platform::client()
            .map_err(|_| Error::new(ErrorKind::Config, false, "TLS cannot be set up here"))?;
        Ok(Self { client })
    }
}

/// Wraps an existing client and keeps its settings.
impl From<::reqwest::Client> for ReqwestTransport {
    fn from(client: ::reqwest::Client) -> Self {
        Self { client }
    }
}

impl Transport for ReqwestTransport {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let start = self.now();
        // `fetch` may report a timeout as another error, so the elapsed time decides.
        let named = |error: ::reqwest::Error| match platform::failure(&error) {
            TransportError::Broken if self.now().since(start) >= timeout => TransportError::Timeout,
            failure => failure,
        };
        // Only a malformed request fails here, and it is not sent.
        let mut request =
            ::reqwest::Request::try_from(request).map_err(|_| TransportError::Connect)?;
        *request.timeout_mut() = Some(timeout.min(MAX_TIMEOUT));
        let mut response = self.client.execute(request).await.map_err(named)?;

        let announced = response.content_length().unwrap_or(0);
        if usize::try_from(announced).map_or(true, |length| length > max_bytes) {
            return Err(TransportError::TooLarge);
        }
        let mut reply = http::Response::new(Bytes::new());
        *reply.status_mut() = response.status();
        std::mem::swap(reply.headers_mut(), response.headers_mut());
        let body = platform::body(response, max_bytes).await.map_err(named)?;
        *reply.body_mut() = body.ok_or(TransportError::TooLarge)?;
        Ok(reply)
    }

    fn now(&self) -> Timestamp {
        platform::now()
    }

    async fn sleep(&self, duration: Duration) {
        platform::sleep(duration.min(MAX_TIMEOUT)).await;
    }

    fn random(&self) -> f64 {
        platform::random()
    }
}

/// The longest timeout that JavaScript's timers accept; a longer one would panic in `reqwest`.
const MAX_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
