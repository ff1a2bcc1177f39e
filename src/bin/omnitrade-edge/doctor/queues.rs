//! The queues of jobs: whether the workers that were seen fit the configuration, whether the store
//! may drop jobs, and what workers cost that have nothing to do.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use omnitrade_edge::config::{Bullmq, Config, Queue};
use omnitrade_edge::redis::{Command, Value};

use super::patient::Patient;
use super::report::Check;

/// What an idle worker with BullMQ's own settings asks of Redis in a minute (`docs/jobs.md`).
const IDLE: usize = 110;

/// Makes the check.
pub async fn check(patient: &Patient, config: Option<&Config>, check: &mut Check) {
    let queues = config.map(|config| &config.queues);
    let Some(queues) = queues.filter(|queues| !queues.is_empty()) else {
        return check.skip(
            "no queues are configured",
            "nothing is to be done, unless routes are to make jobs of requests: docs/jobs.md",
        );
    };
    let clients = clients(patient).await;
    let mut workers = 0;
    for (name, queue) in queues {
        match version(patient, queue).await {
            Ok(version) => fits(name, queue, version.as_deref(), check),
            Err(error) => return check.store_cannot("HGET", &error),
        }
        let own = own_name(queue);
        workers += clients
            .iter()
            .flatten()
            .filter(|client| **client == own)
            .count();
    }
    check.datum("queues", queues.len());
    if clients.is_some() {
        check.datum("workers", workers);
        check.saw(format!(
            "{workers} workers are connected, which ask up to {} commands a minute while they have \
             nothing to do, unless drainDelay and stalledInterval are set",
            workers * IDLE
        ));
    } else {
        check.saw(format!(
            "each idle worker asks up to {IDLE} commands a minute (4.75 million a month), unless \
             drainDelay and stalledInterval are set"
        ));
    }
    match policy(patient).await {
        Some(policy) if policy != "noeviction" => check.fail(
            "jobs_evicted",
            format!(
                "a full store drops keys (maxmemory-policy {policy}), and jobs are lost with them"
            ),
            "set maxmemory-policy noeviction, as BullMQ asks for",
        ),
        Some(_) => check.saw("a full store drops no jobs"),
        None => check.saw("INFO does not tell whether a full store drops jobs"),
    }
}

/// The version of BullMQ that was last seen on a queue; a `Queue` object of BullMQ's leaves it.
async fn version(
    patient: &Patient,
    queue: &Queue,
) -> Result<Option<String>, omnitrade_edge::error::Error> {
    let key = format!("{}:{}:meta", queue.prefix, queue.name);
    let reply = patient
        .store
        .command(&Command::new("HGET").arg(&key).arg("version"))
        .await?;
    Ok(reply.as_str().map(str::to_owned))
}

/// Judges the version.
fn fits(name: &str, queue: &Queue, version: Option<&str>, check: &mut Check) {
    let Some(version) = version else {
        return check.saw(format!("{name}: no BullMQ has been seen there"));
    };
    let number = version.rsplit(':').next().unwrap_or_default();
    check.saw(format!("{name}: BullMQ {number}"));
    let major = number
        .split('.')
        .next()
        .and_then(|major| major.parse::<u64>().ok());
    let (fits, expected) = match (queue.bullmq, major) {
        (_, None) => (false, "5 or 6"),
        (Bullmq::Any, Some(major)) => (matches!(major, 5 | 6), "5 or 6"),
        (Bullmq::V5, Some(major)) => (major == 5, "5"),
        (Bullmq::V6, Some(major)) => (major == 6, "6"),
        (_, Some(_)) => (false, "one that this program knows"),
    };
    if fits {
        return;
    }
    check.fail(
        "bullmq_version",
        format!("the queue {name} was used by BullMQ {number}, and is configured for {expected}"),
        "set queues.NAME.bullmq to the version of all its workers, or leave it out; versions other than \
         5 and 6 are not supported: jobs of a paused queue can be lost without an error",
    );
}

/// The name that BullMQ's workers of a queue give their connections.
fn own_name(queue: &Queue) -> String {
    format!("{}:{}", queue.prefix, BASE64_STANDARD.encode(&queue.name))
}

/// The names of connections, if the store tells them.
async fn clients(patient: &Patient) -> Option<Vec<String>> {
    let reply = patient
        .store
        .command(&Command::new("CLIENT").arg("LIST"))
        .await
        .ok()?;
    let lines = reply.as_str()?.lines();
    let names = lines.filter_map(|line| {
        let mut words = line.split(' ');
        words.find_map(|word| word.strip_prefix("name="))
    });
    Some(names.map(str::to_owned).collect())
}

/// What a full store does, if `INFO` tells.
async fn policy(patient: &Patient) -> Option<String> {
    let reply = patient.store.command(&Command::new("INFO")).await.ok()?;
    let text = match &reply {
        Value::Null => return None,
        reply => reply.as_str()?,
    };
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("maxmemory_policy:"))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::report::Status;
    use super::*;

    fn judged(bullmq: &str, version: Option<&str>) -> Status {
        let config = format!(
            r#"{{ "origin": "https://a.example", "queues": {{ "q": {{ "name": "jobs", "bullmq": {bullmq} }} }} }}"#
        );
        let config: Config = config.parse().unwrap_or_else(|error| panic!("{error}"));
        let mut check = Check::new("queues");
        for (name, queue) in &config.queues {
            fits(name, queue, version, &mut check);
        }
        check.status()
    }

    #[test]
    fn a_version_fits_the_one_that_is_configured() {
        for (bullmq, version) in [
            ("\"any\"", "bullmq:5.81.3"),
            ("\"any\"", "bullmq:6.7.0"),
            ("5", "bullmq:5.1.0"),
            ("6", "bullmq:6.0.0"),
        ] {
            assert_eq!(
                judged(bullmq, Some(version)),
                Status::Ok,
                "{bullmq} {version}"
            );
        }
        for (bullmq, version) in [
            ("\"any\"", "bullmq:4.17.0"),
            ("5", "bullmq:6.7.0"),
            ("6", "bullmq:5.81.3"),
            ("\"any\"", "bullmq:7.0.0"),
            ("\"any\"", "odd"),
        ] {
            assert_eq!(
                judged(bullmq, Some(version)),
                Status::Fail,
                "{bullmq} {version}"
            );
        }
        assert_eq!(judged("6", None), Status::Ok);
    }
}
