//! Several jobs in one pipeline.

use serde::Serialize;

use crate::error::Error;
use crate::redis::{Client, Command, FromValue, RetryPolicy};

use super::data;
use super::job::Job;
use super::options::JobOptions;
use super::refusal::refused;

/// A job for [`Queue::add_bulk`](super::Queue::add_bulk).
#[derive(Debug, Clone)]
pub struct NewJob {
    name: String,
    data: String,
    options: JobOptions,
}

impl NewJob {
    /// A job with this name and data, without options.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) if the data cannot be written as
    /// JSON.
    pub fn new(name: &str, data: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        let data = serde_json::to_string(data);
        Ok(Self {
            name: name.to_owned(),
            data: data.map_err(|_| refused("the data cannot be written as JSON"))?,
            options: JobOptions::new(),
        })
    }

    /// A job whose data is JSON already.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) if it is not.
    pub fn from_json(name: &str, json: &str) -> Result<Self, Error> {
        Ok(Self {
            name: name.to_owned(),
            data: data::compact(json).ok_or_else(|| refused("the data is not JSON"))?,
            options: JobOptions::new(),
        })
    }

    /// The same job with these options.
    #[must_use]
    pub fn options(mut self, options: JobOptions) -> Self {
        self.options = options;
        self
    }

    pub(super) fn parts(&self) -> (&str, &str, &JobOptions) {
        (&self.name, &self.data, &self.options)
    }
}

/// Adds the jobs. What the store did not answer is sent again, as long as that is of use.
pub(super) async fn add_all(redis: &dyn Client, jobs: &[Job]) -> Vec<Result<String, Error>> {
    let policy = RetryPolicy::default();
    let (start, longest) = (redis.now(), redis.timeout());
    let mut results: Vec<Option<Result<String, Error>>> = jobs.iter().map(|_| None).collect();
    // Which scripts the store does not know yet, whether an attempt may have run, and how many
    // attempts have failed.
    let (mut unknown, mut is_repeat, mut failures) = (Vec::new(), false, 0);
    loop {
        let open: Vec<usize> = (0..jobs.len())
            .filter(|at| results.get(*at).is_some_and(Option::is_none))
            .collect();
        let wanted = open.iter().filter_map(|at| jobs.get(*at));
        let commands: Vec<Command> = commands(wanted, &mut unknown, is_repeat);
        let replies = match redis.pipeline(&commands).await {
            Ok(replies) => replies,
            Err(error) => open.iter().map(|_| Err(error.clone())).collect(),
        };
        let may_try = failures < policy.retries && redis.now().since(start) < longest;
        let mut failed = false;
        for (at, reply) in open.into_iter().zip(replies) {
            let result = match reply.and_then(String::from_value) {
                Err(error) if error.redis_code() == Some("NOSCRIPT") && may_try => {
                    unknown.extend(jobs.get(at).map(|job| job.script().sha()));
                    continue;
                }
                Err(error) if error.retry_is_safe(true) && may_try => {
                    is_repeat |= error.may_have_run();
                    failed = true;
                    continue;
                }
                result => result,
            };
            if let Some(slot) = results.get_mut(at) {
                *slot = Some(result);
            }
        }
        if results.iter().all(Option::is_some) {
            return results.into_iter().flatten().collect();
        }
        if failed {
            redis.sleep(policy.wait(failures, redis.random())).await;
        }
        failures += 1;
    }
}

/// A command for each job. The first of each script that the store does not know sends its source.
fn commands<'a>(
    jobs: impl Iterator<Item = &'a Job>,
    unknown: &mut Vec<&'static str>,
    is_repeat: bool,
) -> Vec<Command> {
    let commands = jobs.map(|job| {
        let script = job.script();
        let is_unknown = unknown.contains(&script.sha());
        unknown.retain(|sha| *sha != script.sha());
        let command = match is_unknown {
            true => Command::new("EVAL").arg(script.lua()),
            false => Command::new("EVALSHA").arg(script.sha()),
        };
        let keys = command.arg(job.keys().len() as u64).args(job.keys());
        keys.args(job.args()).arg(if is_repeat { "1" } else { "0" })
    });
    commands.collect()
}
