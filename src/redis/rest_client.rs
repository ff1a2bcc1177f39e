//! The client of Upstash's REST protocol: one deadline for each call, a bounded number of attempts,
//! then a reply or an error.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::arg::Arg;
use super::call::{Caller, Common, Together};
use super::client::{Client, Shared};
use super::command::Command;
use super::from_value::{FromValue, from_replies};
use super::http::{Http, Rest};
use super::options::Options;
use super::script::{Call, Script};
use super::value::Value;
use crate::clock::Timestamp;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::transport::{BoxFuture, Boxed, SendTransport, Transport};

/// A client of Upstash's REST Redis protocol.
///
/// Several calls may be in progress at once; no lock is held while one waits. It is cheap to clone,
/// and clones are one client. Its futures are `Send` if those of the transport are.
///
/// What every call promises:
///
/// - It ends within the timeout, its retries and waits included.
/// - It is sent again only if that is safe: if no connection was made, or if every command in it is
///   [idempotent](Command::is_idempotent). A script that may have run is not sent again, unless it
///   is [repeatable](Script::repeatable).
/// - It sends the sync token of the latest reply, so it reads what this client has written before,
///   even from another replica.
/// - Its reply is bounded in size and in nesting depth.
pub struct RestClient<T>(Arc<Inner<T>>);

struct Inner<T> {
    transport: T,
    rest: Rest,
    common: Common,
    shared: Shared,
}

impl<T: Transport> RestClient<T> {
    /// A client that sends over `transport`. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], which names the setting and what was expected, not the value.
    pub fn new(transport: T, options: Options) -> Result<Self, Error> {
        let endpoint = options.endpoint()?;
        Ok(Self(Arc::new(Inner {
            transport,
            common: Common::new(options.timeout, options.retry),
            rest: Rest::new(options, endpoint),
            shared: Shared::default(),
        })))
    }

    /// A client of the store that variables name, over `transport`:
    /// [`Options::from_vars`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], which names the variable and what was expected, not the value.
    pub fn from_vars(transport: T, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        Self::new(transport, Options::from_vars(lookup)?)
    }

    /// Runs one command.
    ///
    /// # Errors
    ///
    /// Any kind. If Redis rejected the command: [`ErrorKind::Command`], or
    /// [`ErrorKind::Forbidden`] if a right is missing.
    pub async fn command(&self, command: &Command) -> Result<Value, Error> {
        self.over().command(command).await
    }

    /// Runs one command, and reads its reply as `V`.
    ///
    /// ```no_run
    /// # use omnitrade_edge::error::Error;
    /// # use omnitrade_edge::redis::{Command, RestClient};
    /// # use omnitrade_edge::transport::Transport;
    /// # async fn show(redis: &RestClient<impl Transport>) -> Result<(), Error> {
    /// let name: Option<String> = redis.command_as(&Command::new("GET").arg("name:7")).await?;
    /// let visits = redis.command_as::<u64>(&Command::new("INCR").arg("visits:7")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`command`](Self::command), or [`ErrorKind::UnexpectedType`].
    pub async fn command_as<V: FromValue>(&self, command: &Command) -> Result<V, Error> {
        V::from_value(self.command(command).await?)
    }

    /// Runs several commands in one request, in order. Commands of other clients may run in
    /// between.
    ///
    /// The results are in the order of the commands; a command that fails does not stop the next
    /// one. Without commands nothing is sent.
    ///
    /// # Errors
    ///
    /// If the request as a whole failed. Any kind.
    pub async fn pipeline(&self, commands: &[Command]) -> Result<Vec<Result<Value, Error>>, Error> {
        self.over().several(commands, Together::Pipeline).await
    }

    /// Runs several commands as [`pipeline`](Self::pipeline) does, and reads their replies as `V`:
    /// a tuple with a type for each command, or a `Vec`.
    ///
    /// A command that failed fails the whole, unless its type is a `Result`:
    ///
    /// ```no_run
    /// # use omnitrade_edge::error::Error;
    /// # use omnitrade_edge::redis::{Command, RestClient};
    /// # use omnitrade_edge::transport::Transport;
    /// # async fn show(redis: &RestClient<impl Transport>) -> Result<(), Error> {
    /// let get = Command::new("GET").arg("name:7");
    /// let incr = Command::new("INCR").arg("visits:7");
    /// let both = Command::new("MGET").args(["color:7", "size:7"]);
    ///
    /// let (name, visits, looks): (Option<String>, i64, Vec<Option<String>>) =
    ///     redis.pipeline_as(&[get.clone(), incr.clone(), both]).await?;
    ///
    /// let (name, visits): (Result<String, Error>, Result<i64, Error>) =
    ///     redis.pipeline_as(&[get, incr]).await?;
    /// # Ok(())
    /// # }
    /// ```
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
    /// As with `MULTI` and `EXEC`, a command that fails while it runs does not undo the others. A
    /// malformed command keeps all of them from running, and the whole call returns its error.
    /// Without commands nothing is sent.
    ///
    /// # Errors
    ///
    /// If the transaction as a whole failed. Any kind.
    pub async fn multi(&self, commands: &[Command]) -> Result<Vec<Result<Value, Error>>, Error> {
        self.over().several(commands, Together::Transaction).await
    }

    /// Runs several commands as one transaction, as [`multi`](Self::multi) does, and reads their
    /// replies as `V`, as [`pipeline_as`](Self::pipeline_as) does.
    ///
    /// ```no_run
    /// # use omnitrade_edge::error::Error;
    /// # use omnitrade_edge::redis::{Command, RestClient};
    /// # use omnitrade_edge::transport::Transport;
    /// # async fn show(redis: &RestClient<impl Transport>) -> Result<(), Error> {
    /// let take = Command::new("GETDEL").arg("cart:7");
    /// let count = Command::new("INCR").arg("orders");
    /// let (cart, order): (Option<String>, u64) = redis.multi_as(&[take, count]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`multi`](Self::multi), that of the first command that failed, or
    /// [`ErrorKind::UnexpectedType`]. The other commands have run then.
    pub async fn multi_as<V: FromValue>(&self, commands: &[Command]) -> Result<V, Error> {
        from_replies(self.multi(commands).await?)
    }

    /// Runs a script by its digest and, if the store does not know the digest yet, once by its
    /// source.
    ///
    /// `keys` are all the keys that the script touches: Upstash locks only these. If the store
    /// rejects the [locking variant](Script), it has run nothing; the same call then sends the
    /// plain variant, and this client sends no locking variant from then on.
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
        let call = Call::new(script, keys, args);
        self.over().script(script, &call).await
    }

    /// Runs a script as [`script`](Self::script) does, and reads its reply as `V`.
    ///
    /// ```no_run
    /// # use omnitrade_edge::error::Error;
    /// # use omnitrade_edge::redis::{RestClient, Script};
    /// # use omnitrade_edge::transport::Transport;
    /// # async fn show(redis: &RestClient<impl Transport>) -> Result<(), Error> {
    /// let lua = "return {redis.call('INCR', KEYS[1]), redis.call('TTL', KEYS[1])}";
    /// let script = Script::new(lua);
    /// let (visits, ttl): (u64, i64) = redis.script_as(&script, &["visits:7"], [""; 0]).await?;
    /// # Ok(())
    /// # }
    /// ```
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

    /// The transport that it sends over, which is also its clock.
    pub fn transport(&self) -> &T {
        &self.0.transport
    }

    fn over(&self) -> Caller<'_, Http<'_, &T>> {
        self.calling_over(&self.0.transport)
    }
}

impl<T> RestClient<T> {
    fn calling_over<'a, V>(&'a self, transport: V) -> Caller<'a, Http<'a, V>> {
        Caller {
            common: &self.0.common,
            exchange: Http {
                rest: &self.0.rest,
                transport,
            },
        }
    }
}

impl<T: SendTransport> RestClient<T> {
    fn over_boxed(&self) -> Caller<'_, Http<'_, Boxed<'_, T>>> {
        self.calling_over(Boxed(&self.0.transport))
    }
}

impl<T: SendTransport> Client for RestClient<T> {
    fn command<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<Value, Error>> {
        Box::pin(async move { self.over_boxed().command(command).await })
    }

    fn pipeline<'a>(
        &'a self,
        commands: &'a [Command],
    ) -> BoxFuture<'a, Result<Vec<Result<Value, Error>>, Error>> {
        Box::pin(async move {
            let caller = self.over_boxed();
            caller.several(commands, Together::Pipeline).await
        })
    }

    fn script<'a>(
        &'a self,
        script: &'a Script,
        keys: &'a [String],
        args: &'a [String],
    ) -> BoxFuture<'a, Result<Value, Error>> {
        let call = Call::new(script, keys, args);
        Box::pin(async move { self.over_boxed().script(script, &call).await })
    }

    fn timeout(&self) -> Duration {
        Self::timeout(self)
    }

    fn now(&self) -> Timestamp {
        self.transport().now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        self.transport().sleep_boxed(duration)
    }

    fn random(&self) -> f64 {
        self.transport().random()
    }

    fn shared(&self) -> &Shared {
        &self.0.shared
    }
}

impl<T> Clone for RestClient<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Shows neither the URL nor the token.
impl<T> fmt::Debug for RestClient<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestClient")
            .field("options", &self.0.rest.options)
            .finish_non_exhaustive()
    }
}
