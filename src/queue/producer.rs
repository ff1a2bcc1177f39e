//! A queue as programs see it, over a client of Redis.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::redis::{Client, FromValue};

use super::bulk::{self, NewJob};
use super::bullmq::Bullmq;
use super::counts::{self, Counts};
use super::data;
use super::id::new_id;
use super::job::{Job, NamedJob};
use super::name::{DEFAULT_PREFIX, QueueName};
use super::options::JobOptions;
use super::progress::{self, JobProgress};
use super::refusal::refused;

/// A queue of BullMQ's, to which jobs are added. BullMQ's workers run them.
///
/// It is cheap to clone, and clones are the same queue.
///
/// ```
/// # #[cfg(feature = "reqwest")]
/// # async fn example() -> Result<(), omnitrade_edge::error::Error> {
/// use std::time::Duration;
/// use omnitrade_edge::queue::{Backoff, JobOptions, Queue};
/// use omnitrade_edge::redis::{Options, RestClient};
/// use omnitrade_edge::shell::ReqwestTransport;
///
/// let options = Options::new("https://example.upstash.io", "token");
/// let redis = RestClient::new(ReqwestTransport::new()?, options)?;
/// let bots = Queue::new("trading-bots", redis)?;
///
/// let thrice = JobOptions::new()
///     .attempts(3)
///     .backoff(Backoff::fixed(Duration::from_secs(5)));
/// let order = serde_json::json!({ "side": "buy" });
/// let id = bots.add("run", &order, &thrice).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Queue {
    redis: Arc<dyn Client>,
    name: QueueName,
    bullmq: Bullmq,
    defaults: JobOptions,
}

impl Queue {
    /// The queue with this name, under BullMQ's prefix `bull`. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the name is empty or holds a colon.
    pub fn new(name: &str, redis: impl Client) -> Result<Self, Error> {
        Ok(Self {
            redis: Arc::new(redis),
            name: QueueName::new(DEFAULT_PREFIX, name)?,
            bullmq: Bullmq::default(),
            defaults: JobOptions::new(),
        })
    }

    /// The same queue under another prefix, as the workers have it.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.name = self.name.under(prefix);
        self
    }

    /// Sets which major versions of BullMQ work on the queue.
    #[must_use]
    pub const fn bullmq(mut self, bullmq: Bullmq) -> Self {
        self.bullmq = bullmq;
        self
    }

    /// Sets options that each job has, unless it sets them itself.
    #[must_use]
    pub fn default_job_options(mut self, options: JobOptions) -> Self {
        self.defaults = options;
        self
    }

    /// The queue's name.
    pub fn name(&self) -> &str {
        self.name.name()
    }

    /// Adds a job, in one call of the store. Returns the id of the job that is there now: that of
    /// `options`, or a new one; or that of a job with the same deduplication id.
    ///
    /// A call whose answer was lost is repeated within the client's deadline, and adds nothing then
    /// that it had added before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the data is no JSON or BullMQ would refuse an option, which the
    /// error names; nothing is sent then. Else those of [`Client::script`]. If
    /// [`Error::may_have_run`] is true, the job may have been added; with an id of its own the call
    /// can be made again.
    pub async fn add(
        &self,
        name: &str,
        data: &(impl Serialize + ?Sized),
        options: &JobOptions,
    ) -> Result<String, Error> {
        let job = self.job_of(name, json(data)?, options)?;
        let reply = self.redis.script(job.script(), job.keys(), job.args());
        String::from_value(reply.await?)
    }

    /// Adds a job whose data is JSON already.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub async fn add_json(
        &self,
        name: &str,
        json: &str,
        options: &JobOptions,
    ) -> Result<String, Error> {
        let data = data::compact(json).ok_or_else(|| refused("the data is not JSON"))?;
        let job = self.job_of(name, data, options)?;
        let reply = self.redis.script(job.script(), job.keys(), job.args());
        String::from_value(reply.await?)
    }

    /// Adds several jobs in one pipeline, in order. The results are in the order of the jobs, and
    /// are those of [`add`](Self::add); a job that fails does not stop the next one.
    ///
    /// What the store did not answer is sent again, as often as the default
    /// [`RetryPolicy`](crate::redis::RetryPolicy) says. The whole takes at most twice the client's
    /// deadline.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if one of the jobs would be refused by [`add`](Self::add). Nothing is
    /// sent then.
    pub async fn add_bulk(&self, jobs: &[NewJob]) -> Result<Vec<Result<String, Error>>, Error> {
        let jobs = jobs.iter().map(|job| {
            let (name, data, options) = job.parts();
            self.job_of(name, data.to_owned(), options)
        });
        let jobs: Vec<Job> = jobs.collect::<Result<_, _>>()?;
        Ok(bulk::add_all(&*self.redis, &jobs).await)
    }

    /// How many jobs there are in each state. It is one pipeline of nine commands.
    ///
    /// # Errors
    ///
    /// Those of [`Client::pipeline`] and of its commands.
    pub async fn counts(&self) -> Result<Counts, Error> {
        let replies = self.redis.pipeline(&counts::commands(&self.name)).await?;
        counts::read(replies)
    }

    /// How the job with this id fares, with the lines of its log after the first `log_lines`.
    /// `None` if there is no such job, or no longer. It is one pipeline of four commands.
    ///
    /// # Errors
    ///
    /// Those of [`Client::pipeline`] and of its commands.
    pub async fn job(&self, id: &str, log_lines: usize) -> Result<Option<JobProgress>, Error> {
        let commands = progress::commands(&self.name, id, log_lines);
        let replies = self.redis.pipeline(&commands).await?;
        progress::read(replies)
    }

    fn job_of(&self, name: &str, data: String, options: &JobOptions) -> Result<Job, Error> {
        let now = self.redis.now();
        let job = NamedJob {
            name,
            data,
            options: &options.over(&self.defaults),
        };
        let id = new_id(now, || self.redis.random());
        let longest_call = self.redis.timeout().saturating_mul(2);
        Job::new(&self.name, self.bullmq, job, id, now, longest_call)
    }
}

/// Shows the queue's name and settings.
impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("name", &self.name())
            .field("bullmq", &self.bullmq)
            .finish_non_exhaustive()
    }
}

/// The data as JSON.
fn json(data: &(impl Serialize + ?Sized)) -> Result<String, Error> {
    serde_json::to_string(data).map_err(|_| refused("the data cannot be written as JSON"))
}
