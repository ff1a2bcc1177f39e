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

fn cached(strategy: &str, quota: u64) -> Value {
    let mut config = config(strategy, quota);
    config["routes"] = json!([
        { "path": "/book/{id}", "limits": ["client", "ip"], "cache": { "ttl": "10s" } },
    ]);
    config
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
    assert!(
        (150..=175).contains(&waited),
        "as long as a call may take: {waited} ms"
    );
}

#[test]
fn a_request_that_has_to_ask_for_another_entry_does_not_wait() {
    let mut rig = Rig::new(cached("exact", 300));
    let now = rig.shown();
    for path in ["/book/1", "/book/2", "/book/3"] {
        assert!(
            matches!(rig.gate.decide(&get(path), now), Step::Ask(..)),
            "{path}"
        );
    }
    let same = rig.gate.decide(&get("/book/1"), now);
    assert!(matches!(same, Step::AwaitPermits(..)), "{same:?}");
    let mut rig = Rig::without_store(config("lease", 300));
    let now = rig.now;
    for _ in 0..3 {
        assert_eq!(rig.get("/a").status, 200);
    }
    assert_eq!(rig.now, now);
}

/// A burst of requests of one client: how many pass, and how many calls that takes.
fn burst(rig: &mut Rig, path: &str, requests: usize) -> (usize, usize) {
    let asked = rig.asks.len();
    let request = get(path);
    let mut open: Vec<_> = (0..requests)
        .map(|_| rig.gate.decide(&request, rig.shown()))
        .collect();
    let mut passed = 0;
    for _ in 0..200 {
        // A call takes 20 ms, and who waits looks again after 5.
        let calls: Vec<_> = open
            .extract_if(.., |step| matches!(step, Step::Ask(..)))
            .collect();
        let replies: Vec<_> = calls
            .into_iter()
            .filter_map(|step| match step {
                Step::Ask(ask, context) => Some((rig.reply(&ask), ask, context)),
                _ => None,
            })
            .collect();
        rig.wait(5);
        let now = rig.shown();
        for step in std::mem::take(&mut open) {
            open.push(match step {
                Step::AwaitPermits(_, patient) => rig.gate.permits_awaited(&request, patient, now),
                other => other,
            });
        }
        for (reply, ask, context) in replies {
            open.push(rig.gate.resume(&request, &ask, context, reply, now));
        }
        for step in open.extract_if(.., |step| {
            matches!(step, Step::Respond(_) | Step::Fetch(..))
        }) {
            passed += usize::from(rig.carry_on(&request, step).status == 200);
        }
        if open.is_empty() {
            return (passed, rig.asks.len() - asked);
        }
    }
    panic!("{} are still open: {:?}", open.len(), open.first());
}

#[test]
fn a_burst_takes_a_handful_of_calls_and_gets_the_quota() {
    for strategy in ["exact", "lease"] {
        for (requests, quota, most) in [(100, 100, 4), (100, 1_000, 4), (100, 30, 4), (3, 2, 3)] {
            let mut rig = Rig::new(config(strategy, quota));
            let (passed, calls) = burst(&mut rig, "/a", requests);
            let case = format!("{requests} at {quota}, {strategy}: {passed} in {calls} calls");
            assert_eq!(
                passed,
                requests.min(usize::try_from(quota).unwrap()),
                "{case}"
            );
            assert!(calls <= most, "{case}");
        }
    }
}

#[test]
fn a_burst_for_one_entry_takes_a_handful_of_calls() {
    let mut rig = Rig::new(cached("exact", 100));
    let (passed, calls) = burst(&mut rig, "/book/1", 100);
    assert_eq!(passed, 100);
    assert!(calls <= 6, "{calls} calls");
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn a_burst_over_a_store_that_fails_is_decided_here() {
    let mut rig = Rig::new(config("exact", 100));
    rig.store = Store::Down(ErrorKind::Timeout);
    let (passed, calls) = burst(&mut rig, "/a", 100);
    assert_eq!(passed, 50, "the part that may be given here");
    assert!(calls <= 3, "{calls} calls");
}

#[test]
fn what_a_burst_did_not_use_comes_back() {
    let mut rig = Rig::new(config("exact", 100));
    let request = get("/a");
    let now = rig.shown();
    let Step::Ask(ask, context) = rig.gate.decide(&request, now) else {
        panic!("the first one asks the store");
    };
    // Their clients hang up while they wait.
    for _ in 0..20 {
        drop(rig.gate.decide(&request, now));
    }
    let reply = rig.reply(&ask);
    let step = rig.gate.resume(&request, &ask, context, reply, now);
    rig.carry_on(&request, step);
    let told = rig.get("/a").header("ratelimit");
    assert!(told.contains("\"client\";r=98;"), "{told}");
    rig.wait(10_000);
    rig.get("/a");
    let mut other = rig.beside();
    rig.swap_stores(&mut other);
    let told = other.get("/a").header("ratelimit");
    assert!(told.contains("\"client\";r=96;"), "{told}");
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
