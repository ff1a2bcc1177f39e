//! Routes whose responses carry a version.

use bytes::Bytes;
use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::gateway::Step;
use serde_json::{Value, json};

use crate::rig::{Response, Rig, Store, get, response};

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "limits": { "ip": { "by": "ip", "window": "60s", "quota": 1000 } },
        "routes": [
            {
                "path": "/book",
                "limits": ["ip"],
                "cache": { "ttl": "1s", "stale_while_revalidate": "10s", "version": "json:data.0.id" },
            },
            {
                "path": "/open",
                "cache": { "ttl": "1s", "stale_while_revalidate": "10s", "version": "json:data.0.id" },
            },
            { "path": "/feed", "cache": { "ttl": "1s", "version": "header:x-sequence" } },
            { "path": "/plain", "cache": { "ttl": "1s" } },
        ],
    })
}

fn book(id: &str) -> Response {
    response(200, &format!("{{\"data\":[{{\"id\":{id}}}]}}"))
}

/// Asks until the request goes to the origin.
fn on_its_way(rig: &mut Rig, path: &str) -> Step<Bytes> {
    let step = rig.begin(&get(path));
    assert!(matches!(step, Step::Fetch(..)), "{step:?}");
    step
}

/// The stored value of the only entry.
fn stored(rig: &Rig) -> String {
    let mut entries = rig.writes.iter().filter(|write| write.key.contains(":c:"));
    let key = &entries.next_back().expect("a write").key;
    rig.model.text(key).expect("an entry").to_owned()
}

#[test]
fn an_older_answer_that_comes_later_displaces_the_newer_one_nowhere() {
    for (older, newer) in [("9", "10"), ("\"0041\"", "42")] {
        let mut one = Rig::new(config());
        let mut other = one.beside();
        // Both miss, and the one that asked first is answered last.
        let (late, soon) = (
            on_its_way(&mut one, "/book"),
            on_its_way(&mut other, "/book"),
        );
        other.next(book(newer));
        other.carry_on(&get("/book"), soon);
        let newest = stored(&other);
        assert!(newest.ends_with(&format!("{newer}}}]}}")), "{newest}");
        std::mem::swap(&mut one.model, &mut other.model);
        one.wait(50);
        one.next(book(older));
        let seen = one.carry_on(&get("/book"), late);
        assert!(seen.text().contains(older), "its own client gets it");
        assert_eq!(stored(&one), newest);
        let seen = one.get("/book");
        assert!(seen.text().contains(newer), "and it is not in memory");
        assert!(seen.cache().contains("redis"), "{}", seen.cache());
    }
}

#[test]
fn in_one_isolate_a_refresh_that_brings_an_older_answer_changes_nothing() {
    let mut rig = Rig::new(config());
    rig.next(book("10"));
    rig.get("/book");
    let newest = stored(&rig);
    let entry = rig.writes[0].key.clone();
    rig.wait(1_500);
    rig.next(book("9"));
    assert!(rig.get("/book").refreshed);
    assert_eq!(rig.model.text(&entry), Some(newest.as_str()));
    // For a moment the origin is not called, by this isolate or by others, but not for longer.
    rig.wait(490);
    let (fetches, mut other) = (rig.sent.len(), rig.beside());
    assert!(rig.get("/book").text().contains("10"));
    assert_eq!(rig.sent.len(), fetches);
    std::mem::swap(&mut rig.model, &mut other.model);
    assert!(other.get("/book").text().contains("10"));
    assert_eq!(other.sent.len(), 0);
    std::mem::swap(&mut rig.model, &mut other.model);
    rig.wait(210);
    rig.next(book("11"));
    rig.get("/book");
    assert!(rig.get("/book").text().contains("11"));
}

#[test]
fn after_an_older_answer_the_store_is_left_alone_for_a_moment_too() {
    let mut rig = Rig::new(config());
    rig.next(book("10"));
    rig.get("/open");
    rig.wait(1_500);
    rig.next(book("9"));
    assert!(rig.get("/open").refreshed);
    let asks = rig.asks.len();
    for _ in 0..5 {
        rig.wait(90);
        assert!(rig.get("/open").text().contains("10"));
    }
    assert_eq!(rig.asks.len(), asks);
    rig.wait(60);
    rig.get("/open");
    assert_eq!(rig.asks.len(), asks + 1);
}

#[test]
fn an_older_version_stays_out_also_while_the_store_is_gone() {
    let mut rig = Rig::new(config());
    rig.next(book("10"));
    rig.get("/open");
    rig.wait(1_500);
    rig.store = Store::Down(ErrorKind::Unreachable);
    rig.next(book("9"));
    rig.get("/open");
    let seen = rig.get("/open");
    assert!(seen.text().contains(":10}"), "{}", seen.text());
}

#[test]
fn what_says_nothing_of_its_version_counts_by_its_arrival() {
    for body in ["{}", "{\"data\":[{\"id\":-1}]}", "not json", ""] {
        let mut rig = Rig::new(config());
        rig.next(book("10"));
        rig.get("/book");
        rig.wait(1_500);
        rig.next(response(200, body));
        rig.get("/book");
        assert_eq!(rig.get("/book").text(), body);
    }
}

#[test]
fn a_header_tells_the_version_also_of_what_was_only_validated() {
    let mut rig = Rig::new(config());
    let answer = |status, body, sequence| {
        response(status, body)
            .with("etag", "\"a\"")
            .with("x-sequence", sequence)
    };
    rig.next(answer(200, "body", "0007"));
    rig.get("/feed");
    assert!(stored(&rig).contains(" 7 - {"), "{}", stored(&rig));
    rig.wait(1_500);
    rig.next(answer(304, "", "8"));
    assert_eq!(rig.get("/feed").text(), "body");
    assert!(stored(&rig).contains(" 8 - {"), "{}", stored(&rig));
}

#[test]
fn a_route_without_versions_writes_as_ever() {
    let mut rig = Rig::new(config());
    for body in ["{\"timestamp\":9}", "{\"timestamp\":8}"] {
        rig.next(response(200, body));
        rig.get("/plain");
        assert!(stored(&rig).contains(" - - {"), "{}", stored(&rig));
        assert!(stored(&rig).ends_with(body));
        rig.wait(1_500);
    }
}
