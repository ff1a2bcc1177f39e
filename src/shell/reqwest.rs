//! [`Transport`] over `reqwest`: sockets, the system's clock and tokio's timers.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind};
use crate::redis::{Options, RestClient};
use crate::transport::{BoxFuture, SendTransport, Transport, TransportError, native};

/// A transport over `reqwest`. It is cheap to clone, and clones share their connections.
///
/// It needs a tokio runtime with time and I/O enabled, and it does not follow redirects, so that
/// the token reaches no other address. On wasm32, `FetchTransport` takes its place.
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
        let client = ::reqwest::Client::builder()
            .redirect(::reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| Error::new(ErrorKind::Config, false, "TLS cannot be set up here"))?;
        Ok(Self { client })
    }
}

impl RestClient<ReqwestTransport> {
    /// A client of the store that variables of the environment name: `UPSTASH_REDIS_REST_URL` and
    /// `UPSTASH_REDIS_REST_TOKEN`, or, if neither is set, `KV_REST_API_URL` and
    /// `KV_REST_API_TOKEN`. For other settings give [`Options::from_env`] to [`RestClient::new`].
    ///
    /// ```no_run
    /// use omnitrade_edge::redis::{Command, RestClient};
    ///
    /// # async fn show() -> Result<(), omnitrade_edge::error::Error> {
    /// let redis = RestClient::from_env()?;
    /// let visits: u64 = redis.command_as(&Command::new("INCR").arg("visits")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], which names the variable and what was expected, not the value.
    pub fn from_env() -> Result<Self, Error> {
        Self::new(ReqwestTransport::new()?, Options::from_env()?)
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
        // Only a malformed request fails here, and it is not sent.
        let mut request =
            ::reqwest::Request::try_from(request).map_err(|_| TransportError::Connect)?;
        *request.timeout_mut() = Some(timeout);
        let response = self.client.execute(request).await;
        let mut response = response.map_err(|error| failure(&error))?;

        let announced = response.content_length().unwrap_or(0);
        if usize::try_from(announced).map_or(true, |length| length > max_bytes) {
            return Err(TransportError::TooLarge);
        }
        let mut reply = http::Response::new(Bytes::new());
        *reply.status_mut() = response.status();
        std::mem::swap(reply.headers_mut(), response.headers_mut());
        let body = body(response, max_bytes).await;
        let body = body.map_err(|error| failure(&error))?;
        *reply.body_mut() = body.ok_or(TransportError::TooLarge)?;
        Ok(reply)
    }

    fn now(&self) -> Timestamp {
        native::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn random(&self) -> f64 {
        native::random()
    }
}

impl SendTransport for ReqwestTransport {
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

fn failure(error: &::reqwest::Error) -> TransportError {
    if error.is_connect() {
        TransportError::Connect
    } else if error.is_timeout() {
        TransportError::Timeout
    } else {
        TransportError::Broken
    }
}

/// Reads the body chunk by chunk; `None` as soon as it exceeds `max_bytes`.
async fn body(
    mut response: ::reqwest::Response,
    max_bytes: usize,
) -> ::reqwest::Result<Option<Bytes>> {
    let Some(first) = response.chunk().await? else {
        return Ok(Some(Bytes::new()));
    };
    let Some(second) = response.chunk().await? else {
        return Ok((first.len() <= max_bytes).then_some(first));
    };
    let mut body = BytesMut::from(first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        if body.len().saturating_add(chunk.len()) > max_bytes {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
        next = response.chunk().await?;
    }
    Ok(Some(body.freeze()))
}

#[cfg(test)]
mod tests;
