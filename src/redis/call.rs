//! One call on its way: a bounded number of attempts until its deadline, over any transport.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri};

use super::command::Command;
use super::options::{Endpoint, Options};
use super::retry::{Deadline, Progress};
use super::script::{Call, Script, Source};
use super::value::Value;
use super::{failure, wire};
use crate::error::{Error, ErrorKind};
use crate::transport::Transport;

/// What the calls of one client have in common.
pub(super) struct Common {
    pub(super) options: Options,
    pub(super) endpoint: Endpoint,
    sync_token: Mutex<Option<HeaderValue>>,
    /// Whether the store has refused the locking variant of a script.
    refuses_locking: AtomicBool,
}

/// Makes calls over a transport.
pub(super) struct Caller<'a, T> {
    pub(super) common: &'a Common,
    pub(super) transport: T,
}

impl Common {
    pub(super) fn new(options: Options, endpoint: Endpoint) -> Self {
        Self {
            options,
            endpoint,
            sync_token: Mutex::default(),
            refuses_locking: AtomicBool::default(),
        }
    }

    /// The latest reply's token. The lock is never held while a call waits.
    fn sync_token(&self) -> MutexGuard<'_, Option<HeaderValue>> {
        let token = self.sync_token.lock();
        token.unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Transport> Caller<'_, T> {
    pub(super) async fn command(&self, command: &Command) -> Result<Value, Error> {
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

    pub(super) async fn script(&self, script: &Script, call: &Call) -> Result<Value, Error> {
        let mut progress = self.progress();
        self.either_variant(script, call, &mut progress)
            .await
            .map_err(|error| error.after_attempt(progress.may_have_run))
    }

    fn progress(&self) -> Progress {
        Progress::new(Deadline::new(
            self.transport.now(),
            self.common.options.timeout,
        ))
    }

    async fn either_variant(
        &self,
        script: &Script,
        call: &Call,
        progress: &mut Progress,
    ) -> Result<Value, Error> {
        if let Some(locking) = script
            .locking()
            .filter(|_| !self.common.refuses_locking.load(Ordering::Relaxed))
        {
            match self.variant(locking, call, progress).await {
                Err(error) if failure::is_first_line_refusal(&error) => {
                    self.common.refuses_locking.store(true, Ordering::Relaxed);
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
        let uri = &self.common.endpoint.command;
        let reply = self
            .call(uri, Some(name), body, idempotent, progress)
            .await?;
        wire::read_one(&reply, self.common.options.base64, name)
    }

    pub(super) async fn several(
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
            .and_then(|reply| wire::read_many(&reply, self.common.options.base64, &names))
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
        let policy = &self.common.options.retry;
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
            .send(request, timeout, self.common.options.max_reply_bytes)
            .await?;
        if let Some(token) = reply
            .headers()
            .get(SYNC_TOKEN)
            .filter(|t| t.len() <= MAX_SYNC_TOKEN)
        {
            *self.common.sync_token() = Some(token.clone());
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
        *request.headers_mut() = self.common.endpoint.headers.clone();
        if let Some(token) = self.common.sync_token().as_ref() {
            request.headers_mut().insert(SYNC_TOKEN, token.clone());
        }
        request
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
