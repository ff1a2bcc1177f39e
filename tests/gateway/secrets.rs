//! Secrets in the digests of API keys and users, and what a rotation of them changes.

use omnitrade_edge::engine::registry::record_key;
use omnitrade_edge::identity::{ClientDigests, KeySecrets};
use serde_json::{Value, json};

use crate::rig::{Rig, Seen, get};

const OLD: &str = "old-secret-0123456789";
const NEW: &str = "new-secret-0123456789";

fn config(keys: &str) -> Value {
    json!({
        "origin": "https://api.example",
        "client": { "keys": keys },
        "partition_key": true,
        "limits": {
            "client": {
                "by": "client", "window": "60s", "quota": 3, "keyed_quota": 5, "plans": { "pro": 20 },
            },
            "hot": {
                "by": "client", "window": "60s", "quota": 3, "plans": { "pro": 1000 },
                "strategy": "lease",
            },
            "ip": { "by": "ip", "window": "60s", "quota": 9 },
        },
        "default_limits": ["client"],
        "routes": [
            { "path": "/hot", "limits": ["hot"] },
            { "path": "/ip", "limits": ["ip"] },
        ],
    })
}

fn secrets(current: Option<&str>, previous: Option<&str>) -> KeySecrets {
    KeySecrets::read(current, previous).unwrap()
}

fn rig(keys: &str, current: Option<&str>, previous: Option<&str>) -> Rig {
    let mut rig = Rig::new(config(keys));
    rig.another_isolate_with(secrets(current, previous));
    rig
}

fn digest(key: &str, secret: Option<&str>) -> String {
    ClientDigests::new("ot", secrets(secret, None)).of_api_key(key)
}

fn register(rig: &mut Rig, key: &str, secret: Option<&str>, record: &str) {
    let name = record_key("ot", &digest(key, secret));
    let now = rig.now;
    rig.model.set(&name, record, 3_600_000, now);
}

fn ask(rig: &mut Rig, path: &str, key: &str) -> Seen {
    rig.send(&get(path).with("x-api-key", key))
}

/// The quota that a client is told, and what is left of it.
fn told(seen: &Seen) -> (String, String) {
    let number = |field: &str, name: &str| {
        let field = seen.header(field);
        let (_, rest) = field.split_once(name).unwrap();
        rest.split(';').next().unwrap().to_owned()
    };
    (
        number("ratelimit-policy", ";q="),
        number("ratelimit", ";r="),
    )
}

#[test]
fn the_store_gets_no_digest_that_can_be_made_without_the_secret() {
    for keys in ["any", "registered"] {
        let mut rig = rig(keys, Some(NEW), None);
        register(&mut rig, "k", Some(NEW), "1 pro");
        for path in ["/", "/hot"] {
            assert_eq!(ask(&mut rig, path, "k").status, 200);
        }
        let named = |rig: &Rig, secret| {
            let digest = digest("k", secret);
            let asked = rig.asks.iter().flat_map(|ask| ask.keys.iter());
            asked.filter(|key| key.ends_with(&digest)).count()
        };
        assert!(named(&rig, Some(NEW)) >= 2);
        assert_eq!(named(&rig, None), 0, "{keys}");
    }
}

#[test]
fn without_a_secret_the_digests_are_those_of_before() {
    let mut rig = rig("any", None, None);
    ask(&mut rig, "/", "k");
    let expected = format!("ot:l:client:{}", digest("k", None));
    assert_eq!(rig.asks[0].keys, [expected]);
}

#[test]
fn a_key_registered_under_the_previous_secret_counts_in_the_same_call() {
    for (current, before, previous) in [
        (Some(NEW), Some(OLD), OLD),
        (Some(NEW), None, "none"),
        (None, Some(OLD), OLD),
    ] {
        let mut rig = rig("registered", current, Some(previous));
        register(&mut rig, "before", before, "1 pro");
        register(&mut rig, "since", current, "1");
        register(&mut rig, "both", before, "1");
        register(&mut rig, "both", current, "1 pro");
        for (key, quota) in [
            ("before", "20"),
            ("since", "5"),
            ("both", "20"),
            ("never", "3"),
        ] {
            let seen = ask(&mut rig, "/", key);
            assert_eq!((seen.status, seen.asks), (200, 1), "{key}, {previous}");
            assert_eq!(told(&seen).0, quota, "{key}, {previous}");
        }
        let ask = rig.asks.last().unwrap();
        assert_eq!(ask.keys.len(), 4, "two buckets and two names of the record");
    }
}

#[test]
fn without_the_previous_secret_keys_registered_under_it_count_as_none() {
    for before in [Some(OLD), None] {
        let mut rig = rig("registered", Some(NEW), None);
        register(&mut rig, "before", before, "1 pro");
        let seen = ask(&mut rig, "/", "before");
        assert_eq!(told(&seen).0, "3");
        assert_eq!(
            rig.asks.last().unwrap().keys.len(),
            3,
            "one name of the record"
        );
    }
}

#[test]
fn a_previous_secret_that_is_the_current_one_is_not_asked_about() {
    let mut rig = rig("registered", Some(NEW), Some(NEW));
    register(&mut rig, "k", Some(NEW), "1");
    ask(&mut rig, "/", "k");
    assert_eq!(rig.asks.last().unwrap().keys.len(), 3);
}

#[test]
fn a_client_starts_one_window_anew_at_a_rotation_and_no_other() {
    let mut rig = rig("registered", Some(OLD), None);
    register(&mut rig, "k", Some(OLD), "1");
    let spend = |rig: &mut Rig| {
        let statuses: Vec<_> = (0..8).map(|_| ask(rig, "/", "k").status).collect();
        statuses.into_iter().filter(|status| *status == 200).count()
    };
    assert_eq!(spend(&mut rig), 5);
    rig.another_isolate_with(secrets(Some(NEW), Some(OLD)));
    assert_eq!(spend(&mut rig), 5, "anew");
    rig.another_isolate_with(secrets(Some(NEW), Some(OLD)));
    assert_eq!(spend(&mut rig), 0, "and only once");
    register(&mut rig, "k", Some(NEW), "1");
    rig.another_isolate_with(secrets(Some(NEW), None));
    assert_eq!(
        spend(&mut rig),
        0,
        "what follows the rotation does not matter"
    );
}

#[test]
fn a_key_revoked_during_a_rotation_loses_what_was_fetched_ahead() {
    let mut rig = rig("registered", Some(NEW), Some(OLD));
    register(&mut rig, "k", Some(OLD), "1 pro");
    for _ in 0..50 {
        assert_eq!(ask(&mut rig, "/hot", "k").status, 200);
    }
    assert_eq!(ask(&mut rig, "/hot", "k").limiter(), "lease");
    rig.model.delete(&record_key("ot", &digest("k", Some(OLD))));
    rig.wait(10_000);
    assert_eq!(told(&ask(&mut rig, "/hot", "k")).0, "3");
}

#[test]
fn a_buckets_name_depends_on_the_secret_and_its_state_does_not() {
    let partition = |seen: &Seen| {
        let field = seen.header("ratelimit");
        field.split_once(";pk=:").unwrap().1.to_owned()
    };
    let mut rig = rig("any", None, None);
    let mut names = Vec::new();
    for (n, secret) in [None, Some(OLD), Some(NEW)].into_iter().enumerate() {
        rig.another_isolate_with(secrets(secret, None));
        let seen = rig.get("/ip");
        assert_eq!(told(&seen).1, (8 - 2 * n).to_string(), "one window");
        assert_eq!(partition(&seen), partition(&rig.get("/ip")));
        names.push(partition(&seen));
    }
    names.dedup();
    assert_eq!(names.len(), 3, "{names:?}");
}
