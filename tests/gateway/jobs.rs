//! Requests that become jobs: what the job is, and what clients are told.

use bytes::Bytes;
use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::message::body::BodyError;
use omnitrade_edge::redis;
use serde_json::{Value, json};

use crate::messages::{Request, Seen, get};
use crate::rig::{Rig, START, Store};

fn config(enqueue: &Value) -> Value {
    let mut route = json!({ "queue": "bots", "job": "run" });
    for (name, value) in enqueue.as_object().unwrap() {
        route[name] = value.clone();
    }
    json!({
        "origin": "https://api.example.com",
        "limits": { "per-client": { "by": "client", "window": "60s", "quota": 1000 } },
        "queues": { "bots": { "name": "trading-bots" } },
        "routes": [{ "path": "/bots/{id}/jobs", "limits": ["per-client"], "enqueue": route }],
    })
}

fn rig(enqueue: Value) -> Rig {
    let mut rig = Rig::new(config(&enqueue));
    rig.body = Ok(Bytes::from_static(br#" { "side" : "buy" } "#));
    rig
}

fn post(path: &str) -> Request {
    get(path).by("POST")
}

fn told(seen: &Seen) -> Value {
    serde_json::from_str(seen.text()).unwrap()
}

/// The id, what BullMQ's script is told of the job, and its options.
#[track_caller]
fn last(rig: &Rig) -> (String, Value, Value) {
    let args = rig.jobs.last().unwrap();
    let facts: Value = serde_json::from_str(&args[0]).unwrap();
    let id = facts[1].as_str().unwrap().to_owned();
    (id, facts, serde_json::from_str(&args[2]).unwrap())
}

#[track_caller]
fn refused(seen: &Seen, status: u16, code: &str, field: Option<&str>) {
    let body = told(seen);
    let found = (seen.status, &body["code"], &body["field"]);
    assert_eq!(found, (status, &json!(code), &json!(field)), "{body}");
    assert_eq!(seen.header("content-type"), "application/problem+json");
}

#[test]
fn a_request_becomes_a_job_and_never_reaches_the_origin() {
    let mut rig = rig(json!({ "id": "{path.id}-{header.idempotency-key}", "attempts": 3 }));
    let seen = rig.send(&post("/bots/7/jobs").with("idempotency-key", "a.B_1"));
    assert_eq!(seen.status, 202, "{}", seen.text());
    assert_eq!(
        told(&seen),
        json!({ "id": "7-a.B_1", "queue": "trading-bots" })
    );
    assert_eq!(seen.limiter(), "redis");
    assert_eq!((seen.asks, seen.fetches, rig.sent.len()), (1, 0, 0));
    assert_eq!(rig.jobs[0][1], r#"{"side":"buy"}"#);
    let (_, facts, options) = last(&rig);
    let none = Value::Null;
    let now = START.as_millis();
    let expected = json!([
        "bull:trading-bots:",
        "7-a.B_1",
        "run",
        now,
        none,
        none,
        none,
        none,
        none
    ]);
    assert_eq!(facts, expected);
    assert_eq!(options, json!({ "attempts": 3, "jobId": "7-a.B_1" }));
    // Other methods are not the route's.
    assert_eq!(rig.send(&get("/bots/7/jobs")).fetches, 1);
}

#[test]
fn without_one_of_its_parts_a_job_has_a_new_id() {
    let mut rig = rig(json!({ "id": "{path.id}-{header.idempotency-key}" }));
    let mut ids = Vec::new();
    for request in [
        post("/bots/7/jobs"),
        post("/bots/7/jobs"),
        post("/bots/7/jobs").with("idempotency-key", " "),
    ] {
        let seen = rig.send(&request);
        let (id, ..) = last(&rig);
        assert_eq!(
            (seen.status, told(&seen)["id"].as_str().unwrap()),
            (202, id.as_str())
        );
        assert_eq!((id.len(), &id[14..15]), (36, "7"));
        ids.push(id);
    }
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
}

#[test]
fn ids_keep_letter_case_and_paths_are_decoded() {
    let mut rig = rig(json!({ "id": "bot-{path.id}" }));
    rig.send(&post("/BOTS/%41b;x=1/jobs"));
    assert_eq!(last(&rig).0, "bot-Ab");
}

#[test]
fn the_client_is_a_part_that_nobody_else_has() {
    let mut rig = rig(json!({ "id": "{client}-{path.id}" }));
    let mut id = |request: Request| {
        rig.send(&request);
        let id = last(&rig).0;
        assert!(
            id.ends_with("-7") && !id.contains("192") && !id.contains("secret"),
            "{id}"
        );
        id
    };
    let of = |ip: &str| post("/bots/7/jobs").from(ip);
    let keyed = |key: &str| of("192.0.2.1").with("x-api-key", key);
    let all = [
        id(of("192.0.2.1")),
        id(of("192.0.2.2")),
        id(of("2001:db8::1")),
        id(keyed("secret-1")),
        id(keyed("secret-2")),
    ];
    assert_eq!(std::collections::BTreeSet::from(all.clone()).len(), 5);
    assert_eq!(id(of("192.0.2.1")), all[0]);
    assert_eq!(id(keyed("secret-1").from("192.0.2.9")), all[3]);
}

#[test]
fn an_id_that_cannot_be_is_refused_with_the_part_at_fault() {
    let mut parts = rig(json!({ "id": "{path.id}-{header.idempotency-key}" }));
    for (path, key, field) in [
        ("/bots/a%20b/jobs", "k", "path.id"),
        ("/bots/%3A/jobs", "k", "path.id"),
        ("/bots/7/jobs", "a b", "header.idempotency-key"),
        ("/bots/7/jobs", "a, b", "header.idempotency-key"),
        ("/bots/7/jobs", "ä", "header.idempotency-key"),
        ("/bots/7/jobs", &"x".repeat(127), "id"),
    ] {
        let seen = parts.send(&post(path).with("idempotency-key", key));
        refused(&seen, 422, "invalid_job_id", Some(field));
    }
    let mut alone = rig(json!({ "id": "{path.id}" }));
    for id in ["7", "007", "meta", "wait", "stalled-check"] {
        let seen = alone.send(&post(&format!("/bots/{id}/jobs")));
        refused(&seen, 422, "invalid_job_id", Some("id"));
    }
    assert_eq!(alone.send(&post("/bots/Wait/jobs")).status, 202);
    let mut shared = rig(json!({ "deduplication": { "id": "{path.id}" } }));
    assert_eq!(shared.send(&post("/bots/7/jobs")).status, 202);
    let seen = shared.send(&post(&format!("/bots/{}/jobs", "7".repeat(129))));
    refused(&seen, 422, "invalid_job_id", Some("deduplication.id"));
    assert_eq!(
        (parts.jobs.len(), alone.jobs.len(), shared.jobs.len()),
        (0, 1, 1)
    );
}

#[test]
fn a_body_that_is_no_json_or_too_large_is_refused() {
    let mut rig = rig(json!({ "max_body": "16B" }));
    for (body, status, code) in [
        (Ok("{"), 400, "malformed_body"),
        (Ok("side=buy"), 400, "malformed_body"),
        (Ok(r#"{"side":"buying"}"#), 413, "body_too_large"),
        (Err(BodyError::TooSlow), 408, "body_too_slow"),
        (Err(BodyError::Broken), 400, "malformed_body"),
    ] {
        rig.body = body.map(|text: &str| Bytes::copy_from_slice(text.as_bytes()));
        refused(&rig.send(&post("/bots/7/jobs")), status, code, Some("body"));
    }
    rig.body = Ok(Bytes::from_static(b"\xff"));
    refused(
        &rig.send(&post("/bots/7/jobs")),
        400,
        "malformed_body",
        Some("body"),
    );
    let announced = post("/bots/7/jobs").with("content-length", "17");
    refused(&rig.send(&announced), 413, "body_too_large", Some("body"));
    assert!(rig.jobs.is_empty());
    rig.body = Ok(Bytes::new());
    assert_eq!(rig.send(&post("/bots/7/jobs")).status, 202);
    assert_eq!(rig.jobs[0][1], "{}");
}

#[test]
fn a_body_of_another_media_type_is_refused_unread() {
    let mut rig = rig(json!({}));
    for taken in [
        "application/json; charset=utf-8",
        "application/vnd.api+json",
        "Application/JSON",
        "application/x-www-form-urlencoded", // what `curl -d` says
    ] {
        let seen = rig.send(&post("/bots/7/jobs").with("content-type", taken));
        assert_eq!(seen.status, 202, "{taken}");
    }
    for other in [
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/xml",
        "json",
    ] {
        let seen = rig.send(&post("/bots/7/jobs").with("content-type", other));
        refused(&seen, 415, "unsupported_media_type", Some("content-type"));
    }
    let seen = rig.send(&post("/bots/7/jobs").with("content-encoding", "gzip"));
    refused(
        &seen,
        415,
        "unsupported_media_type",
        Some("content-encoding"),
    );
}

#[test]
fn limits_come_first() {
    let mut config = config(&json!({}));
    config["limits"]["per-client"]["quota"] = 1.into();
    let mut rig = Rig::new(config);
    rig.body = Ok(Bytes::from_static(b"nonsense"));
    refused(
        &rig.send(&post("/bots/7/jobs")),
        400,
        "malformed_body",
        Some("body"),
    );
    assert_eq!(rig.send(&post("/bots/7/jobs")).status, 429);
}

#[test]
fn a_store_that_fails_is_a_503_and_never_an_accepted_job() {
    let mut down = rig(json!({}));
    down.store = Store::Down(ErrorKind::Unreachable);
    for _ in 0..10 {
        let seen = down.send(&post("/bots/7/jobs"));
        refused(&seen, 503, "job_unconfirmed", None);
        assert!(seen.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    assert!(down.jobs.is_empty());
    down.store = Store::Up;
    down.wait(60_000);
    assert_eq!(down.send(&post("/bots/7/jobs")).status, 202);

    let mut local = Rig::without_store(config(&json!({})));
    local.body = Ok(Bytes::new());
    refused(
        &local.send(&post("/bots/7/jobs")),
        503,
        "job_unconfirmed",
        None,
    );

    let mut odd = rig(json!({}));
    odd.send(&post("/bots/7/jobs"));
    odd.store = Store::Says(redis::Value::Int(-5));
    refused(
        &odd.send(&post("/bots/7/jobs")),
        503,
        "job_unconfirmed",
        None,
    );
}

#[test]
fn every_option_reaches_the_job_in_the_form_of_bullmq() {
    let mut rig = rig(json!({
        "attempts": 5,
        "backoff": { "type": "exponential", "delay": "2s" },
        "delay": "1m",
        "priority": 7,
        "lifo": true,
        "deduplication": {
            "id": "{client}-{path.id}", "ttl": "10s", "extend": true, "replace": true,
            "keep_last_if_active": true,
        },
        "remove_on_complete": { "age": "1h", "count": 10 },
        "remove_on_fail": true,
        "keep_logs": 3,
        "stack_trace_limit": 4,
    }));
    assert_eq!(rig.send(&post("/bots/7/jobs")).status, 202);
    let (id, facts, options) = last(&rig);
    let shared = options["de"]["id"].as_str().unwrap();
    assert_eq!(facts[8], format!("bull:trading-bots:de:{shared}"));
    let expected = json!({
        "attempts": 5,
        "backoff": { "type": "exponential", "delay": 2_000 },
        "delay": 60_000,
        "priority": 7,
        "lifo": true,
        "de": {
            "id": shared, "ttl": 10_000, "extend": true, "replace": true, "keepLastIfActive": true,
        },
        "removeOnComplete": { "age": 3_600, "count": 10 },
        "removeOnFail": true,
        "kl": 3,
        "stackTraceLimit": 4,
        "jobId": id,
    });
    assert_eq!(options, expected);
}
