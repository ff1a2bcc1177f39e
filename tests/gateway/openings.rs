//! A page that is opened: several requests of a client that is new to the isolate come at once.

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::gateway::Step;
use serde_json::{Value, json};

use crate::rig::{Rig, Store, get};

fn config(strategy: &str, quota: u64) -> Value {
    let limit =
        |by: &str| json!({ "by": by, "window": "2m", "quota": quota, "strategy": strategy });
    json!({
        "origin": "https://api.example",
        "default_limits": ["client", "ip"],
        "limits": { "client": limit("client"), "ip": limit("ip") },
    })
}

#[test]
fn while_the_first_permits_are_on_their_way_others_wait_for_them() {
    let mut rig = Rig::new(config("lease", 300));
    let request = get("/a");
    let now = rig.shown();
    let Step::Ask(ask, context) = rig.gate.decide(&request, now) else {
        panic!("the first one asks the store");
    };
    let mut others: Vec<_> = (0..10).map(|_| rig.gate.decide(&request, now)).collect();
    assert!(
        others
            .iter()
            .all(|step| matches!(step, Step::AwaitPermits(..)))
    );
    let reply = rig.reply(&ask);
    let first = rig.gate.resume(&request, &ask, context, reply, now);
    assert_eq!(rig.carry_on(&request, first).status, 200);
    for step in others.drain(..) {
        let seen = rig.carry_on(&request, step);
        assert_eq!(
            (seen.status, seen.limiter(), seen.asks),
            (200, "lease".to_owned(), 0)
        );
    }
    assert_eq!(rig.asks.len(), 1);
}

#[test]
fn nobody_waits_long_for_permits_that_do_not_come() {
    let mut rig = Rig::new(config("lease", 300));
    let request = get("/a");
    let now = rig.shown();
    let lost = rig.gate.decide(&request, now);
    assert!(matches!(lost, Step::Ask(..)));
    let seen = rig.get("/a");
    assert_eq!(
        (seen.status, seen.limiter(), seen.asks),
        (200, "redis".to_owned(), 1)
    );
    let waited = rig.now.since(now).as_millis();
    assert!((50..=100).contains(&waited), "{waited} ms");
}

#[test]
fn a_request_that_has_to_ask_anyway_does_not_wait() {
    for config in [config("exact", 300), config("lease", 20)] {
        let mut rig = Rig::new(config);
        let now = rig.shown();
        let request = get("/a");
        for _ in 0..3 {
            assert!(matches!(rig.gate.decide(&request, now), Step::Ask(..)));
        }
    }
    let mut rig = Rig::without_store(config("lease", 300));
    let now = rig.now;
    for _ in 0..3 {
        assert_eq!(rig.get("/a").status, 200);
    }
    assert_eq!(rig.now, now);
}

#[test]
fn another_client_and_a_failing_store_hold_nobody_up() {
    let mut rig = Rig::new(config("lease", 300));
    let now = rig.shown();
    let first = rig.gate.decide(&get("/a").from("192.0.2.1"), now);
    let other = rig.gate.decide(&get("/a").from("192.0.2.2"), now);
    assert!(matches!((first, other), (Step::Ask(..), Step::Ask(..))));
    let mut rig = Rig::new(config("lease", 300));
    rig.store = Store::Down(ErrorKind::Unauthorised);
    assert_eq!(rig.get("/a").limiter(), "local");
    let before = rig.now;
    assert_eq!(rig.get("/a").limiter(), "local");
    assert_eq!(rig.now, before);
}
