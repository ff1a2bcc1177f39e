//! Penalties for clients that ignore refusals.

use serde_json::{Value, json};

use crate::plans::register;
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

/// A gate that counts registered keys apart, and everybody else by address.
fn registered(penalty: bool) -> Rig {
    let mut registered = config();
    registered["client"] = json!({ "keys": "registered" });
    registered["limits"]["ip"]["by"] = json!("client");
    registered["limits"]["ip"]["keyed_quota"] = json!(1_000);
    if !penalty {
        registered["limits"]["ip"]["penalty"].take();
        registered["limits"]["ip"]
            .as_object_mut()
            .unwrap()
            .remove("penalty");
    }
    Rig::new(registered)
}

#[test]
fn made_up_keys_of_a_refused_address_cost_few_calls_of_the_store() {
    for penalty in [true, false] {
        let mut rig = registered(penalty);
        while rig.get("/any").status == 200 {}
        let before = rig.asks.len();
        for n in 0..1_000 {
            let key = format!("made-up-{n}");
            let seen = rig.send(&get("/any").with("x-api-key", &key));
            assert_eq!((seen.status, seen.fetches), (429, 0), "{n}");
        }
        let asks = rig.asks.len() - before;
        assert!(asks <= 10, "{asks} calls");
    }
}

#[test]
fn who_has_a_registered_key_at_a_refused_address_is_soon_known() {
    let mut rig = registered(true);
    let record = get("/any").with("x-api-key", "good");
    register(&mut rig, "good", "1");
    provoke(&mut rig);
    // Others use up the calls for keys that come for the first time.
    for n in 0..100 {
        rig.send(&get("/any").with("x-api-key", &format!("made-up-{n}")));
    }
    assert_eq!(rig.send(&record).status, 429);
    rig.wait(1_000);
    for n in 0..100 {
        assert_eq!(rig.send(&record).status, 200, "{n}");
        rig.send(&get("/any").with("x-api-key", &format!("new-{n}")));
        rig.wait(200);
    }
    rig.wait(15_000);
    assert_eq!(rig.send(&record).status, 200, "it stays known");
}
