//! Queues, and what jobs requests become, in words.

use std::fmt::Write as _;

use omnitrade_edge::config::{
    Bullmq, Enqueue, KeepJobs, Queue, Retry, format_duration, format_size,
};

use super::UNDESCRIBED;

/// A queue of BullMQ.
pub fn describe_queue(queue: &Queue) -> String {
    let workers = match queue.bullmq {
        Bullmq::Any => "5 and 6",
        Bullmq::V5 => "5",
        Bullmq::V6 => "6 alone (one of 5 would lose jobs that come while it is paused)",
        _ => UNDESCRIBED,
    };
    let Queue { name, prefix, .. } = queue;
    format!("{name}, keys {prefix}:{name}:…, for workers of BullMQ {workers}")
}

/// What job a request becomes.
pub fn describe_enqueue(enqueue: &Enqueue) -> String {
    let Enqueue { queue, job, .. } = enqueue;
    let mut text = format!("becomes a job {job} of queue {queue}");
    match &enqueue.id {
        Some(id) => text.push_str(&format!(", its id {id}")),
        None => text.push_str(", its id a new one"),
    }
    let body = format_size(enqueue.max_body);
    let _ = write!(text, ", of at most {body} of JSON");
    if let Some(attempts) = enqueue.attempts {
        let _ = write!(text, ", tried {attempts} times");
    }
    if let Some(backoff) = enqueue.backoff {
        let delay = format_duration(backoff.delay);
        let grows = match backoff.retry {
            Retry::Fixed => "",
            Retry::Exponential => ", each further time twice as long",
            _ => UNDESCRIBED,
        };
        let _ = write!(text, " after {delay}{grows}");
    }
    if let Some(delay) = enqueue.delay.filter(|delay| !delay.is_zero()) {
        let _ = write!(text, ", not before {}", format_duration(delay));
    }
    if let Some(priority) = enqueue.priority.filter(|priority| *priority > 0) {
        let _ = write!(text, ", with priority {priority}");
    }
    if enqueue.lifo {
        text.push_str(", as the next to run");
    }
    if let Some(shared) = &enqueue.deduplication {
        let _ = write!(text, ", one with others of {}", shared.id);
        match shared.ttl {
            Some(ttl) => text.push_str(&format!(" for {}", format_duration(ttl))),
            None => text.push_str(" until it is finished"),
        }
        for (is_set, what) in [
            (shared.extend, ", each begins the time anew"),
            (shared.replace, ", each replaces one that is delayed"),
            (
                shared.keep_last_if_active,
                ", the last follows one that runs",
            ),
        ] {
            text.push_str(if is_set { what } else { "" });
        }
    }
    for (kept, what) in [
        (enqueue.remove_on_complete, "completed"),
        (enqueue.remove_on_fail, "failed"),
    ] {
        let _ = match kept {
            None | Some(KeepJobs::All) => Ok(()),
            Some(KeepJobs::Nothing) => write!(text, ", removed when {what}"),
            Some(KeepJobs::Count(count)) => write!(text, ", {count} kept when {what}"),
            Some(KeepJobs::Age(age, count)) => {
                let most = count
                    .map(|count| format!(", at most {count},"))
                    .unwrap_or_default();
                write!(
                    text,
                    ", for {}{most} kept when {what}",
                    format_duration(age)
                )
            }
            Some(_) => write!(text, "{UNDESCRIBED}"),
        };
    }
    for (limit, what) in [
        (enqueue.keep_logs, "lines of log"),
        (enqueue.stack_trace_limit, "lines of a stack trace"),
    ] {
        if let Some(limit) = limit {
            let _ = write!(text, ", {limit} {what}");
        }
    }
    let shared = enqueue.deduplication.as_ref().map(|shared| &shared.id);
    for id in enqueue.id.iter().chain(shared) {
        if id.contains("{header.") && !id.contains("{client}") {
            let _ = write!(
                text,
                " (warning: two clients can choose the same {id}, and one gets the other's job: put \
                 {{client}} into it)"
            );
        }
    }
    let is_short = enqueue.remove_on_complete == Some(KeepJobs::Nothing);
    if is_short && enqueue.id.is_some() {
        text.push_str(
            " (a request that comes again once its job is completed starts another, because the job is \
             removed)",
        );
    }
    text
}
