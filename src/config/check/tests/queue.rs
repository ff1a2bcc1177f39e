//! Queues, and routes whose requests become jobs.

use serde_json::{Value, json};

use super::errors;
use crate::config::{Bullmq, Config, KeepJobs};

fn with(route: Value) -> Vec<String> {
    let mut all =
        json!({ "path": "/bots/{id}/jobs", "enqueue": { "queue": "bots", "job": "run" } });
    super::merge(&mut all, route);
    let queues = json!({ "bots": { "name": "trading-bots" } });
    errors(json!({ "queues": queues, "routes": [all] }))
}

#[test]
fn a_route_may_make_jobs_of_its_requests() {
    let none: [&str; 0] = [];
    assert_eq!(with(json!({})), none);
    let id = "{client}-{path.id}.{header.Idempotency-Key}";
    let all = json!({ "methods": ["PUT"], "enqueue": { "id": id, "delay": "0s" } });
    assert_eq!(with(all), none);
}

#[test]
fn what_does_not_fit_is_named_with_its_path() {
    for (route, told) in [
        (
            json!({ "enqueue": { "queue": "x" } }),
            "routes[0].enqueue.queue: expected the name of a queue (bots)",
        ),
        (
            json!({ "enqueue": { "id": "{path.x}" } }),
            "routes[0].enqueue.id: expected no `{path.x}`",
        ),
        (
            json!({ "enqueue": { "id": "always" } }),
            "routes[0].enqueue.id: expected an id such as",
        ),
        (
            json!({ "enqueue": { "id": "{body.x}" } }),
            "routes[0].enqueue.id: expected an id such as",
        ),
        (
            json!({ "enqueue": { "deduplication": { "id": "{path.x}" } } }),
            "routes[0].enqueue.deduplication.id: expected no `{path.x}`",
        ),
        (
            json!({ "enqueue": { "delay": 5 } }),
            "routes[0].enqueue.delay: expected a duration",
        ),
        (
            json!({ "enqueue": { "repeat": {} } }),
            "routes[0].enqueue.repeat: ",
        ),
        (
            json!({ "cache": {} }),
            "routes[0].cache: expected no such field beside `enqueue`",
        ),
        (
            json!({ "methods": ["GET"] }),
            "routes[0].methods[0]: expected \"POST\"",
        ),
    ] {
        let found = with(route);
        assert!(
            found.len() == 1 && found[0].starts_with(told),
            "{told}: {found:?}"
        );
    }
    let wrong = errors(json!({ "queues": { "bots": { "name": "a:b", "bullmq": 4 } } }));
    assert_eq!(wrong.len(), 2, "{wrong:?}");
}

#[test]
fn a_route_that_makes_jobs_claims_post_alone() {
    let enqueue = json!({ "queue": "bots", "job": "run", "remove_on_fail": 7 });
    let config = Config::from_json(json!({
        "origin": "https://api.example.com",
        "queues": { "bots": { "name": "trading-bots", "bullmq": 6 } },
        "routes": [{ "path": "/jobs", "enqueue": enqueue }, { "path": "/jobs" }],
    }));
    let config = config.unwrap();
    assert_eq!(
        config.routes[0].methods.as_deref(),
        Some(&["POST".to_owned()][..])
    );
    let enqueue = config.routes[0].enqueue.as_ref().unwrap();
    assert_eq!(
        (enqueue.max_body, enqueue.remove_on_fail),
        (65_536, Some(KeepJobs::Count(7)))
    );
    let queue = &config.queues["bots"];
    assert_eq!((queue.prefix.as_str(), queue.bullmq), ("bull", Bullmq::V6));
}
