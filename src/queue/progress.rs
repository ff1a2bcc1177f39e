//! How one job fares.

use crate::clock::Timestamp;
use crate::error::Error;
use crate::redis::{Command, FromValue, Value};

use super::name::QueueName;

/// How one job fares.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobProgress {
    /// Where it is.
    pub state: JobState,
    /// Its name.
    pub name: String,
    /// What the worker last told of its progress, as JSON.
    pub progress: Option<String>,
    /// How many attempts have ended.
    pub attempts_made: u64,
    /// When it was made.
    pub timestamp: Timestamp,
    /// When it was last taken by a worker.
    pub processed_on: Option<Timestamp>,
    /// When it ended for good.
    pub finished_on: Option<Timestamp>,
    /// What it returned, as JSON.
    pub return_value: Option<String>,
    /// Why its last failed attempt failed.
    pub failed_reason: Option<String>,
    /// The lines of its log that were asked for.
    pub log: Vec<String>,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobState {
    /// It can run, or could if the queue were not paused.
    Waiting,
    /// Its time has not come.
    Delayed,
    /// A worker runs it.
    Active,
    /// It is done.
    Completed,
    /// It has failed for good.
    Failed,
}

impl JobState {
    /// The state in one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delayed => "delayed",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing more happens to the job by itself.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

const FIELDS: [&str; 9] = [
    "name",
    "progress",
    "atm",
    "attemptsMade",
    "timestamp",
    "processedOn",
    "finishedOn",
    "returnvalue",
    "failedReason",
];

pub(super) fn commands(queue: &QueueName, id: &str, log_lines: usize) -> Vec<Command> {
    let key = queue.key(id);
    vec![
        Command::new("HMGET").arg(&key).args(FIELDS),
        Command::new("LPOS").arg(&queue.key("active")).arg(id),
        Command::new("ZSCORE").arg(&queue.key("delayed")).arg(id),
        Command::new("LRANGE")
            .arg(&format!("{key}:logs"))
            .arg(log_lines as u64)
            .arg(-1),
    ]
}

pub(super) fn read(replies: Vec<Result<Value, Error>>) -> Result<Option<JobProgress>, Error> {
    let mut replies = replies.into_iter();
    let mut next = || replies.next().unwrap_or(Ok(Value::Null));
    let fields: Vec<Option<String>> = FromValue::from_value(next()?)?;
    // A Redis before 6.0.6 does not know LPOS.
    let is_active = next().is_ok_and(|place| place != Value::Null);
    let is_delayed = next()? != Value::Null;
    let log: Vec<String> = FromValue::from_value(next()?)?;

    let mut fields = fields.into_iter();
    let mut field = || fields.next().flatten();
    let Some(name) = field() else {
        return Ok(None);
    };
    let progress = field();
    let (made, made_before) = (field(), field());
    let time = |text: Option<String>| text?.parse().ok().map(Timestamp::from_millis);
    let (timestamp, processed_on, finished_on) = (time(field()), time(field()), time(field()));
    let (return_value, failed_reason) = (field(), field());
    let state = match (finished_on, &return_value) {
        (Some(_), Some(_)) => JobState::Completed,
        (Some(_), None) => JobState::Failed,
        (None, _) if is_active => JobState::Active,
        (None, _) if is_delayed => JobState::Delayed,
        (None, _) => JobState::Waiting,
    };
    Ok(Some(JobProgress {
        state,
        name,
        progress,
        attempts_made: made
            .or(made_before)
            .and_then(|it| it.parse().ok())
            .unwrap_or(0),
        timestamp: timestamp.unwrap_or_default(),
        processed_on,
        finished_on,
        return_value,
        failed_reason,
        log,
    }))
}
