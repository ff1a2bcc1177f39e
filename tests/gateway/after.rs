//! Work after an answer: if two writes are due, neither replaces the other.

use omnitrade_edge::message::forward::Failure;
use serde_json::json;

use crate::rig::{Request, Response, Rig, get, response};

fn rig() -> Rig {
    let mut rig = Rig::new(json!({
        "origin": "https://api.example",
        "routes": [{ "path": "/v", "cache": { "ttl": "1s", "stale_while_revalidate": "2s" } }],
    }));
    rig.next(varying("de"));
    rig.send(&spoken("GET", "de"));
    // The first variant is stale, so a request for the other one gets a lease for it from the
    // store.
    rig.wait(1_500);
    rig.another_isolate();
    rig.writes.clear();
    rig
}

fn spoken(method: &str, tongue: &str) -> Request {
    get("/v").by(method).with("x-tongue", tongue)
}

fn varying(body: &str) -> Response {
    response(200, body).with("vary", "X-Tongue")
}

/// The keys of leases that were given back, and of those that tell other isolates not to wait.
fn told(rig: &Rig) -> (Vec<String>, Vec<String>) {
    let lease = |key: &&String| key.contains(":f:");
    let back = rig.deleted.iter().filter(lease).cloned().collect();
    let marks = rig
        .writes
        .iter()
        .filter(|write| ["u", "f"].contains(&&*write.value));
    (back, marks.map(|write| write.key.clone()).collect())
}

fn both_are_told(rig: &Rig) {
    let (back, marks) = told(rig);
    assert_eq!((back.len(), marks.len()), (1, 1), "{back:?} {marks:?}");
    assert_ne!(back, marks, "they are of different variants");
}

#[test]
fn a_variant_that_is_not_stored_is_told_and_its_lease_given_back() {
    let mut rig = rig();
    rig.next(varying("fr").with("cache-control", "no-store"));
    assert_eq!(rig.send(&spoken("GET", "fr")).text(), "fr");
    both_are_told(&rig);
}

#[test]
fn a_variant_whose_origin_fails_is_told_and_its_lease_given_back() {
    for answer in [Err(Failure::Failed), Ok(response(500, "broken"))] {
        let mut rig = rig();
        rig.origin.push_back(answer);
        assert!(rig.send(&spoken("GET", "fr")).status >= 500);
        both_are_told(&rig);
    }
}

#[test]
fn a_variant_that_is_stored_is_written_and_the_first_lease_given_back() {
    let mut rig = rig();
    rig.next(varying("fr"));
    assert_eq!(rig.send(&spoken("GET", "fr")).text(), "fr");
    let entries = rig.writes.iter().filter(|write| write.key.contains(":c:"));
    assert_eq!((entries.count(), told(&rig).0.len()), (1, 1));
}

#[test]
fn a_variant_that_still_holds_is_written_and_the_first_lease_given_back() {
    let mut rig = Rig::new(json!({
        "origin": "https://api.example",
        "routes": [{ "path": "/v", "cache": { "ttl": "1s" } }],
    }));
    for tongue in ["de", "fr"] {
        rig.next(varying(tongue).with("etag", "\"1\""));
        rig.send(&spoken("GET", tongue));
    }
    rig.wait(1_500);
    rig.another_isolate();
    rig.writes.clear();
    rig.next(response(304, "").with("etag", "\"1\""));
    let seen = rig.send(&spoken("GET", "fr"));
    assert_eq!(
        (seen.text(), seen.cache().contains("fwd-status=304")),
        ("fr", true)
    );
    let entries = rig.writes.iter().filter(|write| write.key.contains(":c:"));
    assert_eq!((entries.count(), told(&rig).0.len()), (1, 1));
}

#[test]
fn while_the_store_is_down_nothing_is_written() {
    let mut rig = rig();
    rig.store = crate::rig::Store::Down(omnitrade_edge::error::ErrorKind::Unauthorised);
    rig.next(varying("fr").with("cache-control", "no-store"));
    rig.send(&spoken("GET", "fr"));
    assert!(rig.writes.is_empty() && rig.deleted.is_empty());
}
