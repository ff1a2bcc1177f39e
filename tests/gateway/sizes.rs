//! How large an entry may be, and how long it must live, to be stored in the isolate or in the
//! store.

use bytes::Bytes;
use omnitrade_edge::gateway::{Context, Handoff, Step};
use serde_json::{Value, json};

use crate::rig::{Response, Rig, Seen, get, response};

fn config(cache: Value, route: Value) -> Value {
    let mut routes = json!([{ "path": "/a", "cache": { "ttl": "1s" } }]);
    for (name, value) in route.as_object().unwrap() {
        routes[0]["cache"][name] = value.clone();
    }
    json!({ "origin": "https://api.example", "cache": cache, "routes": routes })
}

fn body(length: usize) -> Response {
    response(200, &"x".repeat(length))
}

/// How many writes went to keys of entries and to keys of leases.
fn written(rig: &Rig) -> (usize, usize) {
    let of = |part: &str| {
        rig.writes
            .iter()
            .filter(|write| write.key.contains(part))
            .count()
    };
    (of(":c:"), of(":f:"))
}

#[test]
fn an_entry_larger_than_redis_may_have_stays_in_the_isolate() {
    let sizes = json!({ "max_entry": "1KB", "compress_from": "off" });
    // Together with its head the second one is too large as well.
    for (length, entries) in [(600, 1), (1_000, 0), (1_100, 0)] {
        let mut rig = Rig::new(config(sizes.clone(), json!({})));
        rig.next(body(length));
        assert_eq!(rig.get("/a").fetches, 1);
        assert_eq!(rig.get("/a").fetches, 0, "from memory");
        assert_eq!(written(&rig), (entries, 1 - entries), "{length}");
    }
}

#[test]
fn what_is_compressed_counts_as_it_is_written() {
    let sizes = json!({ "max_entry": "1KB", "compress_from": "512B" });
    let mut rig = Rig::new(config(sizes, json!({})));
    rig.next(body(4_000));
    rig.get("/a");
    assert_eq!(written(&rig), (1, 0));
    assert!(rig.writes[0].value.len() < 1_024);
    rig.another_isolate();
    let seen = rig.get("/a");
    assert_eq!((seen.fetches, seen.text().len()), (0, 4_000));
}

#[test]
fn without_memory_in_the_isolate_redis_answers() {
    let mut rig = Rig::new(config(json!({ "l1_size": "0B" }), json!({})));
    rig.get("/a");
    for _ in 0..2 {
        let seen = rig.get("/a");
        assert_eq!((seen.asks, seen.fetches), (1, 0));
        assert!(seen.cache().contains("detail=redis"), "{}", seen.cache());
    }
}

#[test]
fn what_stays_in_the_isolate_is_still_fetched_by_one_of_those_who_miss_it() {
    let mut rig = Rig::new(config(json!({}), json!({ "min_ttl": "1m" })));
    rig.get("/a");
    // The store tells another isolate that the entry will not be stored.
    let mut other = rig.beside();
    std::mem::swap(&mut rig.model, &mut other.model);
    let Step::Fetch(fetch, leader) = other.begin(&get("/a")) else {
        panic!("the first goes to the origin");
    };
    let Step::Wait(_, waiting) = other.begin(&get("/a")) else {
        panic!("the second waits for it");
    };
    other.carry_on(&get("/a"), Step::Fetch(fetch, leader));
    let step = other.gate.waited(&get("/a"), waiting, other.now);
    assert_eq!(other.carry_on(&get("/a"), step).fetches, 0);
}

/// Whether an answer that announces this length is stored.
fn announced(rig: &mut Rig, length: usize) -> bool {
    match rig.begin(&get("/a")) {
        Step::Fetch(_, exchange) => buffers(rig, exchange, length),
        other => panic!("{other:?}"),
    }
}

fn buffers(rig: &mut Rig, exchange: Context<Bytes>, length: usize) -> bool {
    let origin = response(200, "").with("content-length", &length.to_string());
    match rig
        .gate
        .origin_answered(&get("/a"), exchange, Ok(&origin), rig.now)
    {
        Handoff::Relay(relay) => relay.fill.is_some(),
        Handoff::Step(step) => panic!("{step:?}"),
    }
}

#[test]
fn a_body_that_fits_nowhere_is_not_read() {
    for (sizes, largest) in [
        (json!({}), 4 << 20),
        (json!({ "compress_from": "off" }), 4 << 20),
        (json!({ "l1_size": "0B" }), 4 << 20),
        (json!({ "l1_size": "0B", "compress_from": "off" }), 1 << 20),
        (json!({ "l1_size": "64MB" }), 16 << 20),
        (json!({ "max_entry": "4MB" }), 16 << 20),
        (json!({ "l1_size": "1MB", "max_entry": "1KB" }), 256 << 10),
    ] {
        for (length, expected) in [(largest, true), (largest + 1, false)] {
            let mut rig = Rig::new(config(sizes.clone(), json!({})));
            assert_eq!(
                announced(&mut rig, length),
                expected,
                "{length} with {sizes}"
            );
        }
    }
}

#[test]
fn what_is_good_for_less_than_min_ttl_stays_in_the_isolate() {
    for (rest, entries) in [(1, 0), (999, 0), (1_000, 1), (4_000, 1)] {
        let stale = json!({ "min_ttl": "2s", "stale_while_revalidate": format!("{rest}ms") });
        let mut rig = Rig::new(config(json!({}), stale));
        rig.get("/a");
        assert_eq!(rig.get("/a").fetches, 0, "from memory");
        assert_eq!(written(&rig).0, entries, "{rest} ms stale");
    }
}

#[test]
fn nobody_waits_for_what_is_not_written() {
    let mut rig = Rig::new(config(json!({}), json!({ "min_ttl": "1m" })));
    let mut others: Vec<_> = (0..3).map(|_| rig.beside()).collect();
    assert_eq!(rig.get("/a").fetches, 1);
    assert_eq!(written(&rig), (0, 1), "others are told");
    for other in &mut others {
        std::mem::swap(&mut rig.model, &mut other.model);
        let start = other.now;
        let Seen { fetches, .. } = other.get("/a");
        assert_eq!((fetches, other.now), (1, start), "it does not wait");
        assert_eq!(other.get("/a").fetches, 0, "it has it in memory");
        assert_eq!(written(other), (0, 0), "they know");
        std::mem::swap(&mut rig.model, &mut other.model);
    }
}

#[test]
fn where_the_route_itself_says_so_no_lease_is_asked_for() {
    let short =
        json!({ "min_ttl": "2s", "stale_while_revalidate": "500ms", "override_origin": true });
    let mut rig = Rig::new(config(json!({}), short));
    for n in 0..3 {
        let start = rig.now;
        assert_eq!(rig.get("/a").fetches, 1);
        assert_eq!(rig.now, start, "nobody waits for another isolate");
        assert!(rig.get("/a").cache().contains("hit"));
        rig.wait(1_200);
        // The entry is still refreshed while it is stale.
        assert!(rig.get("/a").refreshed);
        assert_eq!(rig.sent.len(), 2 * (n + 1));
        rig.wait(3_000);
    }
    assert_eq!(written(&rig), (0, 0));
    let leases = rig.model.text(&rig.asks[0].keys[1]);
    assert_eq!(leases, None);
}
