//! A client of a Redis without REST.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline};
use tokio::time::{Instant, timeout_at};

use super::arg::Arg;
use super::call::{By, Caller, Common, Exchange, Together};
use super::client::{Client, Shared};
use super::command::Command;
use super::failure;
use super::from_value::{FromValue, from_replies};
use super::retry::RetryPolicy;
use super::script::{Script, Source};
use super::tcp::connection::{Event, Link, Settings, SharedConnection};
use super::tcp::endpoint::Endpoint;
use super::tcp::{Reply, error_text, guard, transaction};
use super::value::Value;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind};
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

/// The settings of a [`TcpClient`].
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
    timeout: Duration,
    retry: RetryPolicy,
    max_reply_bytes: usize,
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

    fn check(&self) -> Result<(), Error> {
        if self.timeout.is_zero() {
            return Err(config("timeout: expected more than zero"));
        }
        if self.max_reply_bytes == 0 {
            return Err(config("max_reply_bytes: expected more than zero"));
        }
        Ok(())
    }
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
        options.check()?;
        let endpoint = Endpoint::parse(&options.url)
            .map_err(|reason| Error::new(ErrorKind::Config, false, format!("url: {reason}")))?;
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

/// Makes one exchange over the shared connection.
struct Tcp<'a>(&'a SharedConnection);

/// Commands, ready to be sent.
enum Packed {
    One(Cmd),
    Several(Pipeline),
    /// Between `MULTI` and `EXEC`.
    Transaction(Pipeline),
}

/// The keys and arguments of a script.
struct Call<'a> {
    keys: &'a [&'a str],
    args: &'a [&'a str],
    repeatable: bool,
}

impl<'a> Exchange for Tcp<'a> {
    /// An error: it cannot be sent.
    type Request = Result<Packed, Error>;
    type Reply = Vec<redis::Value>;
    type Call = Call<'a>;

    fn command(&self, command: &Command) -> Result<Packed, Error> {
        packed(command).map(Packed::One)
    }

    fn several(&self, commands: &[Command], together: Together) -> Result<Packed, Error> {
        let mut pipeline = Pipeline::with_capacity(commands.len() + 2);
        match together {
            Together::Pipeline => {
                for command in commands {
                    pipeline.add_command(packed(command)?);
                }
                Ok(Packed::Several(pipeline))
            }
            // They are written in one piece, so that no other call's commands come between them.
            Together::Transaction => {
                pipeline.cmd("MULTI");
                for command in commands {
                    pipeline.add_command(packed(command)?);
                }
                pipeline.cmd("EXEC");
                Ok(Packed::Transaction(pipeline))
            }
        }
    }

    fn script(
        &self,
        call: &Call<'a>,
        source: &Source,
        by: By,
        is_repeat: bool,
    ) -> Result<Packed, Error> {
        let mut command = match by {
            By::Digest => redis::cmd("EVALSHA"),
            By::Source => redis::cmd("EVAL"),
        };
        command
            .arg(match by {
                By::Digest => source.sha(),
                By::Source => source.lua(),
            })
            .arg(call.keys.len());
        for word in call.keys.iter().chain(call.args) {
            command.arg(*word);
        }
        if call.repeatable {
            command.arg(if is_repeat { "1" } else { "0" });
        }
        Ok(Packed::One(command))
    }

    async fn attempt(
        &self,
        request: &Result<Packed, Error>,
        name: Option<&str>,
        left: Duration,
    ) -> Result<Vec<redis::Value>, Error> {
        let packed = request.as_ref().map_err(Error::clone)?;
        let deadline = Instant::now() + left;
        let link = timeout_at(deadline, self.0.link()).await;
        let mut link = link.map_err(|_| {
            let detail = "no connection within the deadline";
            Error::new(ErrorKind::Timeout, false, detail)
        })??;
        let beats = link.beats();
        let reply = timeout_at(deadline, exchange(&mut link, packed, name)).await;
        reply.unwrap_or_else(|_| {
            link.abandon_if_silent_since(beats);
            let detail = "no reply within the deadline";
            Err(Error::new(ErrorKind::Timeout, true, detail))
        })
    }

    fn read_one(&self, reply: Vec<redis::Value>, name: &str) -> Result<Value, Error> {
        let [reply] = <[_; 1]>::try_from(reply).map_err(|_| as_many_missing())?;
        result(reply, name)
    }

    fn read_several(
        &self,
        replies: Vec<redis::Value>,
        commands: &[Command],
        _together: Together,
    ) -> Result<Vec<Result<Value, Error>>, Error> {
        if replies.len() != commands.len() {
            return Err(as_many_missing());
        }
        let each = replies.into_iter().zip(commands);
        Ok(each
            .map(|(reply, command)| result(reply, command.name()))
            .collect())
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

/// Sends commands and waits for the replies. A single command that Redis refuses is an error, so
/// that it can be sent again if Redis refuses it only now.
async fn exchange(
    link: &mut Link,
    packed: &Packed,
    name: Option<&str>,
) -> Result<Vec<redis::Value>, Error> {
    match packed {
        Packed::One(command) => match link.run(command).await? {
            redis::Value::ServerError(error) => Err(failure::from_text(&error_text(&error), name)),
            reply => Ok(vec![reply]),
        },
        Packed::Several(pipeline) => link.run_all(pipeline).await,
        Packed::Transaction(pipeline) => {
            match transaction::outcome(link.run_all(pipeline).await?) {
                Some(Ok(replies)) => Ok(replies),
                Some(Err(discarded)) => Err(failure::from_text(&discarded, name)),
                None => Err(as_many_missing()),
            }
        }
    }
}

/// The words of a command, unless the connection cannot carry it.
fn packed(command: &Command) -> Result<Cmd, Error> {
    let words = command.words();
    if guard::takes_over(&words) {
        let detail = "the command would take over or hold up the connection that all calls share";
        let error = Error::new(ErrorKind::Forbidden, false, detail);
        return Err(error.of_command(Some(command.name())));
    }
    let mut packed = Cmd::new();
    for word in &words {
        packed.arg(word.as_bytes());
    }
    Ok(packed)
}

/// The reply to the command with this name.
fn result(reply: redis::Value, name: &str) -> Result<Value, Error> {
    match reply {
        redis::Value::ServerError(error) => {
            Err(failure::from_text(&error_text(&error), Some(name)))
        }
        reply => Ok(value(reply.into())),
    }
}

fn value(reply: Reply) -> Value {
    match reply {
        Reply::Nil => Value::Null,
        Reply::Int(number) => Value::Int(number),
        Reply::Bulk(bytes) => Value::Bytes(bytes.into()),
        Reply::Status(text) => Value::Bytes(text.into()),
        Reply::Array(items) => Value::Array(items.into_iter().map(value).collect()),
        Reply::Error(text) => Value::Error(failure::from_text(&text, None)),
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

fn as_many_missing() -> Error {
    Error::new(
        ErrorKind::Protocol,
        true,
        "as many replies as commands are missing",
    )
}

fn config(detail: &'static str) -> Error {
    Error::new(ErrorKind::Config, false, detail)
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
