//! Whether the store answers within `redis.timeout`: seen from the edge, if there is a Worker to
//! ask, else from here.

use std::time::Duration;

use omnitrade_edge::config::format_duration;
use tokio::time::Instant;

use super::edge::Edge;
use super::latency::{Latency, shown};
use super::patient::Patient;
use super::report::Check;
use super::scripts;

/// How many calls of the gate's script are measured, and how long that may take in all.
const CALLS: usize = 10;
const LONGEST: Duration = Duration::from_secs(10);

/// Makes the check.
pub async fn check(patient: &Patient, edge: Option<&Edge>, check: &mut Check) {
    let timeout = patient.timeout;
    check.datum("timeout_ms", super::latency::in_ms(timeout));
    let here = measured(patient).await;
    here.tell(check);
    let limit = format_duration(timeout);
    check.saw(format!("redis.timeout is {limit}"));
    if here.answered() > 0 {
        check.saw(format!("the gate's script from here: {}", here.in_words()));
    }
    match edge
        .map(|edge| &edge.pings)
        .filter(|pings| pings.answered() > 0)
    {
        Some(there) => {
            check.saw(format!("PINGs from the edge: {}", there.in_words()));
            judge(there, timeout, true, check);
        }
        None => judge(&here, timeout, false, check),
    }
}

async fn measured(patient: &Patient) -> Latency {
    let mut latency = Latency::default();
    let key = patient.key("deadline");
    let begun = Instant::now();
    // The first call may have to load the script.
    let mut is_first = true;
    while latency.answered() + latency.failures() < CALLS && begun.elapsed() < LONGEST {
        let start = Instant::now();
        match scripts::peek(patient, &key).await {
            Ok(_) if is_first => {}
            Ok(_) => latency.took(start.elapsed()),
            Err(error) => latency.failed(error.code()),
        }
        is_first = false;
    }
    latency
}

fn judge(latency: &Latency, timeout: Duration, from_edge: bool, check: &mut Check) {
    let place = if from_edge {
        "from the edge"
    } else {
        "from here"
    };
    let limit = format_duration(timeout);
    let Some((half, most)) = latency.percentile(50).zip(latency.percentile(90)) else {
        check.fail(
            "no_answer",
            format!("no call was answered ({})", latency.failures_by_code()),
            "see what `reach` and `scripts` found",
        );
        return;
    };
    if half > timeout {
        let message = format!(
            "half of the calls take more than {limit} {place} (p50 {})",
            shown(half)
        );
        let remedy = "raise redis.timeout, or choose a region of the store that is nearer: the gate \
                      limits locally whenever a call takes longer";
        match from_edge {
            true => check.fail("too_slow", message, remedy),
            false => check.warn(
                "too_slow_from_here",
                message,
                format!("measure from the edge (--worker); if it is so there, too, {remedy}"),
            ),
        }
    } else if most > timeout {
        check.warn(
            "often_too_slow",
            format!(
                "one call in ten takes more than {limit} {place} (p90 {})",
                shown(most)
            ),
            "raise redis.timeout above p99, or choose a region of the store that is nearer",
        );
    }
}
