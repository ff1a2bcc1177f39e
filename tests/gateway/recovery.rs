//! An origin that fails and comes back: how often it is asked meanwhile, and how soon entries are
//! fresh again.

use bytes::Bytes;
use omnitrade_edge::gateway::{Context, Step};
use omnitrade_edge::message::forward::{Failure, Fetch};
use serde_json::{Value, json};

use crate::rig::{Request, Response, Rig, Seen, follower, get, response};

/// The longest time in milliseconds after which a failing origin is asked whether it is back.
const PROBE: u64 = 100;

/// How many milliseconds pass between two requests of clients.
const STEP: u64 = 5;

fn config() -> Value {
    let shielded = json!({
        "ttl": "1s", "stale_while_revalidate": "1h", "stale_if_error": "1h", "query": ["n"],
    });
    json!({
        "origin": "https://api.example",
        "origin_timeout": "5s",
        "limits": { "ip": { "by": "ip", "window": "60s", "quota": 10_000_000 } },
        "origin_quotas": { "provider": { "limit": 50, "window": "60s" } },
        "routes": [
            { "path": "/free", "cache": shielded },
            { "path": "/other", "cache": shielded },
            { "path": "/limited", "limits": ["ip"], "cache": shielded },
            { "path": "/metered", "origin_quota": "provider", "cache": shielded },
            { "path": "/tagged", "cache": {
                "ttl": "1s", "stale_while_revalidate": "1h", "tags": ["book"], "l1_max_age": "0s",
            } },
            { "path": "/stale", "cache": { "ttl": "1s", "stale_if_error": "1h" } },
        ],
    })
}

fn rigs() -> [Rig; 2] {
    [Rig::new(config()), Rig::without_store(config())]
}

type Outage = fn() -> Result<Response, Failure>;

/// How an origin fails.
const OUTAGES: [Outage; 4] = [
    || Err(Failure::Failed),
    || Err(Failure::TimedOut),
    || Ok(response(503, "overloaded").with("cache-control", "no-store")),
    || Ok(response(200, "half").with("content-length", "20")),
];

/// Sends a request, which the origin answers so if it is asked.
fn send(rig: &mut Rig, path: &str, origin: Result<Response, Failure>) -> Seen {
    rig.wait(STEP);
    rig.origin = [origin].into();
    let seen = rig.get(path);
    rig.origin.clear();
    seen
}

/// Sends requests while the origin is down, for so many milliseconds. Returns how often it was
/// asked.
fn outage(rig: &mut Rig, paths: &[&str], down: Outage, ms: u64) -> usize {
    let (before, end) = (rig.sent.len(), rig.now.as_millis() + ms);
    while rig.now.as_millis() < end {
        for path in paths {
            assert_ne!(send(rig, path, down()).text(), "new");
        }
    }
    rig.sent.len() - before
}

/// How many milliseconds it takes until each of these is fresh again, now that the origin is back.
fn recovery(rig: &mut Rig, paths: &[&str]) -> u64 {
    let since = rig.now;
    let mut fresh = 0;
    while fresh < paths.len() {
        fresh = paths
            .iter()
            .map(|path| send(rig, path, Ok(response(200, "new"))))
            .filter(|seen| seen.text() == "new")
            .count();
        assert!(rig.now.since(since).as_secs() < 5, "{paths:?}");
    }
    u64::try_from(rig.now.since(since).as_millis()).unwrap()
}

#[test]
fn an_entry_is_fresh_again_soon_after_the_origin_is_back() {
    for down in OUTAGES {
        for path in ["/free", "/limited"] {
            for ms in [300, 1_000, 2_100] {
                for mut rig in rigs() {
                    send(&mut rig, path, Ok(response(200, "old")));
                    rig.wait(1_000);
                    outage(&mut rig, &[path], down, ms);
                    let took = recovery(&mut rig, &[path]);
                    assert!(took <= PROBE + 2 * STEP, "{path}, {ms} ms: {took} ms");
                }
            }
        }
    }
}

#[test]
fn a_failing_origin_is_asked_a_few_times_in_a_second() {
    for down in OUTAGES {
        for path in ["/free", "/limited"] {
            for mut rig in rigs() {
                send(&mut rig, path, Ok(response(200, "old")));
                rig.wait(1_000);
                let calls = outage(&mut rig, &[path], down, 3_000) as u64;
                assert!(calls <= 3_000 / PROBE + 5, "{path}: {calls}");
                assert!(calls >= 3_000 / (PROBE + 2 * STEP), "{path}: {calls}");
                // The store is told twice a second.
                let writes = rig.writes.len();
                assert!(writes <= 2 + 2 * 3, "{path}: {writes} writes");
            }
        }
    }
}

#[test]
fn who_finds_out_that_the_origin_is_back_need_not_ask_the_store() {
    let mut rig = Rig::new(config());
    send(&mut rig, "/free", Ok(response(200, "old")));
    rig.wait(1_000);
    let before = rig.asks.len();
    outage(&mut rig, &["/free"], OUTAGES[0], 10_000);
    let asks = rig.asks.len() - before;
    assert!(asks <= 1, "{asks} calls of the store in 10 s");
}

#[test]
fn of_many_entries_of_a_failing_route_one_asks_for_all() {
    let paths: Vec<_> = (0..50).map(|n| format!("/free?n={n}")).collect();
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    for mut rig in rigs() {
        for path in &paths {
            send(&mut rig, path, Ok(response(200, "old")));
        }
        rig.wait(1_000);
        let seconds = 10;
        let calls = outage(&mut rig, &paths, OUTAGES[0], 1_000 * seconds) as u64;
        // Each entry once, and then one for all of them.
        let most = 50 + 1_000 * seconds / PROBE;
        assert!(calls <= most, "{calls}");
        let round = STEP * 50;
        let took = recovery(&mut rig, &paths);
        // In the next round they are refreshed, and in the one after it they are fresh.
        assert!(took <= PROBE + 3 * round, "{took} ms");
    }
}

#[test]
fn an_answer_to_any_request_of_the_route_ends_the_pause() {
    for mut rig in rigs() {
        for path in ["/free?n=1", "/other?n=1"] {
            send(&mut rig, path, Ok(response(200, "old")));
            rig.wait(1_000);
            outage(&mut rig, &[path], OUTAGES[0], 170);
        }
        let sent = rig.sent.len();
        // A miss, which is no refresh.
        send(&mut rig, "/free?n=2", Ok(response(200, "another")));
        send(&mut rig, "/free?n=1", Ok(response(200, "new")));
        assert_eq!(rig.sent.len(), sent + 2);
        let seen = send(&mut rig, "/free?n=1", Ok(response(200, "newer")));
        assert_eq!(seen.text(), "new");
        // Another route may have another service behind it.
        send(&mut rig, "/other?n=1", Ok(response(200, "new")));
        assert_eq!(rig.sent.len(), sent + 2);
    }
}

#[test]
fn an_entry_that_alone_fails_is_not_asked_for_at_each_answer() {
    for mut rig in rigs() {
        send(&mut rig, "/free?n=bad", Ok(response(200, "old")));
        rig.wait(1_000);
        let (mut bad, start) = (0, rig.now);
        for n in 0..1_000 {
            send(&mut rig, &format!("/free?n={n}"), Ok(response(200, "good")));
            let before = rig.sent.len();
            send(&mut rig, "/free?n=bad", Err(Failure::Failed));
            bad += rig.sent.len() - before;
        }
        let seconds = rig.now.since(start).as_secs();
        // As often as while the whole route fails, and once more a second.
        let most = seconds * (1_000 / PROBE + 3);
        assert!((bad as u64) < most, "{bad} calls in {seconds} s");
    }
}

#[test]
fn only_the_isolate_that_found_out_asks_the_failing_origin() {
    for path in ["/free", "/limited"] {
        let mut rig = Rig::new(config());
        send(&mut rig, path, Ok(response(200, "old")));
        let mut other = rig.beside();
        rig.swap_stores(&mut other);
        send(&mut other, path, Err(Failure::Failed));
        rig.wait(1_100);
        let start = rig.now;
        let mut calls = 0;
        while rig.now.since(start).as_secs() < 20 {
            for _ in 0..2 {
                other.swap_stores(&mut rig);
                rig.now = other.now.max(rig.now);
                let before = rig.sent.len();
                send(&mut rig, path, Err(Failure::Failed));
                calls += rig.sent.len() - before;
                std::mem::swap(&mut rig, &mut other);
            }
        }
        let most = 20 * 1_000 / PROBE + 5;
        assert!((calls as u64) < most, "{path}: {calls} calls in 20 s");
    }
}

#[test]
fn an_answer_elsewhere_is_found_within_a_second() {
    for path in ["/free", "/limited"] {
        let mut rig = Rig::new(config());
        send(&mut rig, path, Ok(response(200, "old")));
        let mut other = rig.beside();
        rig.swap_stores(&mut other);
        send(&mut other, path, Err(Failure::Failed));
        other.swap_stores(&mut rig);
        rig.wait(1_000);
        outage(&mut rig, &[path], OUTAGES[0], 400);
        rig.swap_stores(&mut other);
        outage(&mut other, &[path], OUTAGES[0], 10);
        let asked = other.sent.len();
        other.swap_stores(&mut rig);
        recovery(&mut rig, &[path]);
        rig.swap_stores(&mut other);
        let took = recovery(&mut other, &[path]);
        assert!(
            took <= 250,
            "{path}: {took} ms after an outage of half a second"
        );
        assert_eq!(other.sent.len(), asked, "it need not ask the origin");
    }
}

#[test]
fn what_is_served_while_the_origin_fails_is_refreshed_as_soon() {
    for down in &OUTAGES[..3] {
        for mut rig in rigs() {
            send(&mut rig, "/stale", Ok(response(200, "old")));
            rig.wait(2_000);
            let request = get("/stale");
            let (fetch, context) = leads(&mut rig, &request);
            let waiting = follower(rig.begin(&request));
            rig.origin = [down()].into();
            rig.carry_on(&request, Step::Fetch(fetch, context));
            let step = rig.gate.waited(&request, waiting, rig.shown());
            assert_eq!(rig.carry_on(&request, step).text(), "old");
            let calls = outage(&mut rig, &["/stale"], *down, 900) as u64;
            assert!((4..=900 / PROBE).contains(&calls), "{calls}");
            let took = recovery(&mut rig, &["/stale"]);
            assert!(took <= PROBE + 2 * STEP, "{took} ms");
        }
    }
}

fn leads(rig: &mut Rig, request: &Request) -> (Fetch, Context<Bytes>) {
    match rig.begin(request) {
        Step::Fetch(fetch, context) => (fetch, context),
        other => panic!("expected a request to the origin: {other:?}"),
    }
}

#[test]
fn an_origin_quota_is_not_spent_on_finding_out() {
    let mut rig = Rig::new(config());
    send(&mut rig, "/metered", Ok(response(200, "old")));
    rig.wait(1_000);
    let calls = outage(&mut rig, &["/metered"], OUTAGES[0], 2_900);
    assert_eq!(calls, 3, "whenever the pause in the store is over");
    let took = recovery(&mut rig, &["/metered"]);
    assert!(took <= 1_300, "{took} ms");
}

#[test]
fn what_was_found_without_asking_the_store_is_as_good_as_any() {
    let mut rig = Rig::new(config());
    rig.model
        .set("ot:t:book", "0123456789abcdef", 60_000, rig.now);
    send(&mut rig, "/tagged", Ok(response(200, "old")));
    rig.wait(1_000);
    outage(&mut rig, &["/tagged"], OUTAGES[0], 400);
    recovery(&mut rig, &["/tagged"]);
    let sent = rig.sent.len();
    for _ in 0..10 {
        assert_eq!(
            send(&mut rig, "/tagged", Ok(response(200, "newer"))).text(),
            "new"
        );
    }
    let mut other = rig.beside();
    rig.swap_stores(&mut other);
    assert_eq!(
        send(&mut other, "/tagged", Err(Failure::Failed)).text(),
        "new"
    );
    assert_eq!((rig.sent.len(), other.sent.len()), (sent, 0));
}

#[test]
fn a_purge_during_an_outage_voids_what_was_found_before_it() {
    let mut rig = Rig::new(config());
    send(&mut rig, "/tagged", Ok(response(200, "old")));
    rig.wait(1_000);
    outage(&mut rig, &["/tagged"], OUTAGES[0], 400);
    // Another isolate purges it, and this one asks the store at each request.
    let now = rig.now;
    rig.model.set("ot:t:book", "0123456789abcdef", 60_000, now);
    let seen = send(&mut rig, "/tagged", Ok(response(200, "new")));
    assert_eq!((seen.text(), seen.fetches), ("new", 1));
    let seen = send(&mut rig, "/tagged", Err(Failure::Failed));
    assert_eq!((seen.text(), seen.fetches), ("new", 0));
}

/// The request to the origin by which a stale entry is refreshed after this request.
fn refreshes(rig: &mut Rig, path: &str) -> Option<(Fetch, Context<Bytes>)> {
    let request = get(path);
    let mut step = rig.begin(&request);
    loop {
        step = match step {
            Step::Respond(respond) => rig.ask_store(&request, *respond.after.refresh?),
            Step::Fetch(fetch, context) => return Some((fetch, context)),
            other => panic!("{other:?}"),
        };
    }
}

#[test]
fn an_origin_that_hangs_is_asked_with_little_time_and_with_enough() {
    for path in ["/free", "/limited"] {
        for mut rig in rigs() {
            send(&mut rig, path, Ok(response(200, "old")));
            rig.wait(1_000);
            let (first, context) = refreshes(&mut rig, path).unwrap();
            assert_eq!(first.timeout.as_millis(), 5_000);
            assert!(refreshes(&mut rig, path).is_none(), "it may still answer");
            let times_out = |rig: &mut Rig, fetch: Fetch, context| {
                rig.now = rig.now + fetch.timeout;
                rig.origin = [Err(Failure::TimedOut)].into();
                rig.carry_on(&get(path), Step::Fetch(fetch, context));
            };
            times_out(&mut rig, first, context);
            let mut times = Vec::new();
            for _ in 0..60 {
                if let Some((fetch, context)) = refreshes(&mut rig, path) {
                    times.push(fetch.timeout.as_millis());
                    if fetch.timeout.as_millis() == 150 {
                        times_out(&mut rig, fetch, context);
                    }
                }
                rig.wait(50);
            }
            let whole = times.iter().filter(|time| **time == 5_000).count();
            let short = times.iter().filter(|time| **time == 150).count();
            // In nine to twelve seconds.
            assert_eq!(whole + short, times.len(), "{path}: {times:?}");
            assert!((2..=3).contains(&whole) && short >= 40, "{path}: {times:?}");
        }
    }
}
