//! The address of a Redis without REST, and the settings of a call.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::retry::RetryPolicy;
use super::tcp::endpoint::Endpoint;
use crate::error::{Error, ErrorKind};

/// The settings of a [`TcpClient`](super::TcpClient).
///
/// ```
/// use std::time::Duration;
/// use omnitrade_edge::redis::TcpOptions;
///
/// let options = TcpOptions::new("rediss://user:secret@redis.example.com:6380/2")
///     .timeout(Duration::from_millis(150))
///     .retries(1);
/// let shown = format!("{options:?}");
/// assert!(!shown.contains("example") && !shown.contains("secret"));
/// ```
#[derive(Clone)]
pub struct TcpOptions {
    url: Box<str>,
    pub(super) timeout: Duration,
    pub(super) retry: RetryPolicy,
    pub(super) max_reply_bytes: usize,
}

impl TcpOptions {
    /// The Redis at `url`: `redis://[user:password@]host[:port][/database]`, `rediss://…` for TLS,
    /// or `unix:///path`. It is checked when the client is made.
    ///
    /// TLS trusts the certificates that the system trusts, or those in the file that the variable
    /// `SSL_CERT_FILE` names.
    ///
    /// The defaults are 2 s per call, two retries, and replies of at most 8 MiB.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into().into(),
            timeout: Duration::from_secs(2),
            retry: RetryPolicy::default(),
            max_reply_bytes: 8 << 20,
        }
    }

    /// The time for a whole call: connecting, all attempts, the waits between them, and the second
    /// command that a script may need.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many attempts may follow the first one.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retry.retries = retries;
        self
    }

    /// How many attempts may follow the first one, and how long to wait before each.
    #[must_use]
    pub const fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// The longest reply to one command, in bytes.
    #[must_use]
    pub const fn max_reply_bytes(mut self, bytes: usize) -> Self {
        self.max_reply_bytes = bytes;
        self
    }

    /// Checks the settings, and reads the address.
    pub(super) fn endpoint(&self) -> Result<Endpoint, Error> {
        if self.timeout.is_zero() {
            return Err(config("timeout: expected more than zero"));
        }
        if self.max_reply_bytes == 0 {
            return Err(config("max_reply_bytes: expected more than zero"));
        }
        Endpoint::parse(&self.url).map_err(|reason| config(format!("url: {reason}")))
    }
}

/// Shows neither the address nor the password.
impl fmt::Debug for TcpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpOptions")
            .field("url", &format_args!("[redacted]"))
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .field("max_reply_bytes", &self.max_reply_bytes)
            .finish()
    }
}

fn config(detail: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Config, false, detail)
}
