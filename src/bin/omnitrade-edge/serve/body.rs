//! The body of a request, bounded in size and in time.

use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, header};

/// The largest request, in bytes: 10 MB, as with Upstash.
pub const MAX_BODY: usize = 10 * 1024 * 1024;

/// Why the body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadBody {
    /// It is larger than [`MAX_BODY`]. Holds its announced size, if there was one.
    TooLarge(Option<u64>),
    /// It did not arrive within a minute.
    TooSlow,
    /// It ended early.
    BrokenOff,
}

/// The body, if it is not too large and arrives in time.
pub async fn read(body: Body, headers: &HeaderMap) -> Result<Vec<u8>, BadBody> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let too_large = |size: u64| usize::try_from(size).map_or(true, |size| size > MAX_BODY);
    if announced.is_some_and(too_large) && headers.contains_key(header::EXPECT) {
        // The client waits for permission to send the body.
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

/// How much of an oversized request is read and discarded, in bytes, so that a client that reads
/// only after it has written still sees the response.
const MAX_DISCARDED: usize = 8 * MAX_BODY;
/// How long a client may take to send the body of its request.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
