//! The tables `queues` and `enqueue` of a route.

use super::super::shape::Absent::{Is, Missing, Otherwise};
use super::super::shape::{Shape, field};
use super::text::{DURATION, NAME};
use crate::engine::job_id::Template;

/// A queue of BullMQ.
pub const QUEUE: Shape = Shape::Table(&[
    field(
        "name",
        Shape::Text {
            expected: "the name of a queue, without a colon",
            fits: |text| !text.is_empty() && text.len() <= 256 && !text.contains(':'),
        },
        Missing,
        "The queue's name, as its workers have it.",
    ),
    field(
        "prefix",
        Shape::Text {
            expected: "a prefix of 1 to 128 letters, digits, `-`, `_`, `.` or `:`, some of them in \
                       braces or not, such as \"bull\" or \"{bull}\"",
            fits: is_prefix,
        },
        Is("\"bull\""),
        "The prefix of its keys, as its workers have it.",
    ),
    field(
        "bullmq",
        Shape::Either(&Shape::OneOf(&["any"]), &Shape::Number(&[5, 6])),
        Is("\"any\""),
        "The major version of BullMQ that works on the queue. Jobs are stored as 5.81.3 stores them, \
         which is safe with 5 and 6; for `6`, as 6.7.0 does. With `6`, no worker of 5 may work on it: \
         it would lose jobs that were added while the queue was paused.",
    ),
]);

const ID: Shape = Shape::Text {
    expected: "an id such as \"{path.id}-{header.idempotency-key}\" or \"{client}-{path.id}\", of parts \
               of the request and of letters, digits, `.`, `_` and `-`",
    fits: |text| Template::parse(text).is_some(),
};

/// What job a request becomes.
pub const ENQUEUE: Shape = Shape::Table(&[
    field(
        "queue",
        NAME,
        Missing,
        "The queue, by its name under `queues`.",
    ),
    field(
        "job",
        Shape::Text {
            expected: "the name of a job",
            fits: |text| !text.is_empty() && text.len() <= 256,
        },
        Missing,
        "The name of the job.",
    ),
    field(
        "id",
        ID,
        Otherwise("a new id"),
        "The job's id, of parts of the request: `{path.name}`, `{header.name}` and `{client}`, the \
         digest by which the client is called. A job of an id that is there already is not added again. \
         If one of the parts is missing from a request, its job gets a new id. An id is 1 to 128 letters, \
         digits, `.`, `_` or `-`, no integer, and none of BullMQ's own key names; else the client gets \
         422. With a header in it, put `{client}` in it too: two clients could choose the same.",
    ),
    field(
        "attempts",
        COUNT,
        Otherwise("one"),
        "How often the job is tried until it completes.",
    ),
    field(
        "backoff",
        BACKOFF,
        Otherwise("none"),
        "How long the workers wait before they try it again.",
    ),
    field(
        "delay",
        Shape::Duration { or_zero: true },
        Otherwise("none"),
        "How long the job waits before it can run.",
    ),
    field(
        "priority",
        Shape::Integer(0, 2_097_151),
        Otherwise("none"),
        "From 1, which runs first, to 2,097,151. Jobs without a priority run before those with one.",
    ),
    field(
        "lifo",
        Shape::Bool,
        Is("false"),
        "Whether the job is the next to run, and not the last.",
    ),
    field(
        "deduplication",
        DEDUPLICATION,
        Otherwise("none"),
        "Jobs with the same id here are one job, until it is finished or for a time. If a part of the id \
         is missing from a request, its job is one of its own.",
    ),
    field(
        "remove_on_complete",
        KEEP,
        Otherwise("all are kept"),
        "Which completed jobs are kept: `true` keeps none, a number so many, `{ age = \"1h\" }` those of \
         this time.",
    ),
    field(
        "remove_on_fail",
        KEEP,
        Otherwise("all are kept"),
        "Which failed jobs are kept.",
    ),
    field(
        "keep_logs",
        COUNT,
        Otherwise("all"),
        "How many lines of the job's log are kept.",
    ),
    field(
        "stack_trace_limit",
        COUNT,
        Otherwise("all"),
        "How many lines of a stack trace are kept.",
    ),
    field(
        "max_body",
        Shape::Size(1, 1 << 20),
        Is("\"64KB\""),
        "The longest body, which is the job's data and must be JSON.",
    ),
]);

const BACKOFF: Shape = Shape::Table(&[
    field(
        "type",
        Shape::OneOf(&["fixed", "exponential"]),
        Is("\"fixed\""),
        "`\"exponential\"`: twice as long each time.",
    ),
    field("delay", DURATION, Missing, "How long, the first time."),
]);

const DEDUPLICATION: Shape = Shape::Table(&[
    field("id", ID, Missing, "The id, as `id` of the job."),
    field(
        "ttl",
        DURATION,
        Otherwise("until the job is finished"),
        "For how long.",
    ),
    field(
        "extend",
        Shape::Bool,
        Is("false"),
        "Whether the time begins anew with each further job.",
    ),
    field(
        "replace",
        Shape::Bool,
        Is("false"),
        "Whether a further job replaces the first, if that is still delayed.",
    ),
    field(
        "keep_last_if_active",
        Shape::Bool,
        Is("false"),
        "Whether the last of the jobs that come while the first one runs follows it.",
    ),
]);

const KEEP: Shape = Shape::Either(
    &Shape::Bool,
    &Shape::Either(
        &COUNT,
        &Shape::Table(&[
            field("age", DURATION, Missing, "How long, in whole seconds."),
            field("count", COUNT, Otherwise("all"), "How many at most."),
        ]),
    ),
);

const COUNT: Shape = Shape::Integer(0, 1_000_000_000);

fn is_prefix(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.:{}".contains(&b);
    (1..=128).contains(&text.len()) && text.bytes().all(allowed)
}
