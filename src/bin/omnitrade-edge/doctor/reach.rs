//! Whether the store answers, over what, and how fast from here.

use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::redis::Command;
use tokio::time::{Duration, Instant};

use super::latency::{Latency, in_ms, shown};
use super::patient::Patient;
use super::report::Check;

/// How many calls are measured, and how long that may take in all.
const PINGS: usize = 20;
const LONGEST: Duration = Duration::from_secs(10);

/// Makes the check. An error if the store does not answer at all.
pub async fn check(patient: &Patient, check: &mut Check) -> Result<(), Error> {
    safety(patient, check);
    let ping = Command::new("PING");
    let begun = Instant::now();
    let (first, reply) = patient.timed(&ping).await;
    let mut refusal = reply.err().filter(|error| !answers(error));
    let mut latency = Latency::default();
    if let Some(error) = &refusal {
        latency.failed(error.code());
    }
    // What the first one found does not change, unless it is a matter of luck.
    let is_final = |error: &Error| !error.kind().is_transient();
    while !refusal.as_ref().is_some_and(is_final)
        && latency.answered() + latency.failures() < PINGS
        && (begun.elapsed() < LONGEST || latency.answered() < 3 && latency.failures() < 3)
    {
        let (time, reply) = patient.timed(&ping).await;
        match reply.err().filter(|error| !answers(error)) {
            None => latency.took(time),
            Some(error) => {
                latency.failed(error.code());
                refusal = Some(error);
            }
        }
    }
    check.datum("tls", patient.address.tls);
    check.datum("first_ms", in_ms(first));
    latency.tell(check);
    if latency.answered() == 0
        && let Some(error) = refusal
    {
        check.store_failed("PING", &error);
        return Err(error);
    }
    let over = if patient.address.tls {
        "TLS"
    } else {
        "plain HTTP"
    };
    check.saw(format!(
        "{} PINGs over {over}: {}; the first, with its connection, {}",
        latency.answered(),
        latency.in_words(),
        shown(first)
    ));
    let (failures, all) = (latency.failures(), latency.failures() + latency.answered());
    if failures > 0 {
        let message = format!(
            "{failures} of {all} PINGs failed ({})",
            latency.failures_by_code()
        );
        let remedy = "look at the network and at the state of the provider: the gate tries once more \
                      within redis.timeout, and limits locally if that fails, too";
        match failures * 10 > all {
            true => check.fail("unsteady", message, remedy),
            false => check.warn("unsteady", message, remedy),
        }
    }
    Ok(())
}

/// A quick look for a run without this check.
pub async fn look(patient: &Patient) -> Result<(), Error> {
    let (_, reply) = patient.timed(&Command::new("PING")).await;
    match reply {
        Err(error) if !answers(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Whether an error is an answer of Redis itself: the store is there, but forbids `PING`.
fn answers(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Forbidden | ErrorKind::Command)
}

fn safety(patient: &Patient, check: &mut Check) {
    if patient.address.tls {
        return;
    }
    match patient.address.loopback {
        true => check.warn(
            "plain_http_here",
            "the store is reached by plain HTTP, on this machine",
            "leave it so for local work; a deployed gate needs an https:// address",
        ),
        false => check.fail(
            "plain_http",
            "the store is reached by plain HTTP: whoever is on the way can read the token",
            "use the https:// address; put TLS in front of serve-redis; then change the token",
        ),
    }
}
