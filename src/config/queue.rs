//! Queues of jobs, and what job a request becomes.

use std::time::Duration;

use serde_json::Value;

use super::read::{Misread, Read, field, tables, words};
use super::size::parse_size;

/// A queue of BullMQ.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Queue {
    /// Its name, as its workers have it.
    pub name: String,
    /// The prefix of its keys.
    pub prefix: String,
    /// Which major versions of BullMQ work on it.
    pub bullmq: Bullmq,
}

/// Which major versions of BullMQ work on a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bullmq {
    /// 5, 6, or both.
    Any,
    /// Only 5.
    V5,
    /// Only 6.
    V6,
}

/// What job a request becomes. What is absent has BullMQ's default.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enqueue {
    /// The queue, by its name in [`Config::queues`](super::Config::queues).
    pub queue: String,
    /// The job's name.
    pub job: String,
    /// Of what parts of the request its id is made; if absent, it gets a new one.
    pub id: Option<String>,
    /// How often it is tried.
    pub attempts: Option<u64>,
    /// How long to wait before it is tried again.
    pub backoff: Option<Backoff>,
    /// How long it waits before it can run.
    pub delay: Option<Duration>,
    /// Its priority, from 1, which runs first, to 2,097,151; 0 is none.
    pub priority: Option<u64>,
    /// Whether it is the next to run.
    pub lifo: bool,
    /// Which jobs are one.
    pub deduplication: Option<Deduplication>,
    /// Which completed jobs are kept.
    pub remove_on_complete: Option<KeepJobs>,
    /// Which failed jobs are kept.
    pub remove_on_fail: Option<KeepJobs>,
    /// How many lines of its log are kept.
    pub keep_logs: Option<u64>,
    /// How many lines of a stack trace are kept.
    pub stack_trace_limit: Option<u64>,
    /// The longest body, in bytes.
    pub max_body: u64,
}

/// How long to wait before a job is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// How the time grows.
    pub retry: Retry,
    /// The time before the first further attempt.
    pub delay: Duration,
}

/// How the time between two attempts grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// It stays.
    Fixed,
    /// It doubles.
    Exponential,
}

/// Which jobs are one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deduplication {
    /// Of what parts of the request the id is made that they share.
    pub id: String,
    /// For how long; if absent, until the first of them is finished.
    pub ttl: Option<Duration>,
    /// Whether the time begins anew with each further job.
    pub extend: bool,
    /// Whether a further job replaces the first, if that is still delayed.
    pub replace: bool,
    /// Whether the last of the jobs that come while the first one runs follows it.
    pub keep_last_if_active: bool,
}

/// Which finished jobs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeepJobs {
    /// All.
    All,
    /// None.
    Nothing,
    /// The newest, so many of them.
    Count(u64),
    /// Those that finished within this time, and at most so many of them.
    Age(Duration, Option<u64>),
}

/// The methods that a route claims: if it names none and its requests become jobs, `POST`.
pub(super) fn methods(route: &Value, misread: &Misread) -> Option<Vec<String>> {
    let named: Option<Vec<String>> = field(route, "methods", misread);
    named.or_else(|| (!route["enqueue"].is_null()).then(|| vec!["POST".to_owned()]))
}

tables! {
    Queue { name, prefix, bullmq }
    Deduplication { id, ttl, extend, replace, keep_last_if_active }
}

words! {
    Retry { "fixed": Fixed, "exponential": Exponential }
}

impl Read for Enqueue {
    fn read(value: &Value, misread: &Misread) -> Self {
        Self {
            queue: field(value, "queue", misread),
            job: field(value, "job", misread),
            id: field(value, "id", misread),
            attempts: field(value, "attempts", misread),
            backoff: field(value, "backoff", misread),
            delay: field(value, "delay", misread),
            priority: field(value, "priority", misread),
            lifo: field(value, "lifo", misread),
            deduplication: field(value, "deduplication", misread),
            remove_on_complete: field(value, "remove_on_complete", misread),
            remove_on_fail: field(value, "remove_on_fail", misread),
            keep_logs: field(value, "keep_logs", misread),
            stack_trace_limit: field(value, "stack_trace_limit", misread),
            max_body: misread.unless(value["max_body"].as_str().and_then(parse_size)),
        }
    }
}

impl Read for Backoff {
    fn read(value: &Value, misread: &Misread) -> Self {
        Self {
            retry: field(value, "type", misread),
            delay: field(value, "delay", misread),
        }
    }
}

impl Read for Bullmq {
    fn read(value: &Value, misread: &Misread) -> Self {
        match (value.as_str(), value.as_u64()) {
            (Some("any"), _) => Self::Any,
            (_, Some(5)) => Self::V5,
            (_, Some(6)) => Self::V6,
            _ => misread.instead(Self::Any),
        }
    }
}

impl Read for KeepJobs {
    fn read(value: &Value, misread: &Misread) -> Self {
        match value {
            Value::Bool(false) => Self::All,
            Value::Bool(true) => Self::Nothing,
            Value::Number(_) => Self::Count(Read::read(value, misread)),
            _ => Self::Age(field(value, "age", misread), field(value, "count", misread)),
        }
    }
}
