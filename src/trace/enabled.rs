//! What is told with the feature `tracing`.

use std::time::Duration;

use tracing::field::Empty;
use tracing::instrument::Instrumented;
use tracing::{Instrument as _, Level, Span, enabled, info_span, warn};

use crate::error::{Error, is_command_name};

/// Work in the span of whoever it is for, also where a task does it.
pub(crate) fn in_current_span<F: Future>(work: F) -> Instrumented<F> {
    work.in_current_span()
}

/// A call of the store: one span, from before the first attempt to the last reply.
///
/// Its fields are those of OpenTelemetry's semantic conventions for calls of Redis, and under
/// `omnitrade_edge.` what these have no name for. `otel.` is what `tracing-opentelemetry` reads.
#[derive(Clone)]
pub(crate) struct StoreCall(Span);

impl StoreCall {
    /// A call of one command.
    pub(crate) fn command(name: &str) -> Self {
        Self::of(shown(name))
    }

    /// A call of the script with this digest.
    pub(crate) fn script(sha: &str) -> Self {
        let call = Self::of("EVALSHA");
        call.0.record("db.stored_procedure.name", sha);
        call
    }

    /// A call of several commands, which is `PIPELINE` or `MULTI`.
    pub(crate) fn several<'a>(together: &str, names: impl Iterator<Item = &'a str>) -> Self {
        if !enabled!(target: TARGET, Level::INFO) {
            return Self(Span::none());
        }
        let names: Vec<_> = names.map(shown).collect();
        let Some((first, rest)) = names.split_first() else {
            return Self::of(together);
        };
        if rest.is_empty() {
            return Self::of(first);
        }
        let call = match rest.iter().all(|name| name == first) {
            true => Self::of(&format!("{together} {first}")),
            false => Self::of(together),
        };
        call.0.record("db.operation.batch.size", names.len());
        call
    }

    fn of(operation: &str) -> Self {
        Self(info_span!(
            target: TARGET,
            "redis",
            otel.name = operation,
            otel.kind = "client",
            otel.status_code = Empty,
            db.system.name = "redis",
            db.operation.name = operation,
            db.operation.batch.size = Empty,
            db.stored_procedure.name = Empty,
            db.response.status_code = Empty,
            "error.type" = Empty,
            omnitrade_edge.attempts = Empty,
            omnitrade_edge.outcome = Empty,
            omnitrade_edge.may_have_run = Empty,
        ))
    }

    /// Does the work of the call within its span.
    pub(crate) fn within<F: Future>(&self, work: F) -> Instrumented<F> {
        work.instrument(self.0.clone())
    }

    /// The attempt of this number has failed, and after a wait another one follows.
    pub(crate) fn retried(&self, attempt: u32, error: &Error, wait: Duration) {
        warn!(
            target: TARGET,
            parent: &self.0,
            {
                "error.type" = error.code(),
                omnitrade_edge.attempt = attempt,
                omnitrade_edge.may_have_run = error.may_have_run(),
                omnitrade_edge.wait = wait.as_secs_f64(),
            },
            "the store failed and is asked again"
        );
    }

    /// The call is over, with a reply or with this error. The text of an error is not recorded: it
    /// may hold words of a message that a script has made.
    pub(crate) fn ended(&self, attempts: u32, error: Option<&Error>) {
        let Self(span) = self;
        span.record("omnitrade_edge.attempts", attempts);
        let Some(error) = error else {
            span.record("omnitrade_edge.outcome", "ok");
            return;
        };
        span.record("omnitrade_edge.outcome", error.code());
        span.record("omnitrade_edge.may_have_run", error.may_have_run());
        span.record("error.type", error.code());
        span.record("otel.status_code", "ERROR");
        let code = error.redis_code().filter(|code| CODES.contains(code));
        if let Some(code) = code {
            span.record("db.response.status_code", code);
        }
    }
}

/// There is a new connection to Redis.
#[cfg(all(not(target_arch = "wasm32"), feature = "redis-tcp"))]
pub(crate) fn connected() {
    tracing::info!(target: TARGET, "connected to Redis");
}

/// No connection could be made. The call that needs it tells that too.
#[cfg(all(not(target_arch = "wasm32"), feature = "redis-tcp"))]
pub(crate) fn not_connected(error: &Error) {
    tracing::debug!(target: TARGET, { "error.type" = error.code() }, "cannot connect to Redis");
}

/// The connection to Redis has ended.
#[cfg(all(not(target_arch = "wasm32"), feature = "redis-tcp"))]
pub(crate) fn connection_lost() {
    warn!(target: TARGET, "the connection to Redis is gone");
}

/// The name of a command; what cannot be one could be a secret in the wrong place.
fn shown(name: &str) -> &str {
    if is_command_name(name) { name } else { "OTHER" }
}

/// The target of spans and events, for filters.
const TARGET: &str = "omnitrade_edge::redis";

/// The codes of Redis's own errors that reject a command. A script can make up others.
const CODES: &[&str] = &[
    "BUSYGROUP",
    "BUSYKEY",
    "ERR",
    "EXECABORT",
    "INPROG",
    "NOGOODSLAVE",
    "NOGROUP",
    "NOPROTO",
    "NOSCRIPT",
    "NOTBUSY",
    "UNBLOCKED",
    "UNKILLABLE",
    "WRONGTYPE",
];
