//! Whether a connection lives: how long something that was sent is without any answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// How long a stream has been silent.
#[derive(Debug, Clone)]
pub struct Pulse {
    start: Instant,
    /// When the first byte was sent after which none has come, in milliseconds after `start`, plus
    /// one; 0: none was.
    unanswered: Arc<AtomicU64>,
    /// How often something has come.
    beats: Arc<AtomicU64>,
}

impl Pulse {
    /// Of a stream on which nothing was sent.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            unanswered: Arc::default(),
            beats: Arc::default(),
        }
    }

    /// How often something has come so far.
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// How long nothing has come although something was sent. A byte of any reply counts.
    pub fn silence(&self) -> Duration {
        match self.unanswered.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(self.now().saturating_sub(since)),
        }
    }

    /// Watches a stream.
    pub fn watch<S>(&self, inner: S) -> Watched<S> {
        Watched {
            inner,
            pulse: self.clone(),
        }
    }

    fn now(&self) -> u64 {
        let elapsed = self.start.elapsed().as_millis();
        u64::try_from(elapsed).unwrap_or(u64::MAX - 1) + 1
    }

    fn sent(&self) {
        let now = self.now();
        // It fails if something else is unanswered for longer.
        let _ = self
            .unanswered
            .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn received(&self) {
        self.unanswered.store(0, Ordering::Relaxed);
        self.beats.fetch_add(1, Ordering::Relaxed);
    }
}

/// A stream whose silence is known.
#[derive(Debug)]
pub struct Watched<S> {
    inner: S,
    pulse: Pulse,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(context, out);
        if out.filled().len() > before {
            this.pulse.received();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write(context, bytes);
        if matches!(polled, Poll::Ready(Ok(count)) if count > 0) {
            this.pulse.sent();
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test(start_paused = true)]
    async fn it_is_silent_from_the_first_unanswered_byte_until_any_byte_comes() {
        let pulse = Pulse::new();
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = pulse.watch(near);
        let second = Duration::from_secs(1);
        tokio::time::advance(second).await;
        assert_eq!(pulse.silence(), Duration::ZERO, "nothing was sent");

        near.write_all(b"a").await.unwrap();
        tokio::time::advance(second).await;
        near.write_all(b"b").await.unwrap();
        tokio::time::advance(second).await;
        assert_eq!((pulse.silence(), pulse.beats()), (second * 2, 0));

        far.write_all(b"c").await.unwrap();
        near.read_u8().await.unwrap();
        tokio::time::advance(second).await;
        assert_eq!((pulse.silence(), pulse.beats()), (Duration::ZERO, 1));
    }
}
