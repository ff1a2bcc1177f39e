//! Several responses to one URL (RFC 9111 §4.1): where variants are stored, and when they become
//! void.

use std::time::Duration;

use omnitrade_edge::gateway::{Handoff, Step};
use serde_json::json;

use crate::cache::hit;
use crate::rig::{Request, Rig, get, response};

fn rig() -> Rig {
    Rig::new(json!({
        "origin": "https://api.example",
        "limits": { "ip": { "by": "ip", "window": "60s", "quota": 1000 } },
        "routes": [
            { "path": "/free", "cache": { "ttl": "10s" } },
            { "path": "/limited", "limits": ["ip"], "cache": { "ttl": "10s" } },
        ],
    }))
}

fn spoken(path: &str, tongue: &str) -> Request {
    get(path).with("x-tongue", tongue)
}

/// Requests a path in this language, in which the origin answers.
fn ask(rig: &mut Rig, path: &str, tongue: &str) -> (usize, usize, String) {
    rig.next(response(200, tongue).with("vary", "X-Tongue"));
    let seen = rig.send(&spoken(path, tongue));
    rig.origin.clear();
    assert_eq!(seen.text(), tongue);
    (seen.fetches, seen.asks, seen.cache())
}

#[test]
fn variants_lie_side_by_side_rfc9111_4_1() {
    let mut rig = rig();
    for tongue in ["de", "en", "fr"] {
        assert_eq!(ask(&mut rig, "/free", tongue).0, 1, "{tongue}");
    }
    for tongue in ["de", "en", "fr"] {
        hit(&rig.send(&spoken("/free", tongue)), "l1");
    }
    let keys: Vec<_> = rig.writes.iter().map(|write| &write.key).collect();
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
}

#[test]
fn another_isolate_finds_a_variant_with_one_more_call() {
    let mut rig = rig();
    for tongue in ["de", "en"] {
        ask(&mut rig, "/limited", tongue);
    }
    rig.another_isolate();
    let second = rig.send(&spoken("/limited", "en"));
    hit(&second, "redis");
    assert_eq!((second.asks, second.text()), (2, "en"));
    // From then on the isolate knows by which headers the variants differ.
    let third = ask(&mut rig, "/limited", "fr");
    assert_eq!((third.0, third.1), (1, 1));
    assert!(third.2.starts_with("fwd=vary-miss; stored"), "{}", third.2);
    rig.another_isolate();
    let first = rig.send(&spoken("/limited", "de"));
    hit(&first, "redis");
    assert_eq!(first.asks, 1, "the leader is there at once");
}

#[test]
fn what_changes_the_url_takes_all_variants_with_it_rfc9111_4_4() {
    let mut rig = rig();
    for tongue in ["de", "en"] {
        ask(&mut rig, "/free", tongue);
    }
    rig.wait(1);
    rig.next(response(204, ""));
    rig.send(&get("/free").by("DELETE"));
    assert_eq!(rig.deleted.len(), 1, "the leader alone");
    // A new leader does not find the old one's variants.
    assert_eq!(ask(&mut rig, "/free", "de").0, 1);
    assert_eq!(ask(&mut rig, "/free", "en").0, 1);
    rig.another_isolate();
    hit(&rig.send(&spoken("/free", "en")), "redis");
}

#[test]
fn a_leader_that_was_removed_elsewhere_comes_back_without_its_family() {
    let mut rig = rig();
    rig.next(
        response(200, "de")
            .with("vary", "x-tongue")
            .with("etag", "\"d\""),
    );
    rig.send(&spoken("/free", "de"));
    ask(&mut rig, "/free", "en");
    // Another isolate handled a DELETE: this one still has the stale leader, and revalidates it.
    let leader = rig.writes[0].key.clone();
    rig.model.delete(&leader);
    rig.wait(10_001);
    rig.next(response(304, "").with("etag", "\"d\""));
    assert_eq!(rig.send(&spoken("/free", "de")).text(), "de");
    rig.another_isolate();
    assert_eq!(ask(&mut rig, "/free", "en").0, 1);
}

#[test]
fn of_two_that_come_at_once_the_second_does_not_replace_the_first() {
    let mut rig = Rig::without_store(json!({
        "origin": "https://api.example",
        "routes": [{ "path": "/free", "cache": { "ttl": "10s" } }],
    }));
    let now = rig.now;
    let under_way = ["de", "en"].map(|tongue| {
        let request = spoken("/free", tongue);
        let mut step = rig.gate.decide(&request, now);
        if let Step::Wait(_, exchange) = step {
            // It has waited for the first request as long as it may.
            let late = now + Duration::from_secs(3);
            step = rig.gate.waited(&request, exchange, late);
        }
        match step {
            Step::Fetch(_, exchange) => (tongue, request, exchange),
            other => panic!("{other:?}"),
        }
    });
    for (tongue, request, exchange) in under_way {
        let answer = response(200, tongue).with("vary", "x-tongue");
        match rig
            .gate
            .origin_answered(&request, exchange, Ok(&answer), now)
        {
            Handoff::Relay(relay) => rig.gate.filled(*relay.fill.unwrap(), answer.body, now),
            other => panic!("{other:?}"),
        };
    }
    for tongue in ["de", "en"] {
        let seen = rig.send(&spoken("/free", tongue));
        hit(&seen, "l1");
        assert_eq!(seen.text(), tongue);
    }
}

#[test]
fn who_turns_to_a_variant_gives_the_lease_of_the_first_one_back() {
    let mut rig = Rig::new(json!({
        "origin": "https://api.example",
        "routes": [{ "path": "/v", "cache": { "ttl": "1s", "stale_while_revalidate": "2s" } }],
    }));
    ask(&mut rig, "/v", "de");
    rig.wait(1_500);
    rig.another_isolate();
    ask(&mut rig, "/v", "fr");
    let sent = rig.sent.len();
    rig.next(response(200, "de").with("vary", "X-Tongue"));
    let seen = rig.send(&spoken("/v", "de"));
    assert_eq!((seen.refreshed, rig.sent.len() - sent), (true, 1));
}

#[test]
fn a_variant_is_revalidated_for_itself_rfc9111_4_3_1() {
    let mut rig = rig();
    for tongue in ["de", "en"] {
        let tag = format!("\"{tongue}\"");
        rig.next(
            response(200, tongue)
                .with("vary", "x-tongue")
                .with("etag", &tag),
        );
        rig.send(&spoken("/free", tongue));
    }
    rig.wait(10_000);
    rig.next(response(304, "").with("etag", "\"en\""));
    let seen = rig.send(&spoken("/free", "en"));
    assert_eq!(seen.text(), "en");
    let asked = rig.sent.last().unwrap();
    assert_eq!(asked.headers["if-none-match"], "\"en\"");
    hit(&rig.send(&spoken("/free", "en")), "l1");
}

#[test]
fn a_response_that_no_longer_varies_answers_all_rfc9111_4_1() {
    let mut rig = rig();
    ask(&mut rig, "/free", "de");
    rig.wait(1);
    rig.next(response(200, "all"));
    assert_eq!(rig.send(&spoken("/free", "en")).text(), "all");
    for tongue in ["de", "en", "fr"] {
        assert_eq!(rig.send(&spoken("/free", tongue)).text(), "all");
    }
}
