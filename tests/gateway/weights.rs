//! The cost of a request: set by its route, corrected by the origin, or refunded.

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::message::forward::Failure;
use serde_json::{Value, json};

use crate::rig::{Rig, Store, get, response};

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "default_limits": ["ip"],
        "limits": {
            "ip": { "by": "ip", "window": "60s", "quota": 100 },
            "hot": { "by": "ip", "window": "60s", "quota": 1000, "strategy": "lease" },
        },
        "routes": [
            { "path": "/dear", "limits": ["ip"], "cost": 10 },
            { "path": "/kind", "limits": ["ip"], "cost": 10, "refund_on": [500, 502, 503, 504] },
            { "path": "/hot", "limits": ["hot", "ip"], "refund_on": [503] },
            { "path": "/book", "limits": ["ip"], "cache": { "ttl": "10s" }, "refund_on": [502] },
        ],
    })
}

/// What is left of the limit `ip`, as another isolate sees it.
fn left(rig: &mut Rig) -> u64 {
    let mut other = rig.beside();
    other.model = std::mem::take(&mut rig.model);
    let state = other.get("/any").header("ratelimit");
    rig.model = std::mem::take(&mut other.model);
    let r = state.split("r=").nth(1).unwrap().split(';').next().unwrap();
    // This request itself cost one permit.
    r.parse::<u64>().unwrap() + 1
}

#[test]
fn the_true_cost_is_settled_after_the_response_and_is_not_for_clients() {
    let mut rig = Rig::new(config());
    rig.next(response(200, "cheap").with("x-edge-cost", "3"));
    let seen = rig.get("/dear");
    assert_eq!((seen.status, seen.asks), (200, 1));
    assert_eq!(seen.header("x-edge-cost"), "");
    assert_eq!(seen.header("ratelimit"), r#""ip";r=97;t=62"#);
    assert_eq!(rig.background.len(), 1);
    assert_eq!(left(&mut rig), 97);
    rig.next(response(200, "dearer").with("x-edge-cost", "25"));
    assert_eq!(rig.get("/dear").header("ratelimit"), r#""ip";r=71;t=62"#);
    assert_eq!(left(&mut rig), 71, "97 less one look and 25");
}

#[test]
fn a_true_cost_beyond_the_quota_is_counted_and_refuses_who_comes_next() {
    let mut rig = Rig::new(config());
    rig.next(response(200, "huge").with("x-edge-cost", "500"));
    assert_eq!(rig.get("/dear").status, 200);
    rig.another_isolate();
    let seen = rig.get("/any");
    assert_eq!(seen.status, 429);
    assert_eq!(seen.header("retry-after"), "62");
    rig.wait(62_000);
    assert_eq!(rig.get("/any").status, 200);
}

#[test]
fn a_cost_that_is_no_number_or_the_same_changes_nothing() {
    let mut rig = Rig::new(config());
    for cost in ["10", "", "-3", "ten", "1e3", "3, 4", "99999999999999999999"] {
        rig.next(response(200, "x").with("x-edge-cost", cost));
        let seen = rig.get("/dear");
        assert_eq!(
            (seen.status, seen.header("x-edge-cost").as_str()),
            (200, ""),
            "{cost}"
        );
    }
    assert_eq!(rig.background.len(), 0);
    assert_eq!(left(&mut rig), 30);
}

#[test]
fn an_answer_that_failed_gives_its_permits_back() {
    let mut rig = Rig::new(config());
    for failure in [500, 502, 503, 504] {
        rig.next(response(failure, "sorry"));
        let seen = rig.get("/kind");
        assert_eq!(seen.status, failure);
        assert_eq!(seen.header("ratelimit"), r#""ip";r=100;t=62"#);
    }
    for failure in [Failure::Failed, Failure::TimedOut] {
        rig.origin.push_back(Err(failure));
        assert!(rig.get("/kind").status > 500, "of the gate's own");
    }
    assert_eq!(left(&mut rig), 100);
    for other in [404, 501] {
        rig.next(response(other, "no"));
        assert_eq!(rig.get("/kind").status, other);
    }
    assert_eq!(left(&mut rig), 79, "a look and two that count");
}

#[test]
fn a_stored_answer_in_place_of_a_failure_is_paid_for() {
    let mut rig = Rig::new(config());
    let mut stored = config();
    stored["routes"][3]["cache"]["stale_if_error"] = json!("60s");
    let mut rig_stale = Rig::new(stored);
    rig_stale.get("/book");
    rig_stale.wait(11_000);
    rig_stale.origin.push_back(Err(Failure::Failed));
    let seen = rig_stale.get("/book");
    assert_eq!((seen.status, rig_stale.background.len()), (200, 0));
    rig.origin.push_back(Err(Failure::Failed));
    assert_eq!((rig.get("/book").status, rig.background.len()), (502, 1));
}

#[test]
fn a_leased_permit_goes_back_into_its_lease_without_a_call() {
    let mut rig = Rig::new(config());
    for _ in 0..10 {
        assert_eq!(rig.get("/hot").status, 200);
    }
    let before = rig.get("/hot").header("ratelimit");
    assert!(before.starts_with(r#""hot";r=989;"#), "{before}");
    rig.background.clear();
    rig.next(response(503, "busy"));
    let seen = rig.get("/hot");
    let after = seen.header("ratelimit");
    assert!(after.starts_with(r#""hot";r=989;"#), "{after}");
    let settles = rig
        .background
        .iter()
        .filter(|ask| ask.args.contains(&"settle".to_owned()));
    let keys: Vec<_> = settles.flat_map(|ask| ask.keys.clone()).collect();
    assert_eq!(
        keys,
        ["ot:l:ip:192.0.2.7"],
        "the exact one is told the store"
    );
}

#[test]
fn without_a_store_permits_go_back_too() {
    let mut rig = Rig::without_store(config());
    for _ in 0..20 {
        rig.next(response(503, "busy"));
        assert_eq!(rig.get("/kind").status, 503);
    }
    assert_eq!(rig.get("/kind").status, 200);
}

#[test]
fn a_refund_that_fails_gives_nobody_more() {
    let mut rig = Rig::new(config());
    rig.next(response(200, "x").with("x-edge-cost", "1"));
    let step = rig.gate.decide(&get("/dear"), rig.shown());
    // The store dies after it has charged.
    let seen = {
        let (ask, exchange) = match step {
            omnitrade_edge::gateway::Step::Ask(ask, exchange) => (ask, exchange),
            other => panic!("{other:?}"),
        };
        let reply = rig.reply(&ask);
        let now = rig.shown();
        let step = rig.gate.resume(&get("/dear"), &ask, exchange, reply, now);
        rig.store = Store::Down(ErrorKind::Timeout);
        rig.carry_on(&get("/dear"), step)
    };
    assert_eq!(seen.status, 200);
    rig.store = Store::Up;
    assert_eq!(left(&mut rig), 90);
}
