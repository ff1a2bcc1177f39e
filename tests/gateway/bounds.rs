//! Promises that hold whatever happens, on random interleavings of requests, outages and clocks. A
//! failing one is printed.

use std::collections::HashMap;

use omnitrade_edge::error::ErrorKind;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::rig::{Rig, Store, get};

const QUOTA: u64 = 6;
const WINDOW_MS: u64 = 30_000;

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "limits": { "ip": { "by": "ip", "window": "30s", "quota": QUOTA } },
        "routes": [
            { "path": "/one", "limits": ["ip"] },
            { "path": "/two", "limits": ["ip"], "cost": 2 },
        ],
    })
}

/// What happens next.
#[derive(Debug, Clone)]
enum Event {
    Request {
        client: u8,
        cost: u64,
    },
    Wait(u64),
    /// The isolate's clock is off by this many milliseconds, less than clocks may differ by.
    Clock(i64),
    Store(bool),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        12 => (0_u8..3, 1_u64..3).prop_map(|(client, cost)| Event::Request { client, cost }),
        4 => prop_oneof![0_u64..400, 0..4_000_u64, 0..WINDOW_MS * 2].prop_map(Event::Wait),
        1 => (-300_i64..300).prop_map(Event::Clock),
        2 => prop::bool::ANY.prop_map(Event::Store),
    ];
    prop::collection::vec(event, 1..250)
}

/// Permits that were given and the times of that, by client and by the limiter that gave them.
type Given = HashMap<(u8, String), Vec<(u64, u64)>>;

/// How many permits the window that ends now holds.
fn held(given: &[(u64, u64)], now: u64, window: u64) -> u64 {
    let inside = given.iter().filter(|(then, _)| now - then <= window);
    inside.map(|(_, cost)| cost).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_window_ever_holds_more_than_the_quota_whoever_decides(events in events()) {
        let mut rig = Rig::new(config());
        let mut given = Given::new();
        // If clocks differ by up to 600 ms, the window is shorter by that.
        let window = WINDOW_MS - 600;
        for event in events {
            match event {
                Event::Wait(ms) => rig.wait(ms),
                Event::Clock(ahead_ms) => rig.ahead_ms = ahead_ms,
                Event::Store(true) => rig.store = Store::Up,
                Event::Store(false) => rig.store = Store::Down(ErrorKind::Timeout),
                Event::Request { client, cost } => {
                    let path = if cost == 2 { "/two" } else { "/one" };
                    let request = get(path).from(&format!("198.51.100.{client}"));
                    let seen = rig.send(&request);
                    prop_assert!(matches!(seen.status, 200 | 429 | 503), "{}", seen.status);
                    if seen.status == 200 {
                        let now = rig.now.as_millis();
                        let own = given.entry((client, seen.limiter())).or_default();
                        own.push((now, cost));
                        let held = held(own, now, window);
                        prop_assert!(held <= QUOTA, "{held} by {}", seen.limiter());
                    }
                }
            }
        }
    }

    #[test]
    fn a_refused_client_that_comes_back_when_it_was_told_is_served(
        events in events(),
        store in prop::bool::ANY,
    ) {
        // There is only one client, so that no other one takes the permits that it waits for.
        let mut rig = if store { Rig::new(config()) } else { Rig::without_store(config()) };
        for event in events {
            let cost = match event {
                Event::Wait(ms) => {
                    rig.wait(ms);
                    continue;
                }
                Event::Request { cost, .. } => cost,
                Event::Clock(_) | Event::Store(_) => continue,
            };
            let path = if cost == 2 { "/two" } else { "/one" };
            if rig.get(path).status == 200 {
                continue;
            }
            let refused = rig.get(path);
            prop_assert_eq!(refused.status, 429);
            if store {
                prop_assert_eq!(refused.limiter(), "blocked");
                prop_assert_eq!(refused.asks, 0);
            }
            let told: u64 = refused.header("retry-after").parse().unwrap();
            prop_assert!(told >= 1);
            // The unit is a second, so a whole second earlier is too early.
            rig.wait((told - 1) * 1_000);
            prop_assert_eq!(rig.get(path).status, 429, "a second early");
            rig.wait(1_000);
            prop_assert_eq!(rig.get(path).status, 200, "after {} s", told);
        }
    }
}

#[test]
fn an_isolate_remembers_a_bounded_number_of_clients() {
    let mut rig = Rig::without_store(config());
    for n in 0..40_000_u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let request = get("/one").from(&format!("10.{a}.{b}.{c}"));
        assert_eq!(rig.send(&request).status, 200);
    }
}
