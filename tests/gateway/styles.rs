//! Each version of the headers that tell clients their limits: on an admitted request, on a
//! refusal, and on a remembered refusal.

use serde_json::{Value, json};

use crate::rig::{Rig, Seen, get, response};

fn config(style: &str) -> Value {
    json!({
        "origin": "https://api.example",
        "headers": style,
        "limits": {
            "client": { "by": "client", "window": "60s", "quota": 2, "keyed_quota": 3 },
            "ip": { "by": "ip", "window": "60s", "quota": 300 },
            "key": { "by": "api-key", "window": "60s", "quota": 5 },
        },
        "default_limits": ["client", "ip"],
        "routes": [
            { "path": "/keyed", "limits": ["key"] },
            { "path": "/free" },
        ],
    })
}

/// All headers that may tell a limit.
fn told(seen: &Seen) -> Vec<String> {
    let told = |name: &str| name.contains("ratelimit");
    let mut lines: Vec<_> = seen
        .headers
        .iter()
        .filter(|(name, _)| told(name.as_str()))
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines
}

/// Three requests, each a second and a half after the one before: an admitted one, a refused one,
/// and one whose refusal is remembered.
fn three(rig: &mut Rig) -> [Seen; 3] {
    let admitted = rig.get("/");
    assert_eq!(rig.get("/").status, 200);
    rig.wait(1_500);
    let refused = rig.get("/");
    rig.wait(1_500);
    let blocked = rig.get("/");
    let three = [admitted, refused, blocked];
    let seen = three.each_ref().map(|seen| (seen.status, seen.limiter()));
    let expected = [(200, "redis"), (429, "redis"), (429, "blocked")];
    assert_eq!(seen, expected.map(|(status, by)| (status, by.to_owned())));
    let waits = three.each_ref().map(|seen| seen.header("retry-after"));
    assert_eq!(waits, ["", "61", "59"], "whatever the headers");
    three
}

#[test]
fn draft_10_is_what_there_is_by_default() {
    let mut default = config("draft-10");
    default.as_object_mut().unwrap().remove("headers");
    for config in [config("draft-10"), default] {
        let policy = r#"ratelimit-policy: "client";q=2;w=60, "ip";q=300;w=60"#;
        let [admitted, refused, blocked] = three(&mut Rig::new(config));
        for (seen, state) in [
            (admitted, r#"ratelimit: "client";r=1;t=62, "ip";r=299;t=62"#),
            (refused, r#"ratelimit: "client";r=0;t=61, "ip";r=298;t=61"#),
            (blocked, r#"ratelimit: "client";r=0;t=59, "ip";r=298;t=59"#),
        ] {
            assert_eq!(told(&seen), [policy, state]);
        }
    }
}

#[test]
fn draft_7_tells_the_tightest_limit_and_all_quotas() {
    let [admitted, refused, blocked] = three(&mut Rig::new(config("draft-7")));
    for (seen, state) in [
        (admitted, "ratelimit: limit=2, remaining=1, reset=62"),
        (refused, "ratelimit: limit=2, remaining=0, reset=61"),
        (blocked, "ratelimit: limit=2, remaining=0, reset=59"),
    ] {
        assert_eq!(told(&seen), ["ratelimit-policy: 2;w=60, 300;w=60", state]);
    }
}

#[test]
fn legacy_tells_the_tightest_limit_and_one_reset_for_all_who_wait() {
    let [admitted, refused, blocked] = three(&mut Rig::new(config("legacy")));
    // The rig starts at 1 700 000 040; the refused request would be admitted 62 seconds later.
    for (seen, left) in [(admitted, 1), (refused, 0), (blocked, 0)] {
        let lines = [
            "x-ratelimit-limit: 2".to_owned(),
            format!("x-ratelimit-remaining: {left}"),
            "x-ratelimit-reset: 1700000102".to_owned(),
        ];
        assert_eq!(told(&seen), lines);
    }
}

#[test]
fn a_legacy_reset_does_not_move_while_the_origin_takes_its_time() {
    let mut rig = Rig::new(config("legacy"));
    rig.origin_takes = std::time::Duration::from_secs(20);
    let seen = rig.get("/");
    assert_eq!(seen.header("x-ratelimit-reset"), "1700000102");
}

#[test]
fn legacy_and_draft_7_follow_the_local_limits_too() {
    for (style, name) in [("legacy", "x-ratelimit-limit"), ("draft-7", "ratelimit")] {
        let mut rig = Rig::without_store(config(style));
        let seen = rig.get("/");
        assert_eq!(seen.limiter(), "local");
        assert!(!seen.header(name).is_empty(), "{name}");
    }
}

#[test]
fn with_none_clients_are_told_only_who_decided_and_when_to_come_back() {
    for seen in three(&mut Rig::new(config("none"))) {
        assert_eq!(told(&seen), [""; 0]);
    }
}

#[test]
fn a_route_without_limits_tells_nothing_in_any_version() {
    for style in ["draft-10", "draft-7", "legacy", "none"] {
        let mut rig = Rig::new(config(style));
        for path in ["/free", "/keyed"] {
            assert_eq!(told(&rig.get(path)), [""; 0], "{style} {path}");
        }
    }
}

/// What the origin tells of limits, under names that are in use.
const ORIGINS: [(&str, &str); 9] = [
    ("rate-limit-reset", "1"),
    ("ratelimit", "\"o\";r=1;t=1"),
    ("ratelimit-limit", "7"),
    ("ratelimit-policy", "\"o\";q=7;w=1"),
    ("x-rate-limit-remaining", "6"),
    ("x-ratelimit-limit", "7"),
    ("x-ratelimit-limit-minute", "9"),
    ("x-ratelimit-reset", "1"),
    ("x-ratelimit-used", "1"),
];

/// The names of all headers that tell limits in an answer to which the origin gave all of its own.
fn names(rig: &mut Rig, path: &str) -> Vec<String> {
    let own = response(200, "").with("retry-after", "3");
    rig.next(
        ORIGINS
            .iter()
            .fold(own, |own, (name, value)| own.with(name, value)),
    );
    let seen = rig.get(path);
    assert_eq!(seen.header("retry-after"), "3", "{path}: tells no limit");
    let tells = |name: &str| name.contains("ratelimit") || name.contains("rate-limit");
    let names = seen.headers.iter().map(|(name, _)| name.to_string());
    let mut names: Vec<_> = names.filter(|name| tells(name)).collect();
    names.sort();
    names
}

#[test]
fn on_a_route_with_limits_the_gates_own_headers_are_the_only_ones() {
    for (style, own) in [
        ("draft-10", &["ratelimit", "ratelimit-policy"][..]),
        ("draft-7", &["ratelimit", "ratelimit-policy"]),
        (
            "legacy",
            &[
                "x-ratelimit-limit",
                "x-ratelimit-remaining",
                "x-ratelimit-reset",
            ],
        ),
    ] {
        let mut rig = Rig::new(config(style));
        assert_eq!(names(&mut rig, "/"), own, "{style}");
        assert!(
            !told(&rig.get("/"))
                .iter()
                .any(|line| line.contains("\"o\""))
        );
        // By the route, whether or not a limit of it counts this client.
        assert_eq!(names(&mut rig, "/keyed"), [""; 0], "{style}");
    }
}

#[test]
fn where_the_gate_tells_no_limits_the_origins_headers_pass() {
    let all = ORIGINS.map(|(name, _)| name);
    for style in ["draft-10", "draft-7", "legacy", "none"] {
        assert_eq!(names(&mut Rig::new(config(style)), "/free"), all, "{style}");
    }
    assert_eq!(names(&mut Rig::new(config("none")), "/"), all);
}

#[test]
fn no_answer_from_the_cache_tells_the_origins_limits() {
    for style in ["draft-10", "draft-7", "legacy", "none"] {
        let mut config = config(style);
        config["routes"][1]["cache"] = json!({ "ttl": "60s" });
        let mut rig = Rig::new(config);
        names(&mut rig, "/free");
        for _ in 0..2 {
            let hit = rig.get("/free");
            assert!(hit.cache().starts_with("hit"), "{style}: {}", hit.cache());
            let tells = |name: &str| name.contains("ratelimit") || name.contains("rate-limit");
            assert!(
                !hit.headers.keys().any(|name| tells(name.as_str())),
                "{style}"
            );
            rig.another_isolate();
        }
    }
}

/// The partition keys in a field, one for each item.
fn keys(field: &str) -> Vec<String> {
    let items = field.split(", ");
    let key = |item: &str| {
        let (_, key) = item.split_once(";pk=:").expect("a partition key");
        key.strip_suffix(':').expect("its end").to_owned()
    };
    items.map(key).collect()
}

#[test]
fn a_partition_key_names_the_bucket_and_not_the_client() {
    let mut config = config("draft-10");
    config["partition_key"] = json!(true);
    let mut rig = Rig::new(config);
    let mut seen = |from: &str, key: Option<&str>| {
        let request = get("/").from(from);
        let request = match key {
            Some(key) => request.with("x-api-key", key),
            None => request,
        };
        let seen = rig.send(&request);
        let (policies, states) = (seen.header("ratelimit-policy"), seen.header("ratelimit"));
        assert_eq!(keys(&policies), keys(&states));
        assert!(policies.starts_with(r#""client";q="#));
        assert!(states.starts_with(r#""client";r="#));
        keys(&states)
    };
    let first = seen("192.0.2.7", None);
    assert_eq!(first.len(), 2);
    assert_ne!(first[0], first[1], "two limits, two buckets");
    assert_eq!(first, seen("192.0.2.7", None));
    assert_eq!(first, seen("192.0.2.7", None), "refused");
    assert_eq!(first, seen("192.0.2.7", None), "remembered");
    let keyed = seen("192.0.2.7", Some("secret"));
    assert_ne!(keyed[0], first[0], "by its key");
    assert_eq!(keyed[1], first[1], "by its address");
    let other = seen("192.0.2.8", Some("secret"));
    assert_eq!(other[0], keyed[0]);
    assert_ne!(other[1], keyed[1]);
    for key in first.iter().chain(&keyed).chain(&other) {
        assert_eq!(key.len(), 24, "sixteen digits in base64");
    }
}

#[test]
fn only_draft_10_has_a_partition_key() {
    for style in ["draft-7", "legacy", "none"] {
        let mut config = config(style);
        let plain = told(&Rig::new(config.clone()).get("/"));
        config["partition_key"] = json!(true);
        assert_eq!(told(&Rig::new(config).get("/")), plain, "{style}");
    }
}
