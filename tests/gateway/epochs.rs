//! Purges, as the gate sees them: the epochs that entries carry, and when it asks for them.

use serde_json::json;

use crate::rig::{Rig, get, response};

/// `/book` has tags, `/free` has none, `/own` says how long memory is believed.
fn config() -> serde_json::Value {
    json!({
        "origin": "https://api.example",
        "routes": [
            { "path": "/book", "cache": { "ttl": "60s", "tags": ["book", "s:{query.symbol}"] } },
            { "path": "/free", "cache": { "ttl": "60s" } },
            { "path": "/own", "cache": { "ttl": "60s", "l1_max_age": "250ms" } },
        ],
    })
}

fn purge(rig: &mut Rig, tag: &str) {
    rig.model.set(&format!("ot:t:{tag}"), "a1", 60_000, rig.now);
}

#[test]
fn a_purge_of_a_tag_is_known_in_memory_within_l1_max_age() {
    let mut rig = Rig::new(config());
    rig.next(response(200, "old"));
    rig.get("/book?symbol=A");
    purge(&mut rig, "book");
    rig.wait(999);
    let seen = rig.get("/book?symbol=A");
    assert_eq!((seen.text(), seen.asks), ("old", 0), "memory is believed");
    rig.wait(1);
    rig.next(response(200, "new"));
    let seen = rig.get("/book?symbol=A");
    assert_eq!((seen.text(), seen.asks, seen.fetches), ("new", 1, 1));
    rig.wait(5_000);
    let seen = rig.get("/book?symbol=A");
    assert_eq!((seen.text(), seen.asks, seen.fetches), ("new", 1, 0));
    assert_eq!(seen.cache(), "hit; ttl=55; detail=l1");
}

#[test]
fn memory_is_checked_once_in_its_time_and_what_it_has_is_not_sent_again() {
    let mut rig = Rig::new(config());
    rig.get("/book?symbol=A");
    for _ in 0..3 {
        rig.wait(1_000);
        assert_eq!(rig.get("/book?symbol=A").asks, 1);
        for _ in 0..5 {
            rig.wait(199);
            assert_eq!(rig.get("/book?symbol=A").asks, 0);
        }
    }
    let head = rig.writes[0].value.split('{').next().unwrap().to_owned();
    assert_eq!(rig.asks.last().unwrap().args[11], head);
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn a_purge_is_known_at_once_to_who_reads_the_store() {
    let mut rig = Rig::new(config());
    rig.get("/book?symbol=A");
    rig.get("/book?symbol=B");
    purge(&mut rig, "s:A");
    rig.another_isolate();
    assert_eq!(rig.get("/book?symbol=A").fetches, 1);
    assert_eq!(rig.get("/book?symbol=B").fetches, 0, "another tag");
}

#[test]
fn what_was_asked_for_before_a_purge_and_comes_after_it_is_void() {
    let mut rig = Rig::new(config());
    let request = get("/book?symbol=A");
    let mut beside = rig.beside();
    // The request is on its way to the origin when the purge comes.
    let step = rig.gate.decide(&request, rig.shown());
    let omnitrade_edge::gateway::Step::Ask(ask, exchange) = step else {
        panic!("{step:?}");
    };
    let (reply, now) = (rig.reply(&ask), rig.shown());
    let step = rig.gate.resume(&request, &ask, exchange, reply, now);
    purge(&mut rig, "book");
    rig.next(response(200, "old"));
    rig.carry_on(&request, step);
    assert_eq!(
        rig.writes.len(),
        1,
        "it is written, by whoever does not know"
    );
    std::mem::swap(&mut rig.model, &mut beside.model);
    assert_eq!(beside.get("/book?symbol=A").fetches, 1);
    std::mem::swap(&mut rig.model, &mut beside.model);
    rig.wait(1_000);
    assert_ne!(rig.get("/book?symbol=A").text(), "old");
}

#[test]
fn without_tags_memory_is_believed_as_long_as_it_lives() {
    let mut rig = Rig::new(config());
    rig.get("/free");
    rig.get("/own");
    rig.wait(59_000);
    assert_eq!(rig.get("/free").asks, 0);
    assert_eq!(rig.get("/own").asks, 1, "unless the route says otherwise");
    rig.wait(249);
    assert_eq!(rig.get("/own").asks, 0);
    rig.wait(1);
    assert_eq!(rig.get("/own").asks, 1);
}

#[test]
fn a_store_that_fails_leaves_memory_as_it_is() {
    let mut rig = Rig::new(config());
    rig.get("/book?symbol=A");
    rig.store = crate::rig::Store::Down(omnitrade_edge::error::ErrorKind::Unreachable);
    for _ in 0..20 {
        rig.wait(1_000);
        assert_eq!(rig.get("/book?symbol=A").fetches, 0);
    }
}

#[test]
fn what_was_kept_while_the_store_failed_is_dropped_when_it_is_back() {
    let mut rig = Rig::new(config());
    rig.store = crate::rig::Store::Down(omnitrade_edge::error::ErrorKind::Unreachable);
    rig.get("/book?symbol=A");
    assert_eq!(rig.get("/book?symbol=A").fetches, 0);
    assert!(
        rig.writes.is_empty(),
        "nobody knows in which epochs it was made"
    );
    rig.store = crate::rig::Store::Up;
    let mut fetches = 0;
    for _ in 0..30 {
        rig.wait(1_000);
        fetches += rig.get("/book?symbol=A").fetches;
    }
    assert_eq!(fetches, 1);
}
