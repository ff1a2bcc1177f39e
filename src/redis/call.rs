//! One call on its way: a bounded number of attempts until its deadline, over whatever it goes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::command::Command;
use super::failure;
use super::retry::{Deadline, Progress, RetryPolicy};
use super::script::{Script, Source};
use super::value::Value;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind};
use crate::trace::StoreCall;

/// What the calls of one client have in common.
pub(super) struct Common {
    pub(super) timeout: Duration,
    pub(super) retry: RetryPolicy,
    /// Whether the store has refused the locking variant of a script.
    refuses_locking: AtomicBool,
}

/// How commands are run together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Together {
    /// One after the other, whatever other clients do in between.
    Pipeline,
    /// As one transaction.
    Transaction,
}

/// How a script is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Digest,
    Source,
}

/// How the store is reached: what a request is made of, and one attempt to have it answered.
pub(super) trait Exchange {
    /// A request, which may be sent several times.
    type Request;
    type Reply;
    /// The keys and arguments of a script.
    type Call;

    fn command(&self, command: &Command) -> Self::Request;

    fn several(&self, commands: &[Command], together: Together) -> Self::Request;

    /// `is_repeat` says that an earlier attempt of the call may have run.
    fn script(&self, call: &Self::Call, source: &Source, by: By, is_repeat: bool) -> Self::Request;

    /// Sends a request and waits for its reply, for as long as there is time. `name` is the name of
    /// the command, if the request holds only one.
    async fn attempt(
        &self,
        request: &Self::Request,
        name: Option<&str>,
        left: Duration,
    ) -> Result<Self::Reply, Error>;

    /// Reads the reply to the command with this name.
    fn read_one(&self, reply: Self::Reply, name: &str) -> Result<Value, Error>;

    /// Reads the reply to several commands: a value or an error for each.
    fn read_several(
        &self,
        reply: Self::Reply,
        commands: &[Command],
        together: Together,
    ) -> Result<Vec<Result<Value, Error>>, Error>;

    fn now(&self) -> Timestamp;

    async fn sleep(&self, duration: Duration);

    /// A uniformly distributed number in `[0, 1)`.
    fn random(&self) -> f64;
}

/// Makes calls over an [`Exchange`].
pub(super) struct Caller<'a, X> {
    pub(super) common: &'a Common,
    pub(super) exchange: X,
}

impl Common {
    pub(super) fn new(timeout: Duration, retry: RetryPolicy) -> Self {
        Self {
            timeout,
            retry,
            refuses_locking: AtomicBool::default(),
        }
    }

    /// For a store that is known to refuse the locking variant of scripts.
    #[cfg(all(not(target_arch = "wasm32"), feature = "redis-tcp"))]
    pub(super) fn without_locking(self) -> Self {
        self.refuses_locking.store(true, Ordering::Relaxed);
        self
    }
}

impl<X: Exchange> Caller<'_, X> {
    pub(super) async fn command(&self, command: &Command) -> Result<Value, Error> {
        let call = StoreCall::command(command.name());
        let mut progress = self.progress(&call);
        let request = |_| self.exchange.command(command);
        let idempotent = command.is_idempotent();
        let reply = self.single(command.name(), request, idempotent, &mut progress);
        let reply = call.within(reply).await;
        progress.ended(reply)
    }

    pub(super) async fn script(&self, script: &Script, args: &X::Call) -> Result<Value, Error> {
        let call = StoreCall::script(script.sha());
        let mut progress = self.progress(&call);
        let reply = self.either_variant(script, args, &mut progress);
        let reply = call.within(reply).await;
        progress.ended(reply)
    }

    /// Without commands nothing is sent.
    pub(super) async fn several(
        &self,
        commands: &[Command],
        together: Together,
    ) -> Result<Vec<Result<Value, Error>>, Error> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let names = commands.iter().map(Command::name);
        let call = match together {
            Together::Pipeline => StoreCall::several("PIPELINE", names),
            Together::Transaction => StoreCall::several("MULTI", names),
        };
        let mut progress = self.progress(&call);
        let request = |_| self.exchange.several(commands, together);
        let idempotent = commands.iter().all(Command::is_idempotent);
        let reply = self.attempts(None, request, idempotent, &mut progress);
        let reply = call.within(reply).await;
        let reply = reply.and_then(|reply| self.exchange.read_several(reply, commands, together));
        progress.ended(reply)
    }

    fn progress(&self, call: &StoreCall) -> Progress {
        let deadline = Deadline::new(self.exchange.now(), self.common.timeout);
        Progress::new(deadline, call.clone())
    }

    async fn either_variant(
        &self,
        script: &Script,
        call: &X::Call,
        progress: &mut Progress,
    ) -> Result<Value, Error> {
        let repeatable = script.is_repeatable();
        if let Some(locking) = script
            .locking()
            .filter(|_| !self.common.refuses_locking.load(Ordering::Relaxed))
        {
            match self.variant(locking, repeatable, call, progress).await {
                Err(error) if failure::is_first_line_refusal(&error) => {
                    self.common.refuses_locking.store(true, Ordering::Relaxed);
                }
                reply => return reply,
            }
        }
        let plain = script.plain();
        self.variant(plain, repeatable, call, progress).await
    }

    async fn variant(
        &self,
        source: &Source,
        repeatable: bool,
        call: &X::Call,
        progress: &mut Progress,
    ) -> Result<Value, Error> {
        let named = |by| move |is_repeat| self.exchange.script(call, source, by, is_repeat);
        let by_digest = self.single("EVALSHA", named(By::Digest), repeatable, progress);
        match by_digest.await {
            Err(error) if is_unknown_script(&error) => {
                let by_source = self.single("EVAL", named(By::Source), repeatable, progress);
                by_source.await
            }
            reply => reply,
        }
    }

    async fn single(
        &self,
        name: &str,
        request: impl Fn(bool) -> X::Request,
        idempotent: bool,
        progress: &mut Progress,
    ) -> Result<Value, Error> {
        let reply = self.attempts(Some(name), request, idempotent, progress);
        self.exchange.read_one(reply.await?, name)
    }

    /// Sends a request until it is answered, no retry is safe, or the deadline has passed. `name`
    /// is the name of the command, if the request holds only one.
    ///
    /// `request` makes the request, given whether an earlier attempt of the call may have run. It
    /// is called again only if that changes, so that no attempt copies a request needlessly.
    ///
    /// The error is that of the last attempt alone; `progress` records the earlier ones.
    async fn attempts(
        &self,
        name: Option<&str>,
        request: impl Fn(bool) -> X::Request,
        idempotent: bool,
        progress: &mut Progress,
    ) -> Result<X::Reply, Error> {
        let policy = &self.common.retry;
        let deadline = progress.deadline;
        let mut retry = 0;
        let mut last: Option<Error> = None;
        let mut is_repeat = progress.may_have_run;
        let mut sent = request(is_repeat);
        loop {
            let Some(left) = deadline.left(self.exchange.now()) else {
                return Err(last.unwrap_or_else(|| {
                    Error::new(
                        ErrorKind::Timeout,
                        false,
                        "the deadline passed before it was sent",
                    )
                }));
            };
            progress.attempts += 1;
            let error = match self.exchange.attempt(&sent, name, left).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            progress.may_have_run |= error.may_have_run();
            if retry >= policy.retries || !error.retry_is_safe(idempotent) {
                return Err(error);
            }
            let wait = policy.wait(retry, self.exchange.random());
            // A wait that leaves no time for another attempt is pointless.
            if deadline
                .left(self.exchange.now())
                .is_none_or(|left| left <= wait)
            {
                return Err(error);
            }
            progress.call.retried(progress.attempts, &error, wait);
            self.exchange.sleep(wait).await;
            last = Some(error);
            retry += 1;
            if progress.may_have_run && !is_repeat {
                is_repeat = true;
                sent = request(is_repeat);
            }
        }
    }
}

/// The store has no script with that digest, so it has run nothing.
fn is_unknown_script(error: &Error) -> bool {
    error.redis_code() == Some(failure::NO_SCRIPT) && !error.may_have_run()
}
