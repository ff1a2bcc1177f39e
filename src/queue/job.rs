//! One job to be added: what the script is given.

use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::{Timestamp, millis};
use crate::error::Error;
use crate::redis::Script;

use super::bullmq::{Bullmq, Kind};
use super::name::QueueName;
use super::options::JobOptions;

/// A job as its script adds it.
#[derive(Debug)]
pub struct Job {
    bullmq: Bullmq,
    kind: Kind,
    keys: Vec<String>,
    args: Vec<String>,
}

/// What a job is, before it is on its way.
#[derive(Debug)]
pub struct NamedJob<'a> {
    /// The job's name.
    pub name: &'a str,
    /// JSON, as `JSON.stringify` writes it.
    pub data: String,
    /// Its options.
    pub options: &'a JobOptions,
}

impl Job {
    /// A job that is added now, by a call that takes at most `call` with its repeats. `id` is used
    /// if its options name none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) if BullMQ would refuse it.
    pub fn new(
        queue: &QueueName,
        bullmq: Bullmq,
        job: NamedJob<'_>,
        id: String,
        now: Timestamp,
        call: Duration,
    ) -> Result<Self, Error> {
        let NamedJob {
            name,
            data,
            options,
        } = job;
        options.check(bullmq, &data)?;
        let kind = match options.number("delay").is_some_and(|delay| delay > 0.0) {
            true => Kind::Delayed,
            false if options.number("priority").is_some_and(|it| it > 0.0) => Kind::Prioritized,
            false => Kind::Standard,
        };
        let id = options.id().map_or(id, str::to_owned);
        let set = options.0.get("timestamp").and_then(Value::as_u64);
        let timestamp = set.filter(|ms| *ms > 0).unwrap_or(now.as_millis());
        let deduplication = options.deduplication_id();
        let deduplication = deduplication.map(|id| queue.key(&format!("de:{id}")));
        let nothing = Value::Null;
        let facts = json!([
            queue.before(),
            id,
            name,
            timestamp,
            nothing,
            nothing,
            nothing,
            nothing, // parent and schedulers
            deduplication,
        ]);
        let stored = Value::Object(options.stored(&id));
        Ok(Self {
            bullmq,
            kind,
            keys: kind.keys().iter().map(|name| queue.key(name)).collect(),
            args: vec![text(&facts), data, text(&stored), millis(call).to_string()],
        })
    }

    /// The script that adds it, which is [repeatable](Script::repeatable). It returns the id of the
    /// job that is there now: this one's, or that of one with the same deduplication id.
    pub fn script(&self) -> &'static Script {
        self.bullmq.script(self.kind)
    }

    /// The script's keys.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The script's arguments, but for the last, which tells repeats.
    pub const fn args(&self) -> &Vec<String> {
        &self.args
    }
}

/// Any value has a JSON form. `Display` would do the same with a serialiser of its own.
fn text(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
