//! The body of a request, bounded in size and in time.

use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, header};

/// The largest request, as with Upstash: 10 MB.
pub const MAX_BODY: usize = 10 * 1024 * 1024;

/// Why there is no body to work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadBody {
    /// It is larger than [`MAX_BODY`]: by how much, if that was announced.
    TooLarge(Option<u64>),
    /// It did not arrive within a minute.
    TooSlow,
    /// It ended before it was complete.
    BrokenOff,
}

/// The body, if it is not too large and arrives in time.
pub async fn read(body: Body, headers: &HeaderMap) -> Result<Vec<u8>, BadBody> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let too_large = |size: u64| usize::try_from(size).map_or(true, |size| size > MAX_BODY);
    if announced.is_some_and(too_large) && headers.contains_key(header::EXPECT) {
        // The client waits to be told whether to send it at all.
        return Err(BadBody::TooLarge(announced));
    }
    let read = async {
        let mut body = body;
        let mut bytes = Vec::new();
        let mut size = 0;
        while let Some(frame) =
            std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
        {
            let frame = frame.map_err(|_| BadBody::BrokenOff)?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            size += data.len();
            if size > MAX_DISCARDED {
                break;
            } else if size > MAX_BODY {
                bytes = Vec::new();
            } else {
                bytes.extend_from_slice(&data);
            }
        }
        if size > MAX_BODY {
            return Err(BadBody::TooLarge(announced));
        }
        Ok(bytes)
    };
    tokio::time::timeout(BODY_TIMEOUT, read)
        .await
        .unwrap_or(Err(BadBody::TooSlow))
}

/// Of a request that is too large so much is still read and thrown away, so that a client which
/// reads only once it has written gets to see the answer.
const MAX_DISCARDED: usize = 8 * MAX_BODY;
/// How long a client may take to send its request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
