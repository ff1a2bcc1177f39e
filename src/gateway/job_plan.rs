//! What job each request of a route becomes, as the configuration says it.

use crate::clock::millis;
use crate::config::{self, Backoff, Bullmq, Config, ConfigError, KeepJobs, Retry};
use crate::engine::job_id::Template;
use crate::queue::{self, Deduplication, Enqueue, JobOptions, Keep, QueueName};

/// What job a request of a route becomes, if it becomes one.
///
/// # Errors
///
/// None for a [`Config`] as it was read.
pub fn plan(config: &Config, route: &config::Route) -> Result<Option<Enqueue>, ConfigError> {
    let Some(enqueue) = &route.enqueue else {
        return Ok(None);
    };
    let wrong = |field: &str| ConfigError::of(field, "expected what the grammar describes");
    let queue = config.queues.get(&enqueue.queue);
    let queue = queue.ok_or_else(|| wrong("routes.enqueue.queue"))?;
    let template = |text: &str| Template::parse(text).ok_or_else(|| wrong("routes.enqueue.id"));
    let deduplication = enqueue.deduplication.as_ref().map(|shared| {
        let mut deduplication = Deduplication::new("");
        if let Some(ttl) = shared.ttl {
            deduplication = deduplication.ttl(ttl);
        }
        for (is_set, set) in [
            (shared.extend, Deduplication::extend as fn(_) -> _),
            (shared.replace, Deduplication::replace),
            (
                shared.keep_last_if_active,
                Deduplication::keep_last_if_active,
            ),
        ] {
            if is_set {
                deduplication = set(deduplication);
            }
        }
        Ok((template(&shared.id)?, deduplication))
    });
    Ok(Some(Enqueue {
        queue: QueueName::new(&queue.prefix, &queue.name).map_err(|_| wrong("queues.name"))?,
        bullmq: match queue.bullmq {
            Bullmq::Any => queue::Bullmq::Any,
            Bullmq::V5 => queue::Bullmq::V5,
            Bullmq::V6 => queue::Bullmq::V6,
        },
        job: enqueue.job.clone(),
        id: enqueue.id.as_deref().map(template).transpose()?,
        deduplication: deduplication.transpose()?,
        options: options(enqueue),
        longest_body: usize::try_from(enqueue.max_body).unwrap_or(usize::MAX),
    }))
}

fn options(enqueue: &config::Enqueue) -> JobOptions {
    let mut options = JobOptions::new();
    for (count, set) in [
        (enqueue.attempts, JobOptions::attempts as fn(_, _) -> _),
        (enqueue.priority, JobOptions::priority),
        (enqueue.keep_logs, JobOptions::keep_logs),
        (enqueue.stack_trace_limit, JobOptions::stack_trace_limit),
    ] {
        if let Some(count) = count {
            options = set(options, narrow(count));
        }
    }
    for (kept, set) in [
        (
            enqueue.remove_on_complete,
            JobOptions::remove_on_complete as fn(_, _) -> _,
        ),
        (enqueue.remove_on_fail, JobOptions::remove_on_fail),
    ] {
        if let Some(kept) = kept {
            options = set(options, keep(kept));
        }
    }
    if let Some(Backoff { retry, delay }) = enqueue.backoff {
        options = options.backoff(match retry {
            Retry::Fixed => queue::Backoff::fixed(delay),
            Retry::Exponential => queue::Backoff::exponential(delay),
        });
    }
    if let Some(delay) = enqueue.delay.filter(|delay| millis(*delay) > 0) {
        options = options.delay(delay);
    }
    match enqueue.lifo {
        true => options.lifo(true),
        false => options,
    }
}

fn keep(kept: KeepJobs) -> Keep {
    match kept {
        KeepJobs::All => Keep::All,
        KeepJobs::Nothing => Keep::Nothing,
        KeepJobs::Count(count) => Keep::Count(narrow(count)),
        KeepJobs::Age(age, None) => Keep::Age(narrow(age.as_secs())),
        KeepJobs::Age(age, Some(count)) => Keep::AgeAndCount {
            age: narrow(age.as_secs()),
            count: narrow(count),
        },
    }
}

/// The grammar allows no number that does not fit.
fn narrow(number: u64) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}
