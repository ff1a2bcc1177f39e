//! What can go wrong with the store, and what a caller may do about it.

use std::borrow::Cow;
use std::fmt;

use crate::transport::TransportError;

/// A failed call to the store.
///
/// Its text is fit for logs: it never holds an address, a token, a key, an argument or a value. Of
/// a command it holds the name. It translates what Redis is known to say into what is wrong and
/// what to do; of any other message of a server it shows only a part: of bounded length, and
/// ending before the first quotation.
///
/// ```
/// use omnitrade_edge::error::{Error, ErrorKind};
/// use omnitrade_edge::transport::TransportError;
///
/// let error = Error::from(TransportError::Broken);
/// assert_eq!(error.kind(), ErrorKind::Unreachable);
/// assert_eq!(error.code(), "unreachable");
/// assert!(error.retry_is_safe(true), "reading twice does no harm");
/// assert!(!error.retry_is_safe(false), "the first one may have been carried out");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {}{detail}", prefix(.command.as_deref()))]
pub struct Error {
    kind: ErrorKind,
    may_have_run: bool,
    detail: Cow<'static, str>,
    /// The name of the command that Redis refused, where it is known.
    command: Option<Box<str>>,
}

/// The kinds of [`Error`]. The documentation of each says what a caller may do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is wrong: the store's address, a key prefix that a clustered Redis cannot serve,
    /// an option of a job, or the password with which a `TcpClient` or `serve-redis` opens Redis.
    /// Nothing was carried
    /// out, unless [`Error::may_have_run`] is true. A retry does not help; correct the setting.
    Config,
    /// The deadline of the whole call passed. Whether the command ran is unknown, unless
    /// [`Error::may_have_run`] is false. Retry only what may run twice.
    Timeout,
    /// There was no connection, or it broke. Retry what may run twice; if [`Error::may_have_run`]
    /// is false, anything may be retried.
    Unreachable,
    /// The token is wrong. A retry does not help; correct the token.
    Unauthorised,
    /// The command is not allowed: the token, or the Redis user behind it, lacks the right to run
    /// it or to use one of its keys, or the server does not have the command. Nothing was carried
    /// out, unless [`Error::may_have_run`] is true. A retry does not help; grant the right.
    Forbidden,
    /// The plan's requests or its storage are used up. A retry does not help until the quota is
    /// renewed or raised; continue without the store.
    QuotaExhausted,
    /// The server was reached but cannot serve now: HTTP 408, 429 and 5xx, or a Redis that is
    /// loading, busy or without its master. Retry later what may run twice.
    Server,
    /// The reply does not follow Upstash's REST protocol, or Redis's own over TCP: a proxy's page,
    /// truncated or foreign JSON, or a reply of another shape. A retry does not help; the address
    /// is probably that of another service.
    Protocol,
    /// Redis rejected the command: wrong type, wrong arguments, or an error in a script. The same
    /// command fails again. A script may have written before it failed.
    Command,
    /// The command, a key, a value or the reply is longer than allowed. The same call fails again.
    TooLarge,
    /// The reply is of another type than the one that the caller asked for
    /// ([`FromValue`](crate::redis::FromValue)). The command was carried out. A retry does not
    /// help; ask for another type, or find out who stored what is there.
    UnexpectedType,
}

impl ErrorKind {
    /// A stable name in snake case, the same in HTTP responses, in JavaScript and in Rust.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Unauthorised => "unauthorised",
            Self::Forbidden => "forbidden",
            Self::QuotaExhausted => "quota_exhausted",
            Self::Server => "server",
            Self::Protocol => "protocol",
            Self::Command => "command",
            Self::TooLarge => "too_large",
            Self::UnexpectedType => "unexpected_type",
        }
    }

    /// The kind with this [`code`](Self::code).
    #[doc(hidden)]
    pub fn of_code(code: &str) -> Option<Self> {
        let kinds = [
            Self::Config,
            Self::Timeout,
            Self::Unreachable,
            Self::Unauthorised,
            Self::Forbidden,
            Self::QuotaExhausted,
            Self::Server,
            Self::Protocol,
            Self::Command,
            Self::TooLarge,
            Self::UnexpectedType,
        ];
        kinds.into_iter().find(|kind| kind.code() == code)
    }

    /// Whether such calls fail until somebody intervenes, so that one failure is as conclusive as
    /// several.
    pub const fn is_lasting(self) -> bool {
        matches!(
            self,
            Self::Config | Self::Unauthorised | Self::Forbidden | Self::QuotaExhausted
        )
    }

    /// Whether the same call may succeed a little later.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Timeout | Self::Unreachable | Self::Server)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "the settings are wrong",
            Self::Timeout => "the store did not answer in time",
            Self::Unreachable => "the store cannot be reached",
            Self::Unauthorised => "the store refused the token",
            Self::Forbidden => "the store does not allow the command",
            Self::QuotaExhausted => "the store's quota is used up",
            Self::Server => "the store cannot serve now",
            Self::Protocol => "the store's reply is not understood",
            Self::Command => "the store refused the command",
            Self::TooLarge => "too large for the store",
            Self::UnexpectedType => "the store's reply is of another type",
        })
    }
}

impl Error {
    /// An error whose `detail` appears in logs: it must not hold an address, a token, a command or
    /// a value.
    pub(crate) fn new(
        kind: ErrorKind,
        may_have_run: bool,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        let detail = detail.into();
        Self {
            kind,
            may_have_run,
            detail,
            command: None,
        }
    }

    /// The same error, of the command with this name. A name that no command can have is left out,
    /// because it could be a secret in the wrong place.
    pub(crate) fn of_command(mut self, name: Option<&str>) -> Self {
        self.command = name
            .filter(|name| is_command_name(name))
            .map(|name| name.to_ascii_uppercase().into());
        self
    }

    /// The part of the error's text after the kind and the command's name.
    #[doc(hidden)]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The same error, of a call of which no part was carried out: nothing was sent, or the store
    /// said so. For a [`Client`](crate::redis::Client) of your own.
    ///
    /// ```
    /// use omnitrade_edge::error::{Error, ErrorKind};
    ///
    /// let error = Error::from(ErrorKind::Unreachable);
    /// assert!(error.may_have_run());
    /// assert!(!error.not_run().may_have_run());
    /// ```
    #[must_use]
    pub fn not_run(mut self) -> Self {
        self.may_have_run = false;
        self
    }

    /// The kind, which tells the caller what to do.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stable name of the kind: [`ErrorKind::code`].
    pub const fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// Whether the command, or a part of it, may have been carried out.
    ///
    /// If false, it is guaranteed that no attempt of the call carried out any part of it.
    pub const fn may_have_run(&self) -> bool {
        self.may_have_run
    }

    /// Whether the same call may safely be made again, and may succeed then.
    ///
    /// `idempotent` says that the command may run twice without harm.
    pub const fn retry_is_safe(&self, idempotent: bool) -> bool {
        self.kind.is_transient() && (idempotent || !self.may_have_run)
    }

    /// The name of the command that Redis rejected, in capitals, such as `EVALSHA`. `None` if
    /// the name is not known, or Redis rejected no command.
    pub fn command(&self) -> Option<&str> {
        self.command.as_deref()
    }

    /// The first word of a Redis error, such as `WRONGTYPE` or `ERR`, if Redis rejected the command
    /// ([`ErrorKind::Command`]) and its text begins with such a word.
    pub fn redis_code(&self) -> Option<&str> {
        let word = self.detail.split(' ').next()?;
        let is_code = !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase());
        (self.kind == ErrorKind::Command && is_code).then_some(word)
    }

    /// This error, in the element of an array at this place.
    pub(crate) fn at_element(mut self, index: usize) -> Self {
        if self.kind == ErrorKind::UnexpectedType {
            // A place within the element already stands before the rest.
            let gap = if self.detail.starts_with('[') {
                ""
            } else {
                ": "
            };
            self.detail = format!("[{index}]{gap}{}", self.detail).into();
        }
        self
    }

    /// This error, for a call of which an earlier attempt may have been carried out.
    pub(crate) fn after_attempt(mut self, earlier_may_have_run: bool) -> Self {
        self.may_have_run |= earlier_may_have_run;
        self
    }
}

/// A command's name as it stands in an error's text.
fn prefix(command: Option<&str>) -> String {
    command.map_or_else(String::new, |name| format!("{name}: "))
}

/// Whether this can be the name of a command, such as `SET`, `JSON.GET`, `EVAL_RO` or
/// `script|load`.
pub(crate) fn is_command_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphabetic() || b"._|-".contains(&b))
}

/// The longest name of a command that is shown, in bytes. Redis's own have 20 at most.
const LONGEST_NAME: usize = 24;

impl From<ErrorKind> for Error {
    /// For callers that reach the store with a client of their own. The error assumes that the
    /// command may have been carried out: see [`Error::not_run`].
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind, true, "as the client reports")
    }
}

impl From<TransportError> for Error {
    fn from(error: TransportError) -> Self {
        let (kind, may_have_run) = match error {
            TransportError::Connect => (ErrorKind::Unreachable, false),
            TransportError::Broken => (ErrorKind::Unreachable, true),
            TransportError::Timeout => (ErrorKind::Timeout, true),
            TransportError::TooLarge => (ErrorKind::TooLarge, true),
        };
        let detail = match error {
            TransportError::Connect => "the connection could not be made",
            TransportError::Broken => "the connection broke before the reply was complete",
            TransportError::Timeout => "no reply within the deadline",
            TransportError::TooLarge => "the reply is longer than `max_reply_bytes`",
        };
        Self::new(kind, may_have_run, detail)
    }
}
