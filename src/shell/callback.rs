//! A value that JavaScript tells a future by calling it back.

use std::future::pending;

use futures_channel::oneshot::Receiver;

/// What the callback is told that holds the other end.
///
/// JavaScript frees a callback without calling it only after the platform has ended the request:
/// its client hung up. Then nothing is told, and the task that waits here is dropped, because
/// nobody can wake it any more. It must not go on: it would take that for a failure.
pub async fn told<T>(receiver: Receiver<T>) -> T {
    match receiver.await {
        Ok(value) => value,
        Err(_) => pending().await,
    }
}
