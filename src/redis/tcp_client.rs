//! A client of a Redis without REST.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::arg::Arg;
use super::call::{Caller, Common, Together};
use super::client::{Client, Shared};
use super::command::Command;
use super::from_value::{FromValue, from_replies};
use super::resp::{Call, Tcp};
use super::script::Script;
use super::tcp::connection::{Event, Settings, SharedConnection};
use super::tcp_options::TcpOptions;
use super::value::Value;
use crate::clock::Timestamp;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::trace;
use crate::transport::{BoxFuture, native};

/// A client of a Redis or Valkey that is reached by its own protocol, for servers that stand beside
/// it: over TCP, TLS or a Unix socket.
///
/// It runs the same commands and scripts as [`RestClient`](super::RestClient), and makes the same
/// promises:
///
/// - A call ends within the timeout, with connecting, retries and waits included.
/// - It is sent again only if that is safe: if it was never sent, or if every command in it is
///   [idempotent](Command::is_idempotent). A script that may have run is not sent again, unless it
///   is [repeatable](Script::repeatable).
/// - Errors say what the caller can do, and neither they nor `Debug` show the address or the
///   password.
/// - Replies are bounded in size. One that is too long ends the connection, so that other calls
///   that wait for replies on it fail too ([`ErrorKind::Unreachable`]).
///
/// All calls share one connection, on which they do not wait for each other. It is made by the
/// first call, so a program can start before its Redis, and it is made anew after it broke, after
/// Redis was restarted while no call was under way, or after it was silent for as long as the
/// timeout. Commands that would take that connection over or hold it up, such as `SUBSCRIBE`,
/// `SELECT` and `BLPOP`, are refused ([`ErrorKind::Forbidden`]).
///
/// It is cheap to clone, and clones are one client. It needs a tokio runtime with time and I/O
/// enabled, and its connection lives in the runtime of the call that has made it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), omnitrade_edge::error::Error> {
/// use std::time::Duration;
///
/// use omnitrade_edge::limiter::{RateLimiter, Reason, Rule};
/// use omnitrade_edge::redis::TcpClient;
///
/// // Nothing listens there yet. As soon as a Redis does, it decides.
/// let redis = TcpClient::connect("redis://127.0.0.1:1")?;
/// let limiter = RateLimiter::new(redis, Rule::new(100, Duration::from_secs(60)));
/// let limited = limiter.limit("user-7", 1).await;
/// assert_eq!((limited.success, limited.reason), (true, Some(Reason::Timeout)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TcpClient(Arc<Inner>);

struct Inner {
    common: Common,
    connection: SharedConnection,
    options: TcpOptions,
    shared: Shared,
}

impl TcpClient {
    /// A client of the Redis at `url`, with the settings of [`TcpOptions::new`]. It does not wait:
    /// the first call connects.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], which says what was expected, not the address.
    pub fn connect(url: impl Into<String>) -> Result<Self, Error> {
        Self::new(TcpOptions::new(url))
    }

    /// A client with settings of your own. It does not wait: the first call connects.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], which names the setting and what was expected, not the value.
    pub fn new(options: TcpOptions) -> Result<Self, Error> {
        let endpoint = options.endpoint()?;
        let settings = Settings {
            connect_timeout: options.timeout.max(LEAST_CONNECT_TIMEOUT),
            patience: options.timeout,
            max_reply_bytes: options.max_reply_bytes,
        };
        let connection = SharedConnection::new(endpoint, settings, |event| match event {
            Event::Made { .. } => trace::connected(),
            Event::Failed(error) => trace::not_connected(error),
            Event::Lost => trace::connection_lost(),
        });
        Ok(Self(Arc::new(Inner {
            common: Common::new(options.timeout, options.retry).without_locking(),
            connection,
            options,
            shared: Shared::default(),
        })))
    }

    /// Runs one command.
    ///
    /// # Errors
    ///
    /// Any kind. If Redis rejected the command: [`ErrorKind::Command`], or
    /// [`ErrorKind::Forbidden`] if a right is missing.
    pub async fn command(&self, command: &Command) -> Result<Value, Error> {
        self.caller().command(command).await
    }

    /// Runs one command, and reads its reply as `V`, as
    /// [`RestClient::command_as`](super::RestClient::command_as) does.
    ///
    /// # Errors
    ///
    /// As [`command`](Self::command), or [`ErrorKind::UnexpectedType`].
    pub async fn command_as<V: FromValue>(&self, command: &Command) -> Result<V, Error> {
        V::from_value(self.command(command).await?)
    }

    /// Sends several commands at once, which run in order. Commands of other clients may run in
    /// between.
    ///
    /// The results are in the order of the commands; a command that fails does not stop the next
    /// one. Without commands nothing is sent.
    ///
    /// # Errors
    ///
    /// If there are no replies. Any kind.
    pub async fn pipeline(&self, commands: &[Command]) -> Result<Vec<Result<Value, Error>>, Error> {
        self.caller().several(commands, Together::Pipeline).await
    }

    /// Runs several commands as [`pipeline`](Self::pipeline) does, and reads their replies as `V`,
    /// as [`RestClient::pipeline_as`](super::RestClient::pipeline_as) does.
    ///
    /// # Errors
    ///
    /// As [`pipeline`](Self::pipeline), that of the first command that failed, or
    /// [`ErrorKind::UnexpectedType`].
    pub async fn pipeline_as<V: FromValue>(&self, commands: &[Command]) -> Result<V, Error> {
        from_replies(self.pipeline(commands).await?)
    }

    /// Runs several commands as one transaction: all of them, with no other client's commands in
    /// between, or none.
    ///
    /// As always with `MULTI` and `EXEC`, a command that fails while it runs does not undo the
    /// others. A malformed command keeps all of them from running, and the whole call returns its
    /// error. Without commands nothing is sent.
    ///
    /// # Errors
    ///
    /// If the transaction as a whole failed. Any kind.
    pub async fn multi(&self, commands: &[Command]) -> Result<Vec<Result<Value, Error>>, Error> {
        self.caller().several(commands, Together::Transaction).await
    }

    /// Runs several commands as one transaction, as [`multi`](Self::multi) does, and reads their
    /// replies as `V`, as [`pipeline_as`](Self::pipeline_as) does.
    ///
    /// # Errors
    ///
    /// As [`multi`](Self::multi), that of the first command that failed, or
    /// [`ErrorKind::UnexpectedType`]. The other commands have run then.
    pub async fn multi_as<V: FromValue>(&self, commands: &[Command]) -> Result<V, Error> {
        from_replies(self.multi(commands).await?)
    }

    /// Runs the plain variant of a script by its digest and, if Redis does not know the digest yet,
    /// once by its source.
    ///
    /// A script that may have run is not sent again, unless it is [repeatable](Script::repeatable).
    /// A repeatable script gets one more argument, after all others: `"1"` if an earlier attempt of
    /// this call may have run, else `"0"`.
    ///
    /// # Errors
    ///
    /// Any kind. A script that fails is [`ErrorKind::Command`]; it may have written before it
    /// failed.
    pub async fn script<'a>(
        &self,
        script: &Script,
        keys: &[impl AsRef<str>],
        args: impl IntoIterator<Item: Into<Arg<'a>>>,
    ) -> Result<Value, Error> {
        let keys: Vec<_> = keys.iter().map(AsRef::as_ref).collect();
        let args: Vec<_> = args.into_iter().map(|arg| text(arg.into())).collect();
        let args: Vec<_> = args.iter().map(AsRef::as_ref).collect();
        self.run_script(script, &keys, &args).await
    }

    /// Runs a script as [`script`](Self::script) does, and reads its reply as `V`.
    ///
    /// # Errors
    ///
    /// As [`script`](Self::script), or [`ErrorKind::UnexpectedType`].
    pub async fn script_as<'a, V: FromValue>(
        &self,
        script: &Script,
        keys: &[impl AsRef<str>],
        args: impl IntoIterator<Item: Into<Arg<'a>>>,
    ) -> Result<V, Error> {
        V::from_value(self.script(script, keys, args).await?)
    }

    /// The deadline of one call.
    pub fn timeout(&self) -> Duration {
        self.0.common.timeout
    }

    async fn run_script(
        &self,
        script: &Script,
        keys: &[&str],
        args: &[&str],
    ) -> Result<Value, Error> {
        let call = Call {
            keys,
            args,
            repeatable: script.is_repeatable(),
        };
        self.caller().script(script, &call).await
    }

    fn caller(&self) -> Caller<'_, Tcp<'_>> {
        Caller {
            common: &self.0.common,
            exchange: Tcp(&self.0.connection),
        }
    }
}

impl Client for TcpClient {
    fn command<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<Value, Error>> {
        Box::pin(Self::command(self, command))
    }

    fn pipeline<'a>(
        &'a self,
        commands: &'a [Command],
    ) -> BoxFuture<'a, Result<Vec<Result<Value, Error>>, Error>> {
        Box::pin(Self::pipeline(self, commands))
    }

    fn script<'a>(
        &'a self,
        script: &'a Script,
        keys: &'a [String],
        args: &'a [String],
    ) -> BoxFuture<'a, Result<Value, Error>> {
        Box::pin(async move {
            let keys: Vec<_> = keys.iter().map(String::as_str).collect();
            let args: Vec<_> = args.iter().map(String::as_str).collect();
            self.run_script(script, &keys, &args).await
        })
    }

    fn timeout(&self) -> Duration {
        Self::timeout(self)
    }

    fn now(&self) -> Timestamp {
        native::now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn random(&self) -> f64 {
        native::random()
    }

    fn shared(&self) -> &Shared {
        &self.0.shared
    }
}

/// An argument as Redis takes it.
fn text(arg: Arg<'_>) -> Cow<'_, str> {
    match arg {
        Arg::Str(text) => text.into(),
        Arg::Int(number) => number.to_string().into(),
        Arg::Uint(number) => number.to_string().into(),
    }
}

/// Connecting goes on for this long, so that it succeeds in the end if calls end sooner.
const LEAST_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Shows neither the address nor the password.
impl fmt::Debug for TcpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpClient")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}
