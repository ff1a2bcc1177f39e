//! An isolate whose clock is wrong.

use serde_json::{Value, json};

use crate::rig::{Rig, get};

const FIVE_MINUTES: i64 = 300_000;

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "default_limits": ["ip"],
        "limits": { "ip": { "by": "ip", "window": "60s", "quota": 2 } },
        "routes": [{ "path": "/book", "limits": ["ip"], "cache": { "ttl": "10s" } }],
    })
}

/// The time that the gate told the store, in milliseconds from the true one, and whether it asked
/// for the store's.
fn told(rig: &Rig) -> (i64, bool) {
    let ask = rig.asks.last().unwrap();
    let told: i64 = ask.args[0].parse().unwrap();
    let now = i64::try_from(rig.now.as_millis()).unwrap();
    (told - now, ask.args[4] == "1")
}

#[test]
fn the_first_call_asks_for_the_time_and_the_next_is_right() {
    for ahead_ms in [-FIVE_MINUTES, 0, FIVE_MINUTES] {
        let mut rig = Rig::new(config());
        rig.ahead_ms = ahead_ms;
        rig.get("/any");
        assert_eq!(told(&rig), (ahead_ms, true));
        rig.get("/any");
        assert_eq!(told(&rig), (0, false));
    }
}

#[test]
fn the_time_is_asked_for_again_after_ten_minutes() {
    let mut rig = Rig::new(config());
    rig.get("/any");
    rig.wait(599_999);
    rig.get("/any");
    assert_eq!(told(&rig), (0, false));
    rig.wait(1);
    rig.get("/any");
    assert_eq!(told(&rig), (0, true));
    rig.get("/other");
    assert_eq!(told(&rig), (0, false));
}

#[test]
fn answers_under_way_together_correct_the_clock_once() {
    for ahead_ms in [-FIVE_MINUTES, FIVE_MINUTES] {
        let mut rig = Rig::new(config());
        rig.ahead_ms = ahead_ms;
        let requests: Vec<_> = (0..10)
            .map(|n| get("/any").from(&format!("198.51.100.{n}")))
            .collect();
        let steps: Vec<_> = requests
            .iter()
            .map(|request| rig.gate.decide(request, rig.shown()))
            .collect();
        for (request, step) in requests.iter().zip(steps) {
            assert_eq!(rig.carry_on(request, step).status, 200);
        }
        rig.get("/any");
        assert_eq!(told(&rig).0, 0, "{ahead_ms}");
    }
}

#[test]
fn a_wrong_clock_is_refused_and_admitted_when_a_right_one_is() {
    for ahead_ms in [-FIVE_MINUTES, 0, FIVE_MINUTES] {
        let mut rig = Rig::new(config());
        for _ in 0..2 {
            assert_eq!(rig.get("/any").status, 200);
        }
        rig.another_isolate();
        rig.ahead_ms = ahead_ms;
        // Its first call is refused, with the wait counted from the true time.
        let refused = rig.get("/any");
        assert_eq!((refused.status, refused.limiter().as_str()), (429, "redis"));
        assert_eq!(refused.header("retry-after"), "62", "{ahead_ms}");
        rig.wait(61_999);
        let blocked = rig.get("/any");
        assert_eq!((blocked.status, blocked.asks), (429, 0), "{ahead_ms}");
        rig.wait(1);
        assert_eq!(rig.get("/any").status, 200, "{ahead_ms}");
    }
}

#[test]
fn a_clock_that_jumps_back_holds_off_nobody_for_longer_than_a_call() {
    let mut rig = Rig::new(config());
    for _ in 0..3 {
        rig.get("/any");
    }
    assert_eq!(rig.get("/any").limiter(), "blocked");
    rig.ahead_ms = -FIVE_MINUTES;
    rig.wait(61_990);
    let refused = rig.get("/any");
    assert_eq!((refused.limiter().as_str(), refused.status), ("redis", 429));
    rig.wait(10);
    assert_eq!(rig.get("/any").status, 200);
}

#[test]
fn an_entry_stored_under_a_corrected_clock_lives_as_long_as_any() {
    for ahead_ms in [-FIVE_MINUTES, FIVE_MINUTES] {
        let mut rig = Rig::new(config());
        rig.ahead_ms = ahead_ms;
        assert!(rig.get("/book").cache().contains("stored"));
        rig.another_isolate();
        rig.ahead_ms = 0;
        rig.wait(9_999);
        let hit = rig.get("/book");
        assert!(
            hit.cache().starts_with("hit"),
            "{ahead_ms}: {}",
            hit.cache()
        );
        assert_eq!(hit.header("age"), "9");
    }
}
