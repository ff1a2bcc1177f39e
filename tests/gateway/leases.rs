//! Permits that are fetched ahead.

use std::collections::VecDeque;

use std::time::Duration;

use serde_json::{Value, json};

use crate::model::ModelStore;
use crate::rig::{Request, Rig, START, Store, get};

const WINDOW_MS: u64 = 60_000;

/// How long the Worker may wait after a response.
const PATIENCE: Duration = Duration::from_secs(25);

fn config(quota: u64) -> Value {
    json!({
        "origin": "https://api.example",
        "default_limits": ["hot"],
        "limits": {
            "hot": { "by": "ip", "window": "60s", "quota": quota, "strategy": "lease" },
            "exact": { "by": "ip", "window": "60s", "quota": 20 },
        },
        "routes": [
            { "path": "/both", "limits": ["hot", "exact"] },
            { "path": "/book", "limits": ["hot"], "cache": { "ttl": "500ms" } },
        ],
    })
}

/// The number of billed commands of all calls: EVALSHA, MGET, and a SET for each limit.
fn commands(rig: &Rig) -> usize {
    let calls = rig.asks.iter().chain(&rig.background);
    calls.map(|ask| 2 + ask.keys.len()).sum()
}

#[test]
fn a_hot_client_asks_the_store_for_few_of_its_requests_and_never_waits() {
    let mut rig = Rig::new(config(100_000));
    let mut waited = 0;
    for n in 0..2_000 {
        rig.wait(5);
        let seen = rig.get("/any");
        assert_eq!(seen.status, 200);
        if n >= 50 {
            waited += seen.asks;
            assert_eq!(seen.limiter(), "lease");
        }
    }
    assert_eq!(
        waited, 0,
        "more is fetched before it runs dry, behind the answer"
    );
    let each = commands(&rig) as f64 / 2_000.0;
    assert!(each <= 0.2, "{each} commands for each request");
}

#[test]
fn a_client_that_comes_now_and_then_is_lent_nothing() {
    let mut rig = Rig::new(config(10));
    for _ in 0..5 {
        assert_eq!(rig.get("/any").limiter(), "redis");
        rig.wait(10_000);
    }
    let text = rig.model.text("ot:l:hot:192.0.2.7").unwrap();
    assert!(
        text.contains(" 5 1 0 0 0 0 1 "),
        "no permit but those spent: {text}"
    );
}

#[test]
fn several_isolates_never_admit_more_than_the_quota_in_any_window() {
    let quota = 60;
    let mut first = Rig::new(config(quota));
    let mut rigs: Vec<Rig> = (0..5).map(|_| first.beside()).collect();
    let (mut model, mut admitted) = (ModelStore::default(), VecDeque::new());
    let (mut now, mut most) = (START, 0);
    // About three windows, at three times the quota.
    for n in 0..600 {
        now = now + Duration::from_millis(317);
        let rig = &mut rigs[n * 7 % 5];
        rig.now = now;
        std::mem::swap(&mut rig.model, &mut model);
        let served = rig.get("/any").status == 200;
        std::mem::swap(&mut rig.model, &mut model);
        if served {
            admitted.push_back(now.as_millis());
        }
        while admitted
            .front()
            .is_some_and(|then| now.as_millis() - then > WINDOW_MS)
        {
            admitted.pop_front();
        }
        most = most.max(admitted.len());
        assert!(
            admitted.len() as u64 <= quota,
            "{} of {quota}",
            admitted.len()
        );
    }
    assert!(
        most as u64 >= quota * 8 / 10,
        "{most} of {quota}: leases waste too much"
    );
}

#[test]
fn what_is_left_here_and_in_the_store_is_told_together() {
    let mut rig = Rig::new(config(1_000));
    for n in 1..=200 {
        let state = rig.get("/any").header("ratelimit");
        assert!(
            state.starts_with(&format!(r#""hot";r={};"#, 1_000 - n)),
            "{n}: {state}"
        );
    }
}

#[test]
fn leases_serve_on_without_a_store_until_they_are_void() {
    let mut rig = Rig::new(config(1_000));
    for _ in 0..20 {
        rig.get("/any");
    }
    rig.store = Store::Down(omnitrade_edge::error::ErrorKind::Unreachable);
    let seen = rig.get("/any");
    assert_eq!(
        (seen.status, seen.limiter().as_str(), seen.asks),
        (200, "lease", 0)
    );
    rig.wait(4_000);
    assert_eq!(
        rig.get("/any").limiter(),
        "local",
        "void after two sub-buckets"
    );
}

#[test]
fn an_exact_limit_beside_a_lease_takes_it_along_now_and_then() {
    let mut rig = Rig::new(config(1_000));
    for _ in 0..10 {
        rig.get("/any");
    }
    let before = rig.get("/any").header("ratelimit");
    assert!(before.starts_with(r#""hot";r=989;"#), "{before}");
    let mut keys = 0;
    for n in 0..20 {
        let seen = rig.get("/both");
        assert_eq!((seen.status, seen.asks), (200, 1), "{n}");
        let asked = rig.asks.last().unwrap();
        let exact = "ot:l:exact:192.0.2.7".to_owned();
        assert_eq!(asked.keys.last(), Some(&exact), "{n}");
        keys += asked.keys.len();
        assert_eq!(seen.limiter(), "redis", "{n}");
    }
    assert!((21..=23).contains(&keys), "{keys}: three commands mostly");
    assert!(rig.background.len() <= 4, "and no further calls");
    for _ in 0..5 {
        assert_eq!(rig.get("/both").status, 429);
    }
    let after = rig.get("/any").header("ratelimit");
    assert!(
        after.starts_with(r#""hot";r=968;"#),
        "refused ones cost none: {after}"
    );
}

#[test]
fn a_leased_limit_and_the_cache_need_one_call_at_most() {
    let mut rig = Rig::new(config(1_000));
    for _ in 0..30 {
        assert!(rig.get("/book").asks <= 1);
    }
    rig.wait(600);
    let seen = rig.get("/book");
    assert_eq!(
        (seen.limiter().as_str(), seen.asks),
        ("lease", 1),
        "for the entry"
    );
    let keys = rig.asks.last().unwrap().keys.len();
    assert!((3..=4).contains(&keys), "and for permits at most");
}

#[test]
fn what_an_idle_isolate_holds_is_little_and_goes_back() {
    let mut rig = Rig::new(config(100));
    for _ in 0..10 {
        rig.get("/any");
    }
    let wait = rig.gate.sweep_after(PATIENCE, rig.shown()).unwrap();
    assert_eq!(
        rig.gate.sweep_after(PATIENCE, rig.shown()),
        None,
        "one is enough"
    );
    let mut other = rig.beside();
    other.model = std::mem::take(&mut rig.model);
    let alone = (0..200).filter(|_| other.get("/any").status == 200).count();
    assert!(alone >= 60, "{alone} of the 90 that are not spent");
    // The idle isolate gives back what it held.
    rig.model = std::mem::take(&mut other.model);
    rig.now = rig.now + wait;
    let work = rig.gate.sweep(rig.shown());
    rig.work(work);
    other.model = std::mem::take(&mut rig.model);
    other.now = rig.now;
    other.another_isolate();
    let more = (0..200).filter(|_| other.get("/any").status == 200).count();
    assert_eq!(alone + more, 90);
}

#[test]
fn a_lease_that_is_drawn_while_a_window_ends_is_not_spent_twice() {
    let mut rig = Rig::new(config(30));
    let mut admitted: VecDeque<u64> = VecDeque::new();
    // Bursts just before and after each sub-bucket's end, for three windows.
    for _ in 0..90 {
        for wait in [1_999, 1, 0, 0] {
            rig.wait(wait);
            let now = rig.now.as_millis();
            for _ in 0..3 {
                if rig.get("/any").status == 200 {
                    admitted.push_back(now);
                }
            }
            while admitted.front().is_some_and(|then| now - then > WINDOW_MS) {
                admitted.pop_front();
            }
            assert!(admitted.len() <= 30, "{}", admitted.len());
        }
    }
}

/// Two leased limits for all routes, and an exact one for `/both`.
fn two_leased(quota: u64) -> Value {
    json!({
        "origin": "https://api.example",
        "default_limits": ["mine", "all"],
        "limits": {
            "mine": { "by": "ip", "window": "60s", "quota": quota, "strategy": "lease" },
            "all": { "by": "global", "window": "60s", "quota": 10 * quota, "strategy": "lease" },
            "exact": { "by": "ip", "window": "60s", "quota": 20 },
        },
        "routes": [{ "path": "/both", "limits": ["mine", "all", "exact"] }],
    })
}

fn from(address: &str) -> Request {
    let mut request = get("/any");
    request.headers.remove("cf-connecting-ip");
    request.with("cf-connecting-ip", address)
}

#[test]
fn two_limits_of_a_slow_client_fall_into_step() {
    let mut rig = Rig::new(two_leased(120));
    for _ in 0..300 {
        rig.wait(1_000);
        assert_eq!(rig.get("/any").status, 200);
    }
    let each = commands(&rig) as f64 / 300.0;
    assert!(each <= 0.4, "{each} commands for each request");
    let calls = rig.asks.iter().chain(&rig.background);
    let both = calls.clone().filter(|ask| ask.keys.len() == 2).count();
    assert!(
        both * 10 >= calls.count() * 9,
        "{both} calls are about both"
    );
}

#[test]
fn a_refusal_of_one_limit_takes_nothing_of_the_leases_of_others() {
    let mut rig = Rig::new(two_leased(120));
    for _ in 0..20 {
        rig.wait(1_000);
        assert_eq!(rig.get("/both").status, 200);
    }
    let used = |rig: &Rig, key: &str| -> u64 {
        let text = rig.model.text(key).unwrap();
        text.split(' ').nth(6).unwrap().parse().unwrap()
    };
    let keys = ["ot:l:mine:192.0.2.7", "ot:l:all:all"];
    let before = keys.map(|key| used(&rig, key));
    for _ in 0..30 {
        let refused = rig.get("/both");
        assert_eq!(refused.status, 429);
        let told = refused.header("ratelimit");
        assert!(told.starts_with(r#""mine";r=100;"#), "{told}");
    }
    assert_eq!(keys.map(|key| used(&rig, key)), before);
}

#[test]
fn a_limit_of_another_route_is_renewed_with_the_share_that_is_not_lent() {
    let mut config = two_leased(100);
    config["routes"] = json!([
        { "path": "/orders", "methods": ["DELETE"], "limits": ["mine"], "reserve": { "mine": "80%" } },
    ]);
    let mut rig = Rig::new(config);
    for _ in 0..400 {
        rig.wait(300);
        rig.get("/any");
        let text = rig.model.text("ot:l:mine:192.0.2.7").unwrap();
        let used: u64 = text.split(' ').nth(6).unwrap().parse().unwrap();
        assert!(used <= 20, "{used} of the 20 that are not reserved");
    }
}

#[test]
fn overdue_permits_go_back_with_later_requests_of_anyone() {
    let mut rig = Rig::new(two_leased(120));
    let clients: Vec<_> = (0..40)
        .map(|n| from(&format!("192.0.2.{}", 100 + n)))
        .collect();
    for _ in 0..12 {
        rig.wait(1_000);
        for client in &clients {
            assert_eq!(rig.send(client).status, 200);
        }
    }
    // All of them hold permits for longer than the platform waits, and none comes back.
    while rig.gate.sweep_after(PATIENCE, rig.shown()).is_some() {}
    rig.wait(60_000);
    let (mut calls, mut returned) = (0, 0);
    for n in 1..=8 {
        rig.background.clear();
        rig.send(&from("192.0.2.7"));
        assert!(rig.background.len() <= 1, "{n}: at most one extra call");
        for ask in &rig.background {
            assert!(ask.keys.len() <= 18, "{n}: 16 subjects and its own");
            calls += 1;
            returned += ask.keys.len();
        }
    }
    assert!(returned >= 40, "{returned}");
    assert!(calls <= 5, "{calls} calls");
}

#[test]
fn a_longer_lease_does_not_make_a_revoked_key_valid_for_longer() {
    let mut config = two_leased(120);
    config["client"] = json!({ "keys": "registered" });
    config["limits"]["mine"] = json!({
        "by": "client", "window": "120s", "quota": 1, "keyed_quota": 1_000, "strategy": "lease",
    });
    let mut rig = Rig::new(config);
    let digest = omnitrade_edge::engine::subject::of_api_key(
        "key",
        &omnitrade_edge::engine::subject::domain("ot"),
    );
    let record = omnitrade_edge::engine::registry::record_key("ot", &digest);
    rig.model.set(&record, "1", 3_600_000, START);
    let request = get("/any").with("x-api-key", "key");
    let mut asks = 0;
    for _ in 0..100 {
        rig.wait(1_000);
        let seen = rig.send(&request);
        assert_eq!(seen.status, 200);
        asks += seen.asks;
    }
    assert!(
        (9..=25).contains(&asks),
        "{asks}: the key is looked up each ten seconds"
    );
    rig.model.delete(&record);
    rig.wait(10_000);
    rig.send(&request);
    assert_eq!(rig.send(&request).status, 429, "it has the quota of others");
}
