//! The options of a job, by BullMQ's names and in its form.

use std::time::Duration;

use serde_json::{Map, Number, Value};

use crate::clock::{Timestamp, millis};
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;

use super::bullmq::Bullmq;
use super::id;
use super::option_names;
use super::refusal::{expected, refused};

/// The options of a job, as BullMQ's `Queue.add` takes them. What is not set has BullMQ's default.
///
/// They can also be read from JSON with BullMQ's names. An option that BullMQ does not have is an
/// error, and so are those of flows and schedulers.
///
/// ```
/// use std::time::Duration;
/// use omnitrade_edge::queue::{Backoff, JobOptions, Keep};
///
/// let options = JobOptions::new()
///     .attempts(3)
///     .backoff(Backoff::exponential(Duration::from_secs(1)))
///     .remove_on_complete(Keep::Count(1_000));
/// let json = r#"{
///     "attempts": 3,
///     "backoff": { "type": "exponential", "delay": 1000 },
///     "removeOnComplete": 1000
/// }"#;
/// assert_eq!(json.parse::<JobOptions>()?, options);
///
/// let error = r#"{ "repeat": { "every": 1000 } }"#.parse::<JobOptions>().unwrap_err();
/// assert!(error.to_string().contains("`repeat` belongs to schedulers"));
/// # Ok::<(), omnitrade_edge::error::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobOptions(pub(super) Map<String, Value>);

/// How long BullMQ waits before it tries a failed job again.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff(Map<String, Value>);

/// Which finished jobs BullMQ keeps. It looks after them whenever a job finishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keep {
    /// All: BullMQ's default.
    All,
    /// None.
    Nothing,
    /// The newest, so many of them.
    Count(u32),
    /// Those that finished within so many seconds.
    Age(u32),
    /// Those that finished within so many seconds, but at most so many.
    AgeAndCount {
        /// In seconds.
        age: u32,
        /// How many.
        count: u32,
    },
}

/// Jobs with the same id are one job, for as long as the first of them waits or runs, or for a
/// time.
#[derive(Debug, Clone, PartialEq)]
pub struct Deduplication(Map<String, Value>);

impl JobOptions {
    /// No option is set.
    pub fn new() -> Self {
        Self::default()
    }

    /// How often the job is tried until it completes (`attempts`).
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Self {
        self.with("attempts", attempts)
    }

    /// How long to wait before the next attempt (`backoff`).
    #[must_use]
    pub fn backoff(self, backoff: Backoff) -> Self {
        self.with("backoff", backoff.0)
    }

    /// Jobs that count as one (`deduplication`).
    #[must_use]
    pub fn deduplication(self, deduplication: Deduplication) -> Self {
        self.with("deduplication", deduplication.0)
    }

    /// The job waits for so long before it can run, in whole milliseconds (`delay`).
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        self.with("delay", millis(delay))
    }

    /// The job's id (`jobId`). If there is a job with this id, nothing is added.
    #[must_use]
    pub fn job_id(self, id: &str) -> Self {
        self.with("jobId", id)
    }

    /// How many lines of the job's log are kept (`keepLogs`).
    #[must_use]
    pub fn keep_logs(self, lines: u32) -> Self {
        self.with("keepLogs", lines)
    }

    /// The job is the next to run, not the last (`lifo`).
    #[must_use]
    pub fn lifo(self, lifo: bool) -> Self {
        self.with("lifo", lifo)
    }

    /// From 1, which runs first, to 2,097,151 (`priority`). 0 is none: such jobs run before those
    /// with a priority.
    #[must_use]
    pub fn priority(self, priority: u32) -> Self {
        self.with("priority", priority)
    }

    /// Which completed jobs are kept (`removeOnComplete`).
    #[must_use]
    pub fn remove_on_complete(self, keep: Keep) -> Self {
        self.with("removeOnComplete", keep.json())
    }

    /// Which failed jobs are kept (`removeOnFail`).
    #[must_use]
    pub fn remove_on_fail(self, keep: Keep) -> Self {
        self.with("removeOnFail", keep.json())
    }

    /// The longest that the data may be as JSON, in bytes (`sizeLimit`).
    #[must_use]
    pub fn size_limit(self, bytes: u32) -> Self {
        self.with("sizeLimit", bytes)
    }

    /// How many lines of a stack trace are kept (`stackTraceLimit`).
    #[must_use]
    pub fn stack_trace_limit(self, lines: u32) -> Self {
        self.with("stackTraceLimit", lines)
    }

    /// When the job was made (`timestamp`), if not now. A delay counts from there.
    #[must_use]
    pub fn timestamp(self, timestamp: Timestamp) -> Self {
        self.with("timestamp", timestamp.as_millis())
    }

    /// These options, and those of `defaults` that are not set here, but for the job's id.
    pub(super) fn over(&self, defaults: &Self) -> Self {
        let mut all = defaults.0.clone();
        all.remove("jobId");
        all.extend(
            self.0
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Self(all)
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.0.get("jobId")?.as_str()
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.as_f64()
    }

    pub(super) fn deduplication_id(&self) -> Option<&str> {
        self.0.get("deduplication")?.get("id")?.as_str()
    }

    /// Checks what BullMQ checks when a job is added.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], which names the option.
    pub(super) fn check(&self, bullmq: Bullmq, data: &str) -> Result<(), Error> {
        if let Some(Err(wrong)) = self.id().map(id::check) {
            return Err(expected("jobId", wrong.expected()));
        }
        if self
            .number("priority")
            .is_some_and(|priority| priority > MOST_PRIORITY)
        {
            return Err(expected("priority", "an integer from 0 to 2097151"));
        }
        let jitter = self
            .0
            .get("backoff")
            .and_then(|backoff| backoff.get("jitter"));
        if let Some(jitter) = jitter.and_then(Value::as_f64)
            && !(0.0..=1.0).contains(&jitter)
        {
            return Err(expected("backoff.jitter", "a number from 0 to 1"));
        }
        if self.0.contains_key("deduplication") && self.deduplication_id().is_none_or(str::is_empty)
        {
            return Err(expected("deduplication.id", "a text that is not empty"));
        }
        let deduplication = self.0.get("deduplication");
        let reschedules = deduplication.and_then(|it| it.get("reschedule")) == Some(&true.into());
        if reschedules && bullmq != Bullmq::V6 {
            return Err(refused(
                "`deduplication.reschedule` needs BullMQ 6: Bullmq::V6",
            ));
        }
        let limit = self.number("sizeLimit").filter(|limit| *limit > 0.0);
        if limit.is_some_and(|limit| data.len() as f64 > limit) {
            return Err(refused("the data is longer than `sizeLimit`"));
        }
        Ok(())
    }

    /// The options as BullMQ stores them, of a job with this id.
    pub(super) fn stored(&self, id: &str) -> Map<String, Value> {
        let mut stored = Map::new();
        stored.insert("attempts".into(), 0.into());
        for (name, value) in &self.0 {
            match (name.as_str(), value) {
                ("backoff", Value::Number(delay)) => {
                    let fixed = map([("type", "fixed".into()), ("delay", delay.clone().into())]);
                    stored.insert("backoff".into(), fixed.into());
                }
                ("deduplication", value) => drop(stored.insert("de".into(), value.clone())),
                ("keepLogs", value) => drop(stored.insert("kl".into(), value.clone())),
                ("telemetry", Value::Object(telemetry)) => {
                    for (name, short) in [("metadata", "tm"), ("omitContext", "omc")] {
                        if let Some(value) = telemetry.get(name) {
                            stored.insert(short.into(), value.clone());
                        }
                    }
                }
                (name, value) => drop(stored.insert(name.to_owned(), value.clone())),
            }
        }
        stored.insert("jobId".into(), id.into());
        stored
    }
}

impl std::str::FromStr for JobOptions {
    type Err = Error;

    /// Reads a JSON object with BullMQ's names.
    fn from_str(json: &str) -> Result<Self, Error> {
        let options: Map<String, Value> =
            serde_json::from_str(json).map_err(|_| refused("the options are no JSON object"))?;
        option_names::known(options).map(Self)
    }
}

impl Backoff {
    /// The same time before each attempt.
    pub fn fixed(delay: Duration) -> Self {
        Self::of("fixed", Some(delay))
    }

    /// Twice as long before each further attempt.
    pub fn exponential(delay: Duration) -> Self {
        Self::of("exponential", Some(delay))
    }

    /// A strategy of this name, which the workers have in their settings.
    pub fn custom(name: &str) -> Self {
        Self::of(name, None)
    }

    /// How much of the delay is left to chance, from 0 to 1.
    #[must_use]
    pub fn jitter(mut self, jitter: f64) -> Self {
        // What is no number is refused where the job is added.
        let jitter = Number::from_f64(jitter).unwrap_or_else(|| (-1).into());
        self.0.insert("jitter".into(), jitter.into());
        self
    }

    fn of(name: &str, delay: Option<Duration>) -> Self {
        let mut backoff = map([("type", name.into())]);
        if let Some(delay) = delay {
            backoff.insert("delay".to_owned(), millis(delay).into());
        }
        Self(backoff)
    }
}

impl Keep {
    fn json(self) -> Value {
        match self {
            Self::All => false.into(),
            Self::Nothing => true.into(),
            Self::Count(count) => count.into(),
            Self::Age(age) => map([("age", age.into())]).into(),
            Self::AgeAndCount { age, count } => {
                map([("age", age.into()), ("count", count.into())]).into()
            }
        }
    }
}

impl Deduplication {
    /// Jobs with this id are one job, for as long as the first of them is not finished.
    pub fn new(id: &str) -> Self {
        Self(map([("id", id.into())]))
    }

    /// They are one for this time only, in whole milliseconds (`ttl`).
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        self.with("ttl", millis(ttl))
    }

    /// The time begins anew with each further job (`extend`).
    #[must_use]
    pub fn extend(self) -> Self {
        self.with("extend", true)
    }

    /// A further job replaces the first, if that is still delayed (`replace`).
    #[must_use]
    pub fn replace(self) -> Self {
        self.with("replace", true)
    }

    /// Of the jobs that come while the first one runs, the last follows it (`keepLastIfActive`).
    #[must_use]
    pub fn keep_last_if_active(self) -> Self {
        self.with("keepLastIfActive", true)
    }

    /// The same with another id.
    pub(super) fn called(&self, id: &str) -> Self {
        self.clone().with("id", id)
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }
}

/// A map with these fields. Collecting them would sort them first, with 10 kB of code.
fn map<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    let mut map = Map::new();
    for (name, value) in fields {
        map.insert(name.to_owned(), value);
    }
    map
}

/// The greatest priority of BullMQ.
const MOST_PRIORITY: f64 = 2_097_151.0;
