//! Penalties for clients that ignore refusals.

use serde_json::{Value, json};

use crate::rig::{Rig, Seen, get};

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "default_limits": ["ip"],
        "limits": { "ip": {
            "by": "ip", "window": "10s", "quota": 2,
            "penalty": { "after": 5, "hold": "60s", "max": "150s" },
        } },
        "routes": [],
    })
}

fn kind(seen: &Seen) -> String {
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    let kind = body["type"].as_str().unwrap();
    kind.split('#').nth(1).unwrap().to_owned()
}

fn told(seen: &Seen) -> u64 {
    seen.header("retry-after").parse().unwrap()
}

/// Spends the quota and goes on after refusals until the client is blocked.
fn provoke(rig: &mut Rig) -> u64 {
    while rig.get("/any").status == 200 {}
    for _ in 0..3 {
        let seen = rig.get("/any");
        assert_eq!(kind(&seen), "quota-exceeded");
        assert!(told(&seen) <= 11);
    }
    let last = rig.get("/any");
    assert_eq!(kind(&last), "quota-exceeded");
    told(&last)
}

#[test]
fn after_so_many_refusals_a_client_is_held_off_and_told_without_the_store() {
    let mut rig = Rig::new(config());
    assert_eq!(
        provoke(&mut rig),
        60,
        "the refusal that brings the hold tells of it"
    );
    rig.wait(59_000);
    let seen = rig.get("/any");
    assert_eq!((seen.status, seen.asks, seen.fetches), (429, 0, 0));
    assert_eq!(seen.limiter(), "blocked");
    assert_eq!(
        (kind(&seen).as_str(), told(&seen)),
        ("abnormal-usage-detected", 1)
    );
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(body["violated-policies"], json!(["ip"]));
    assert_eq!(body["retry-after"], 1);
    let other = get("/any").from("198.51.100.9");
    assert_eq!(rig.send(&other).status, 200, "nobody else is");
    rig.wait(1_000);
    assert_eq!(rig.get("/any").status, 200);
}

#[test]
fn each_further_hold_is_longer_up_to_the_longest() {
    let mut rig = Rig::new(config());
    for seconds in [60, 120, 150, 150] {
        assert_eq!(provoke(&mut rig), seconds);
        rig.wait(seconds * 1_000);
    }
    rig.wait(150_000);
    assert_eq!(provoke(&mut rig), 60, "who behaved for so long starts anew");
}

#[test]
fn requests_during_a_hold_make_it_no_longer() {
    let mut rig = Rig::new(config());
    provoke(&mut rig);
    for left in (0..60).rev() {
        rig.wait(999);
        for _ in 0..10 {
            assert_eq!(told(&rig.get("/any")), left + 1);
        }
        rig.wait(1);
    }
    assert_eq!(rig.get("/any").status, 200);
}

#[test]
fn a_limit_in_shadow_holds_nobody_off() {
    let mut shadow = config();
    shadow["limits"]["ip"]["mode"] = json!("shadow");
    let mut rig = Rig::new(shadow);
    for _ in 0..50 {
        assert_eq!(rig.get("/any").status, 200);
    }
}

#[test]
fn nobody_is_held_off_because_the_store_fails() {
    let mut rig = Rig::new(config());
    rig.store = crate::rig::Store::Down(omnitrade_edge::error::ErrorKind::Unreachable);
    let mut refused = 0;
    for _ in 0..50 {
        refused += u32::from(rig.get("/any").status == 503);
    }
    assert!(refused > 40);
    rig.wait(11_000);
    assert_eq!(rig.get("/any").status, 200);
}

#[test]
fn a_hold_cannot_be_got_round_by_keys_that_nobody_has_registered() {
    let mut registered = config();
    registered["client"] = json!({ "keys": "registered" });
    registered["limits"]["ip"]["by"] = json!("client");
    let mut rig = Rig::new(registered);
    provoke(&mut rig);
    for n in 0..30 {
        rig.wait(1_900);
        let seen = rig.send(&get("/any").with("x-api-key", &format!("made-up-{n}")));
        assert_eq!((seen.status, seen.fetches), (429, 0), "{n}");
        assert_eq!(kind(&seen), "abnormal-usage-detected");
        assert!(told(&seen) <= 60 - (n + 1) * 19 / 10);
    }
}
