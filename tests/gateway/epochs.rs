//! Purges as the gate sees them: the epochs that entries carry, and when the gate asks for them.

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::gateway::Step;
use serde_json::json;

use crate::rig::{Rig, Store, follower, get, response};

/// `/free` has no tags; `/strict` and `/own` set how long an entry in memory is served unchecked.
fn config() -> serde_json::Value {
    json!({
        "origin": "https://api.example",
        "limits": { "ip": { "by": "ip", "window": "60s", "quota": 1000 } },
        "routes": [
            { "path": "/book", "cache": { "ttl": "60s", "tags": ["book", "s:{query.symbol}"] } },
            { "path": "/free", "cache": { "ttl": "60s" } },
            { "path": "/limited", "limits": ["ip"], "cache": { "ttl": "60s", "tags": ["book"] } },
            { "path": "/strict", "cache": { "ttl": "60s", "tags": ["book"], "l1_max_age": "0s" } },
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
    // The purge comes while the request is at the origin.
    let step = rig.begin(&request);
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
fn who_comes_after_a_purge_is_not_given_what_was_on_its_way_before() {
    for path in ["/book", "/limited"] {
        let mut rig = Rig::new(config());
        let request = get(path);
        let leads = rig.begin(&request);
        assert!(matches!(leads, Step::Fetch(..)), "{path}");
        rig.wait(100);
        purge(&mut rig, "book");
        rig.wait(2_000);
        let late = rig.begin(&request);
        let late = follower(late);
        rig.wait(400);
        rig.next(response(200, "old"));
        rig.carry_on(&request, leads);
        rig.wait(5);
        rig.next(response(200, "new"));
        let step = rig.gate.waited(&request, late, rig.shown());
        assert_eq!(rig.carry_on(&request, step).text(), "new", "{path}");
    }
}

#[test]
fn nobody_is_given_what_another_request_is_about_to_check() {
    let mut rig = Rig::new(config());
    rig.next(response(200, "old"));
    rig.get("/strict");
    rig.wait(5_000);
    purge(&mut rig, "book");
    rig.wait(1_000);
    let request = get("/strict");
    assert!(matches!(
        rig.gate.decide(&request, rig.shown()),
        Step::Ask(..)
    ));
    let second = follower(rig.gate.decide(&request, rig.shown()));
    rig.wait(5);
    let step = rig.gate.waited(&request, second, rig.shown());
    rig.next(response(200, "new"));
    assert_eq!(rig.carry_on(&request, step).text(), "new");
}

#[test]
fn what_the_store_agrees_with_is_one_entry_and_not_what_lies_there_now() {
    let mut rig = Rig::new(config());
    let request = get("/book");
    let slow = rig.begin(&request);
    rig.wait(3_100);
    purge(&mut rig, "book");
    rig.wait(500);
    rig.next(response(200, "new"));
    assert_eq!(rig.get("/book").text(), "new");
    rig.wait(1_100);
    let Step::Ask(asked, exchange) = rig.gate.decide(&request, rig.shown()) else {
        panic!("it is to be checked");
    };
    let reply = rig.reply(&asked);
    rig.next(response(200, "old"));
    rig.carry_on(&request, slow);
    let now = rig.shown();
    let step = rig.gate.resume(&request, &asked, exchange, reply, now);
    assert_eq!(rig.carry_on(&request, step).text(), "new");
    rig.wait(900);
    assert_eq!(rig.get("/book").text(), "new");
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
    rig.store = Store::Down(ErrorKind::Unreachable);
    for _ in 0..20 {
        rig.wait(1_000);
        assert_eq!(rig.get("/book?symbol=A").fetches, 0);
    }
}

#[test]
fn what_was_kept_while_the_store_failed_is_dropped_when_it_is_back() {
    let mut rig = Rig::new(config());
    rig.store = Store::Down(ErrorKind::Unreachable);
    rig.get("/book?symbol=A");
    assert_eq!(rig.get("/book?symbol=A").fetches, 0);
    assert!(
        rig.writes.is_empty(),
        "nobody knows in which epochs it was made"
    );
    rig.store = Store::Up;
    let mut fetches = 0;
    for _ in 0..30 {
        rig.wait(1_000);
        fetches += rig.get("/book?symbol=A").fetches;
    }
    assert_eq!(fetches, 1);
}
