//! Stale entries: served while they are refreshed, and in place of a failed origin.

use std::time::Duration;

use omnitrade_edge::gateway::Step;
use omnitrade_edge::message::forward::Failure;
use serde_json::{Value, json};

use crate::cache::{book, hit};
use crate::rig::{Rig, get, response};

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "origin_timeout": "5s",
        "limits": { "ip": { "by": "ip", "window": "60s", "quota": 1000 } },
        "routes": [
            { "path": "/book", "limits": ["ip"], "cache": {
                "ttl": "500ms", "stale_while_revalidate": "2s", "stale_if_error": "10s",
            } },
            { "path": "/free", "cache": {
                "ttl": "500ms", "stale_while_revalidate": "2s", "stale_if_error": "10s",
            } },
        ],
    })
}

#[test]
fn a_stale_entry_is_served_at_once_and_refreshed_once() {
    for path in ["/book", "/free"] {
        let mut rig = Rig::new(config());
        rig.next(response(200, "old"));
        rig.get(path);
        rig.wait(500);
        rig.next(response(200, "new"));
        let seen = rig.get(path);
        assert!(seen.cache().starts_with("hit; ttl=0"), "{}", seen.cache());
        assert_eq!((seen.fetches, seen.text()), (0, "old"), "{path}");
        assert!(seen.refreshed, "{path}");
        let seen = rig.get(path);
        assert_eq!((seen.text(), seen.refreshed), ("new", false), "{path}");
        assert_eq!(rig.sent.len(), 2);
    }
}

#[test]
fn of_all_that_see_it_stale_in_one_isolate_one_refreshes() {
    for path in ["/book", "/free"] {
        let mut rig = Rig::new(config());
        rig.get(path);
        rig.wait(500);
        // All come at once, before the first is answered.
        let mut refreshing = Vec::new();
        for n in 0..20 {
            let request = get(path).from(&format!("198.51.100.{n}"));
            let mut step = rig.gate.decide(&request, rig.shown());
            if let Step::Ask(ask, exchange) = step {
                let reply = rig.reply(&ask);
                let now = rig.shown();
                step = rig.gate.resume(&request, &ask, exchange, reply, now);
            }
            let Step::Respond(respond) = step else {
                panic!("{path}: {step:?}");
            };
            assert_eq!(respond.answer.status, 200);
            refreshing.extend(respond.after.refresh);
        }
        assert_eq!(refreshing.len(), 1, "{path}");
    }
}

#[test]
fn of_all_isolates_that_see_it_stale_one_refreshes() {
    let mut rig = Rig::new(config());
    rig.get("/book");
    rig.wait(500);
    let mut refreshing = 0;
    for _ in 0..10 {
        rig.another_isolate();
        let request = get("/book");
        let Step::Ask(ask, exchange) = rig.gate.decide(&request, rig.shown()) else {
            panic!("it is not at hand");
        };
        let (reply, now) = (rig.reply(&ask), rig.shown());
        let step = rig.gate.resume(&request, &ask, exchange, reply, now);
        let Step::Respond(respond) = step else {
            panic!("{step:?}");
        };
        refreshing += usize::from(respond.after.refresh.is_some());
    }
    assert_eq!(refreshing, 1);
}

#[test]
fn a_refresh_that_never_comes_back_is_tried_again() {
    let mut rig = Rig::new(json!({
        "origin": "https://api.example",
        "origin_timeout": "1s",
        "routes": [{ "path": "/free", "cache": { "ttl": "1s", "stale_while_revalidate": "60s" } }],
    }));
    rig.get("/free");
    rig.wait(1_000);
    let refreshes = |rig: &mut Rig| match rig.gate.decide(&get("/free"), rig.shown()) {
        Step::Respond(respond) => respond.after.refresh.is_some(),
        step => panic!("{step:?}"),
    };
    assert!(refreshes(&mut rig));
    rig.wait(999);
    assert!(!refreshes(&mut rig));
    rig.wait(1);
    assert!(refreshes(&mut rig));
}

#[test]
fn past_its_time_the_origin_is_asked_first() {
    let mut rig = Rig::new(config());
    rig.next(response(200, "old"));
    rig.get("/free");
    rig.wait(2_499);
    let request = get("/free");
    let step = rig.gate.decide(&request, rig.shown());
    assert!(matches!(&step, Step::Respond(respond) if respond.after.refresh.is_some()));
    rig.wait(1);
    rig.next(response(200, "new"));
    let seen = rig.get("/free");
    assert_eq!((seen.text(), seen.fetches), ("new", 1));
    assert_eq!(seen.cache(), "fwd=stale; stored; ttl=0");
}

#[test]
fn a_lifetime_that_is_made_shorter_counts_at_once() {
    for (stale, refreshed) in [(Some("1d"), true), (None, false)] {
        let of_ttl = |ttl| {
            let cache = json!({ "ttl": ttl, "stale_while_revalidate": stale });
            json!({ "origin": "https://api.example", "routes": [{ "path": "/b", "cache": cache }] })
        };
        let mut before = Rig::new(of_ttl("1h"));
        before.next(response(200, "old"));
        before.get("/b");
        let mut after = Rig::new(of_ttl("1s"));
        before.swap_stores(&mut after);
        after.wait(2_000);
        let start = after.now;
        after.next(response(200, "new"));
        let seen = after.get("/b");
        assert_eq!((seen.refreshed, after.now), (refreshed, start));
        assert_eq!(after.get("/b").text(), "new");
    }
}

#[test]
fn a_stale_entry_stands_in_for_a_failed_origin_up_to_the_ceiling() {
    let failures = [
        Ok(response(500, "broken")),
        Ok(response(502, "broken")),
        Ok(response(503, "broken")),
        Ok(response(504, "broken")),
        Err(Failure::Failed),
        Err(Failure::TimedOut),
    ];
    for failure in failures {
        let mut rig = Rig::new(config());
        rig.next(response(200, "old"));
        rig.get("/book");
        for wait in [2_500, 7_999] {
            rig.wait(wait);
            rig.origin.push_back(failure.clone());
            let seen = rig.get("/book");
            assert_eq!((seen.status, seen.text()), (200, "old"), "{failure:?}");
            assert!(seen.cache().starts_with("fwd=stale; "), "{}", seen.cache());
            assert!(seen.cache().ends_with("; detail=stale-if-error"));
            assert_eq!(seen.limiter(), "redis");
        }
        // `ttl` and `stale_if_error` are over: not a millisecond more.
        rig.wait(1);
        rig.origin.push_back(failure.clone());
        let seen = rig.get("/book");
        let expected = match &failure {
            Ok(answer) => answer.status,
            Err(Failure::Failed) => 502,
            Err(Failure::TimedOut) => 504,
        };
        assert_eq!(seen.status, expected, "{failure:?}");
        assert_ne!(seen.text(), "old");
    }
}

#[test]
fn the_ceiling_is_counted_when_the_origin_has_failed_and_not_before() {
    let mut rig = Rig::new(config());
    rig.get("/free");
    rig.wait(9_000);
    rig.origin_takes = Duration::from_secs(5);
    rig.origin.push_back(Err(Failure::TimedOut));
    assert_eq!(rig.get("/free").status, 504);
}

#[test]
fn a_failure_with_nothing_to_stand_in_is_a_problem() {
    for (failure, status, code) in [
        (Failure::Failed, 502, "origin_failed"),
        (Failure::TimedOut, 504, "origin_timed_out"),
    ] {
        let mut rig = Rig::new(config());
        for (path, cache) in [("/book", "fwd=uri-miss"), ("/other", "")] {
            rig.origin.push_back(Err(failure));
            let seen = rig.get(path);
            assert_eq!(seen.status, status);
            assert_eq!(seen.cache(), cache);
            assert_eq!(seen.header("content-type"), "application/problem+json");
            let body: Value = serde_json::from_slice(&seen.body).unwrap();
            assert_eq!(body["code"], code);
        }
        let post = get("/book").by("POST");
        rig.origin.push_back(Err(failure));
        let seen = rig.send(&post);
        assert_eq!((seen.status, seen.cache().as_str()), (status, "fwd=method"));
        assert!(seen.header("ratelimit").starts_with("\"ip\";r="));
    }
}

#[test]
fn a_failed_refresh_leaves_the_entry_and_serves_it_on() {
    let mut rig = Rig::new(config());
    rig.next(response(200, "old"));
    rig.get("/free");
    rig.wait(500);
    rig.origin.push_back(Err(Failure::Failed));
    assert!(rig.get("/free").refreshed);
    let seen = rig.get("/free");
    assert_eq!(
        (seen.text(), seen.fetches, seen.refreshed),
        ("old", 0, false)
    );
}

#[test]
fn a_refresh_is_conditional_and_a_304_renews_the_entry() {
    let mut rig = Rig::new(config());
    rig.next(book("[1]").with("x-turn", "1"));
    rig.get("/book");
    rig.wait(500);
    rig.next(response(304, "").with("etag", "\"v1\"").with("x-turn", "2"));
    assert!(rig.get("/book").refreshed);
    assert_eq!(rig.sent[1].headers["if-none-match"], "\"v1\"");
    let seen = rig.get("/book");
    hit(&seen, "l1");
    assert_eq!((seen.text(), seen.header("x-turn").as_str()), ("[1]", "2"));
    assert_eq!(rig.writes.len(), 2, "the store's copy is renewed too");
    rig.another_isolate();
    assert_eq!(rig.get("/book").header("x-turn"), "2");
}

#[test]
fn a_head_refreshes_nothing_and_holds_off_nobody_who_does() {
    let mut rig = Rig::new(config());
    rig.get("/book");
    rig.wait(500);
    let seen = rig.send(&get("/book").by("HEAD"));
    assert_eq!((seen.status, seen.refreshed), (200, false));
    assert!(rig.get("/book").refreshed);
}

#[test]
fn the_time_that_the_origin_takes_is_part_of_the_age() {
    let mut rig = Rig::new(json!({
        "origin": "https://api.example",
        "routes": [{ "path": "/plain", "cache": {} }],
    }));
    rig.origin_takes = Duration::from_secs(3);
    rig.next(response(200, "slow").with("cache-control", "max-age=4"));
    rig.get("/plain");
    assert_eq!(rig.get("/plain").header("age"), "3");
    rig.wait(1_000);
    assert_eq!(rig.get("/plain").fetches, 1);
}

#[test]
fn a_status_that_no_response_can_have_is_a_failure_of_the_origin() {
    for status in [600, 999, 199, 99, 0] {
        let mut config = config();
        config["routes"][0]["refund_on"] = json!([502]);
        let mut rig = Rig::new(config);
        rig.next(response(status, "what"));
        let seen = rig.get("/book");
        assert_eq!(seen.status, 502, "{status}: nothing to serve in its place");
        assert!(seen.header("ratelimit").contains("r=1000"), "{status}");
        rig.get("/book");
        rig.wait(5_000);
        rig.next(response(status, "what"));
        let seen = rig.get("/book");
        assert_eq!((seen.status, seen.text()), (200, "plain"), "{status}");
    }
}
