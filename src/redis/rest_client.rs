//! The client: one deadline for each call, a bounded number of attempts, then a reply or an error.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri};

use super::arg::Arg;
use super::command::Command;
use super::options::Endpoint;
use super::options::Options;
use super::retry::{Deadline, Progress};
use super::script::Script;
use super::script::{Call, Source};
use super::value::Value;
use super::{failure, wire};
use crate::error::{Error, ErrorKind};
use crate::transport::Transport;

/// A client of Upstash's REST Redis protocol.
///
/// It holds only plain data and no lock, so it may outlive a request in a Worker. Several calls may
/// be in progress at once.
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
pub struct RestClient<T> {
    transport: T,
    options: Options,
    endpoint: Endpoint,
    sync_token: RefCell<Option<HeaderValue>>,
    /// Whether the store has refused the locking variant of a script.
    refuses_locking: Cell<bool>,
}

impl<T: Transport> RestClient<T> {
    /// A client that sends over `transport`. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], which names the setting and what was expected, not the value.
    pub fn new(transport: T, options: Options) -> Result<Self, Error> {
        let endpoint = options.endpoint()?;
        Ok(Self {
            transport,
            options,
            endpoint,
            sync_token: RefCell::default(),
            refuses_locking: Cell::default(),
        })
    }

    /// Runs one command.
    ///
    /// # Errors
    ///
    /// Any kind. If Redis rejected the command: [`ErrorKind::Command`], or
    /// [`ErrorKind::Forbidden`] if a right is missing.
    pub async fn command(&self, command: &Command) -> Result<Value, Error> {
        let open_json = command.open_json();
        let mut body = Vec::with_capacity(open_json.len() + 1);
        body.extend_from_slice(open_json);
        body.push(b']');
        let body = Bytes::from(body);
        let mut progress = self.progress();
        let name = command.name();
        self.single(
            name,
            |_| body.clone(),
            command.is_idempotent(),
            &mut progress,
        )
        .await
        .map_err(|error| error.after_attempt(progress.may_have_run))
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
        self.several(&self.endpoint.pipeline, commands).await
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
        self.several(&self.endpoint.multi, commands).await
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
        let mut progress = self.progress();
        self.either_variant(script, &call, &mut progress)
            .await
            .map_err(|error| error.after_attempt(progress.may_have_run))
    }

    /// The deadline of one call.
    pub const fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// The transport that it sends over, which is also its clock.
    pub const fn transport(&self) -> &T {
        &self.transport
    }

    fn progress(&self) -> Progress {
        Progress::new(Deadline::new(self.transport.now(), self.options.timeout))
    }

    async fn either_variant(
        &self,
        script: &Script,
        call: &Call,
        progress: &mut Progress,
    ) -> Result<Value, Error> {
        if let Some(locking) = script.locking().filter(|_| !self.refuses_locking.get()) {
            match self.variant(locking, call, progress).await {
                Err(error) if failure::is_first_line_refusal(&error) => {
                    self.refuses_locking.set(true);
                }
                reply => return reply,
            }
        }
        self.variant(script.plain(), call, progress).await
    }

    async fn variant(
        &self,
        source: &Source,
        call: &Call,
        progress: &mut Progress,
    ) -> Result<Value, Error> {
        let repeatable = call.is_repeatable();
        let by_digest = |is_repeat| call.by_digest(source, is_repeat);
        match self
            .single("EVALSHA", by_digest, repeatable, progress)
            .await
        {
            Err(error) if is_unknown_script(&error) => {
                let by_source = |is_repeat| call.by_source(source, is_repeat);
                self.single("EVAL", by_source, repeatable, progress).await
            }
            reply => reply,
        }
    }

    async fn single(
        &self,
        name: &str,
        body: impl Fn(bool) -> Bytes,
        idempotent: bool,
        progress: &mut Progress,
    ) -> Result<Value, Error> {
        let uri = &self.endpoint.command;
        let reply = self
            .call(uri, Some(name), body, idempotent, progress)
            .await?;
        wire::read_one(&reply, self.options.base64, name)
    }

    async fn several(
        &self,
        uri: &Uri,
        commands: &[Command],
    ) -> Result<Vec<Result<Value, Error>>, Error> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut body = Vec::with_capacity(commands.iter().map(|c| c.open_json().len() + 2).sum());
        wire::push_open_arrays(&mut body, commands.iter().map(Command::open_json));
        let body = Bytes::from(body);
        let idempotent = commands.iter().all(Command::is_idempotent);
        let names: Vec<_> = commands.iter().map(Command::name).collect();
        let mut progress = self.progress();
        self.call(uri, None, |_| body.clone(), idempotent, &mut progress)
            .await
            .and_then(|reply| wire::read_many(&reply, self.options.base64, &names))
            .map_err(|error| error.after_attempt(progress.may_have_run))
    }

    /// Sends a request until it is answered, no retry is safe, or the deadline has passed. `name`
    /// is the name of the command, if the request holds only one.
    ///
    /// `body` writes the request, given whether an earlier attempt of the call may have run. It is
    /// called again only if that changes, so that no attempt copies a body needlessly.
    ///
    /// The error is that of the last attempt alone; `progress` records the earlier ones.
    async fn call(
        &self,
        uri: &Uri,
        name: Option<&str>,
        body: impl Fn(bool) -> Bytes,
        idempotent: bool,
        progress: &mut Progress,
    ) -> Result<Bytes, Error> {
        let policy = &self.options.retry;
        let deadline = progress.deadline;
        let mut retry = 0;
        let mut last: Option<Error> = None;
        let mut is_repeat = progress.may_have_run;
        let mut bytes = body(is_repeat);
        loop {
            let Some(left) = deadline.left(self.transport.now()) else {
                return Err(last.unwrap_or_else(|| {
                    Error::new(
                        ErrorKind::Timeout,
                        false,
                        "the deadline passed before it was sent",
                    )
                }));
            };
            let error = match self.attempt(uri, name, bytes.clone(), left).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            progress.may_have_run |= error.may_have_run();
            if retry >= policy.retries || !error.retry_is_safe(idempotent) {
                return Err(error);
            }
            let wait = policy.wait(retry, self.transport.random());
            // A wait that leaves no time for another attempt is pointless.
            if deadline
                .left(self.transport.now())
                .is_none_or(|left| left <= wait)
            {
                return Err(error);
            }
            self.transport.sleep(wait).await;
            last = Some(error);
            retry += 1;
            if progress.may_have_run && !is_repeat {
                is_repeat = true;
                bytes = body(is_repeat);
            }
        }
    }

    async fn attempt(
        &self,
        uri: &Uri,
        name: Option<&str>,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, Error> {
        let request = self.request(uri, body);
        let reply = self
            .transport
            .send(request, timeout, self.options.max_reply_bytes)
            .await?;
        if let Some(token) = reply
            .headers()
            .get(SYNC_TOKEN)
            .filter(|t| t.len() <= MAX_SYNC_TOKEN)
        {
            self.sync_token.replace(Some(token.clone()));
        }
        if reply.status().is_success() {
            Ok(reply.into_body())
        } else {
            Err(failure::from_reply(reply.status(), reply.body(), name))
        }
    }

    fn request(&self, uri: &Uri, body: Bytes) -> http::Request<Bytes> {
        let mut request = http::Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.endpoint.headers.clone();
        if let Some(token) = self.sync_token.borrow().as_ref() {
            request.headers_mut().insert(SYNC_TOKEN, token.clone());
        }
        request
    }
}

/// Shows neither the URL nor the token.
impl<T> fmt::Debug for RestClient<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestClient")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The store has no script with that digest, so it has run nothing.
fn is_unknown_script(error: &Error) -> bool {
    error.redis_code() == Some(failure::NO_SCRIPT) && !error.may_have_run()
}

/// The only header that the client reads of a reply.
pub(crate) const SYNC_TOKEN: HeaderName = HeaderName::from_static("upstash-sync-token");

/// The longest sync token that is kept, in bytes.
const MAX_SYNC_TOKEN: usize = 1024;
