//! Registered keys with their plans, and shares of a limit that a route reserves for itself.

use omnitrade_edge::engine::registry::record_key;
use omnitrade_edge::engine::subject::{domain, of_api_key};
use omnitrade_edge::error::ErrorKind;
use serde_json::{Value, json};

use crate::rig::{Request, Rig, Store, get};

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "client": { "keys": "registered" },
        "default_limits": ["client"],
        "limits": {
            "client": {
                "by": "client", "window": "60s", "quota": 3, "keyed_quota": 5, "plans": { "pro": 20 },
            },
            "key": { "by": "api-key", "window": "60s", "quota": 4, "plans": { "pro": 8 } },
            "hot": {
                "by": "client", "window": "60s", "quota": 3, "plans": { "pro": 1000 },
                "strategy": "lease",
            },
            "orders": { "by": "ip", "window": "60s", "quota": 10 },
        },
        "routes": [
            { "path": "/keyed", "limits": ["key"] },
            { "path": "/hot", "limits": ["hot"] },
            { "path": "/orders", "methods": ["POST"], "limits": ["orders"] },
            { "path": "/orders", "methods": ["DELETE"], "limits": ["orders"],
              "reserve": { "orders": "25%" } },
        ],
    })
}

pub fn register(rig: &mut Rig, key: &str, record: &str) {
    let digest = of_api_key(key, &domain("ot"));
    let now = rig.now;
    rig.model
        .set(&record_key("ot", &digest), record, 3_600_000, now);
}

fn revoke(rig: &mut Rig, key: &str) {
    let digest = of_api_key(key, &domain("ot"));
    rig.model.delete(&record_key("ot", &digest));
}

fn with_key(path: &str, key: &str) -> Request {
    get(path).with("x-api-key", key)
}

fn policy(rig: &mut Rig, path: &str, key: &str) -> String {
    rig.send(&with_key(path, key)).header("ratelimit-policy")
}

#[test]
fn a_registered_key_has_the_quota_of_its_plan_in_the_same_call() {
    let mut rig = Rig::new(config());
    register(&mut rig, "pro-key", "1 pro");
    register(&mut rig, "plain-key", "1");
    register(&mut rig, "odd-key", "1 unheard-of");
    let seen = rig.send(&with_key("/any", "pro-key"));
    assert_eq!(seen.asks, 1);
    assert_eq!(seen.header("ratelimit-policy"), r#""client";q=20;w=60"#);
    assert_eq!(seen.header("ratelimit"), r#""client";r=19;t=62"#);
    assert_eq!(
        policy(&mut rig, "/any", "plain-key"),
        r#""client";q=5;w=60"#
    );
    assert_eq!(policy(&mut rig, "/any", "odd-key"), r#""client";q=5;w=60"#);
}

#[test]
fn unknown_keys_count_as_no_key_and_share_the_address() {
    let mut rig = Rig::new(config());
    register(&mut rig, "broken", "2 pro");
    let mut served = 0;
    for n in 0..20 {
        let key = if n == 3 {
            "broken".to_owned()
        } else {
            format!("made-up-{n}")
        };
        served += u32::from(rig.send(&with_key("/any", &key)).status == 200);
    }
    assert_eq!(served, 3, "as many as without a key");
    assert_eq!(rig.get("/any").status, 429);
    let keyed = rig.send(&with_key("/keyed", "made-up"));
    assert_eq!((keyed.status, keyed.limiter().as_str()), (200, "none"));
    assert_eq!(
        keyed.header("ratelimit-policy"),
        "",
        "a limit by key does not apply"
    );
}

#[test]
fn a_revoked_key_counts_as_none_at_once_where_the_store_is_asked() {
    let mut rig = Rig::new(config());
    register(&mut rig, "k", "1 pro");
    assert_eq!(policy(&mut rig, "/any", "k"), r#""client";q=20;w=60"#);
    revoke(&mut rig, "k");
    assert_eq!(policy(&mut rig, "/any", "k"), r#""client";q=3;w=60"#);
}

#[test]
fn a_revoked_key_loses_what_was_fetched_ahead_within_ten_seconds() {
    let mut rig = Rig::new(config());
    register(&mut rig, "k", "1 pro");
    for _ in 0..50 {
        assert_eq!(rig.send(&with_key("/hot", "k")).status, 200);
    }
    assert_eq!(rig.send(&with_key("/hot", "k")).limiter(), "lease");
    revoke(&mut rig, "k");
    rig.wait(10_000);
    let seen = rig.send(&with_key("/hot", "k"));
    assert_eq!(seen.header("ratelimit-policy"), r#""hot";q=3;w=60"#);
}

#[test]
fn a_registered_keys_refusal_is_remembered_and_not_against_its_address() {
    let mut rig = Rig::new(config());
    register(&mut rig, "k", "1");
    let statuses: Vec<_> = (0..7)
        .map(|_| rig.send(&with_key("/any", "k")).status)
        .collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429]);
    assert_eq!(rig.send(&with_key("/any", "k")).limiter(), "blocked");
    assert_eq!(rig.get("/any").status, 200);
}

#[test]
fn without_the_store_a_key_stands_as_it_was_last_known() {
    let mut rig = Rig::new(config());
    register(&mut rig, "k", "1 pro");
    rig.send(&with_key("/any", "k"));
    rig.wait(30_000);
    rig.store = Store::Down(ErrorKind::Unreachable);
    let served = |rig: &mut Rig, key: &str| {
        (0..30)
            .filter(|_| rig.send(&with_key("/any", key)).status == 200)
            .count()
    };
    assert_eq!(served(&mut rig, "k"), 10, "half of its quota at once");
    assert_eq!(served(&mut rig, "never-seen"), 2, "as without a key");
}

#[test]
fn a_route_without_limits_by_key_does_not_read_the_record() {
    let mut rig = Rig::new(config());
    rig.send(&with_key("/orders", "k").by("POST"));
    let asked = rig.asks.last().unwrap();
    assert_eq!(asked.keys, ["ot:l:orders:192.0.2.7"]);
}

#[test]
fn cancelling_passes_when_placing_is_refused() {
    let mut rig = Rig::new(config());
    let place = get("/orders").by("POST");
    let cancel = get("/orders").by("DELETE");
    let placed = (0..20).filter(|_| rig.send(&place).status == 200).count();
    assert_eq!(placed, 7, "three of ten are kept");
    let seen = rig.send(&place);
    assert_eq!((seen.status, seen.limiter().as_str()), (429, "blocked"));
    let first = rig.send(&cancel);
    assert_eq!(
        first.status, 200,
        "what is remembered of the one is not held against the other"
    );
    assert_eq!(first.header("ratelimit"), r#""orders";r=2;t=62"#);
    let cancelled = (0..20).filter(|_| rig.send(&cancel).status == 200).count();
    assert_eq!(cancelled, 2);
    // A client that waits as long as it was told is served.
    let told: u64 = rig.send(&place).header("retry-after").parse().unwrap();
    rig.wait(told * 1_000);
    assert_eq!(rig.send(&place).status, 200);
}

#[test]
fn what_is_kept_is_kept_without_the_store_and_from_leases_too() {
    let mut leased = config();
    leased["limits"]["orders"]["strategy"] = json!("lease");
    leased["limits"]["orders"]["quota"] = json!(100);
    let place = get("/orders").by("POST");
    let cancel = get("/orders").by("DELETE");
    for mut rig in [Rig::new(leased.clone()), Rig::without_store(leased.clone())] {
        let placed = (0..200).filter(|_| rig.send(&place).status == 200).count();
        let cancelled = (0..200).filter(|_| rig.send(&cancel).status == 200).count();
        assert!(
            cancelled * 3 >= placed,
            "{placed} placed, {cancelled} cancelled"
        );
        assert!(placed + cancelled <= 100);
    }
}
