//! Sockets, the system's clock and tokio's timers.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};

use crate::clock::{Timestamp, millis};
use crate::transport::TransportError;

pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

pub(super) fn failure(error: &reqwest::Error) -> TransportError {
    if error.is_connect() {
        TransportError::Connect
    } else if error.is_timeout() {
        TransportError::Timeout
    } else {
        TransportError::Broken
    }
}

/// Reads the body chunk by chunk; `None` as soon as it exceeds `max_bytes`.
pub(super) async fn body(
    mut response: reqwest::Response,
    max_bytes: usize,
) -> reqwest::Result<Option<Bytes>> {
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

#[allow(
    clippy::disallowed_methods,
    reason = "the one place where native time is read"
)]
pub(super) fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(millis(since_epoch))
}

pub(super) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// The standard library seeds each of its hashers at random, which is random enough to spread
/// retries.
pub(super) fn random() -> f64 {
    const BITS: u32 = 53;
    let number = RandomState::new().hash_one(()) >> (u64::BITS - BITS);
    number as f64 / (1u64 << BITS) as f64
}
