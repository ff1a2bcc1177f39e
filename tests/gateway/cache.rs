//! An entry from the miss to the hit, in the isolate and in the store.

use omnitrade_edge::error::ErrorKind;
use serde_json::{Value, json};

use crate::rig::{Request, Response, Rig, Seen, Store, get, response};

pub fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "limits": {
            "ip": { "by": "ip", "window": "60s", "quota": 1000 },
            "tight": { "by": "ip", "window": "60s", "quota": 1 },
        },
        "routes": [
            { "path": "/book", "limits": ["ip"], "cache": {
                "ttl": "2s", "query": ["symbol", "limit"],
            } },
            { "path": "/free", "cache": { "ttl": "2s" } },
            { "path": "/plain", "cache": {} },
            { "path": "/tongues", "cache": { "ttl": "2s", "vary": ["accept-language"] } },
            { "path": "/tight", "limits": ["tight"], "cache": { "ttl": "2s" } },
        ],
    })
}

#[track_caller]
pub fn hit(seen: &Seen, level: &str) {
    assert_eq!(seen.fetches, 0, "{seen:?}");
    assert!(seen.cache().starts_with("hit; "), "{}", seen.cache());
    let detail = format!("detail={level}");
    assert!(seen.cache().ends_with(&detail), "{}", seen.cache());
}

pub fn book(body: &str) -> Response {
    response(200, body)
        .with("content-type", "application/json")
        .with("etag", "\"v1\"")
}

#[test]
fn what_is_missed_is_saved_and_found_in_the_isolate() {
    let mut rig = Rig::new(config());
    rig.next(book("[1]").with("x-own", "kept"));
    let miss = rig.get("/book");
    assert_eq!((miss.status, miss.text(), miss.fetches), (200, "[1]", 1));
    assert_eq!(miss.cache(), "fwd=uri-miss; stored; ttl=2");
    rig.wait(1_999);
    let seen = rig.get("/book");
    hit(&seen, "l1");
    assert_eq!((seen.status, seen.text()), (200, "[1]"));
    assert_eq!(seen.cache(), "hit; ttl=0; detail=l1");
    assert_eq!(seen.header("age"), "1");
    assert_eq!(seen.header("x-own"), "kept");
    assert_eq!(seen.header("etag"), "\"v1\"");
    assert_eq!(seen.limiter(), "redis", "a hit counts against the limits");
    rig.wait(1);
    assert_eq!(rig.get("/book").fetches, 1, "stale to the millisecond");
}

#[test]
fn what_one_isolate_saved_another_finds_in_the_store() {
    let mut rig = Rig::new(config());
    rig.next(book("[\"\u{fc}\u{1f}\\\"\"]"));
    rig.get("/book?symbol=A");
    rig.another_isolate();
    let seen = rig.get("/book?symbol=A");
    hit(&seen, "redis");
    assert_eq!(seen.asks, 1, "with the limits, in one call");
    assert_eq!(seen.text(), "[\"\u{fc}\u{1f}\\\"\"]");
    hit(&rig.get("/book?symbol=A"), "l1");
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn bytes_that_are_no_text_come_back_as_they_were() {
    let mut rig = Rig::new(config());
    let mut picture = book("");
    picture.body = bytes::Bytes::from_static(b"\xff\x00\x89PNG\n\xc3");
    rig.next(picture.clone());
    rig.get("/free");
    rig.another_isolate();
    assert_eq!(rig.get("/free").body, picture.body);
}

#[test]
fn limits_and_cache_are_asked_about_in_one_call_and_fresh_entries_in_none() {
    let mut rig = Rig::new(config());
    assert_eq!(rig.get("/book").asks, 1);
    assert_eq!(
        rig.asks[0].keys.len(),
        4,
        "a limit, an entry, a lease, an epoch"
    );
    assert_eq!(rig.get("/book").asks, 1);
    assert_eq!(rig.asks[1].keys.len(), 1, "the entry is at hand");
    assert_eq!(rig.get("/free").asks, 1);
    assert_eq!(rig.asks[2].keys.len(), 3);
    assert_eq!(
        rig.get("/free").asks,
        0,
        "no limit, and the entry is at hand"
    );
}

#[test]
fn an_entry_at_hand_and_a_remembered_refusal_need_no_store() {
    let mut rig = Rig::new(config());
    rig.get("/tight");
    assert_eq!(rig.get("/tight").status, 429);
    let seen = rig.get("/tight");
    assert_eq!((seen.status, seen.asks, seen.fetches), (429, 0, 0));
    assert_eq!(seen.cache(), "detail=refused");
}

#[test]
fn only_declared_parameters_reach_the_key_and_the_origin() {
    let mut rig = Rig::new(config());
    rig.get("/book?utm=1&symbol=A&limit=5&utm=2");
    assert_eq!(rig.sent[0].url, "https://api.example/book?limit=5&symbol=A");
    hit(&rig.get("/book?limit=5&symbol=A"), "l1");
    assert_eq!(rig.get("/book?symbol=B").fetches, 1);
    assert_eq!(rig.get("/free?b=1&a=2").fetches, 1);
    assert_eq!(rig.get("/free?a=2&b=1").fetches, 1, "all count here");
}

#[test]
fn two_routes_of_one_gate_do_not_share_an_entry() {
    let mut rig = Rig::new(config());
    rig.get("/free");
    assert_eq!(rig.get("/plain").fetches, 1);
    let mut other = get("/free");
    other.url = "https://other.example/free".to_owned();
    assert_eq!(rig.send(&other).fetches, 1, "nor do two hosts");
}

#[test]
fn headers_that_choose_the_response_choose_the_entry() {
    let mut rig = Rig::new(config());
    let spoken = |path: &str, tongue: &str| get(path).with("accept-language", tongue);
    let mut serve = |request: &Request| {
        let tongue = request.headers["accept-language"].to_str().unwrap();
        rig.next(response(200, tongue).with("vary", "Accept-Language"));
        let seen = rig.send(request);
        rig.origin.clear();
        assert_eq!(seen.text(), tongue);
        (seen.fetches, seen.cache())
    };
    // The response varies by language, so another language is another variant.
    assert_eq!(serve(&spoken("/free", "de")).0, 1);
    assert_eq!(serve(&spoken("/free", "de")).0, 0);
    let (fetches, status) = serve(&spoken("/free", "en"));
    assert_eq!(fetches, 1);
    assert!(status.starts_with("fwd=vary-miss"), "{status}");
    assert_eq!(serve(&spoken("/free", "de")).0, 0);
    // The route keys by language, so each language has its own entry.
    for (tongue, fetches) in [("de", 1), ("en", 1), ("de", 0), ("en", 0)] {
        assert_eq!(serve(&spoken("/tongues", tongue)).0, fetches, "{tongue}");
    }
}

#[test]
fn what_must_not_be_stored_is_not() {
    for (answer, why) in [
        (book("").with("cache-control", "no-store"), "no-store"),
        (book("").with("cache-control", "private"), "private"),
        (book("").with("set-cookie", "a=b"), "set-cookie"),
        (book("").with("vary", "*"), "vary"),
        (response(500, ""), "status"),
        (response(206, ""), "status"),
    ] {
        let mut rig = Rig::new(config());
        rig.next(answer.clone());
        let seen = rig.get("/free");
        assert_eq!(seen.cache(), format!("fwd=uri-miss; detail={why}"));
        assert_eq!(seen.header("set-cookie").is_empty(), why != "set-cookie");
        // Other isolates are told not to wait for it, and whether the next answer may be stored.
        let mark = if answer.status == 500 { "f" } else { "u" };
        let told: Vec<_> = rig
            .writes
            .iter()
            .map(|w| (&w.key[..5], w.value.as_str()))
            .collect();
        assert_eq!(told, [("ot:f:", mark)], "{why}");
        assert_eq!(rig.get("/free").fetches, 1, "{why}");
    }
    let mut rig = Rig::new(config());
    let known = get("/free").with("authorization", "Bearer t");
    rig.send(&known);
    assert_eq!(rig.get("/free").fetches, 1, "one client's own");
    let mut rig = Rig::new(config());
    assert_eq!(
        rig.get("/plain").cache(),
        "fwd=uri-miss; detail=no-freshness"
    );
}

#[test]
fn what_one_client_brought_about_is_not_stored_for_all() {
    let config = || {
        let cache = json!({ "ttl": "10s", "negative_ttl": "5s", "query": ["symbols"] });
        json!({ "origin": "https://api.example", "routes": [{ "path": "/q", "cache": cache }] })
    };
    let long = "x".repeat(20_000);
    for (name, value) in [("range", "bytes=x"), ("x-request-id", long.as_str())] {
        let mut rig = Rig::new(config());
        rig.next(response(400, "no"));
        rig.send(&get("/q").with(name, value));
        assert_eq!(rig.get("/q").status, 200, "{name}");
    }
    let mut rig = Rig::new(config());
    rig.next(response(400, "no"));
    rig.send(&get("/q").with("x-request-id", "7"));
    assert_eq!(rig.get("/q").status, 400, "the question itself is wrong");

    let mut rig = Rig::new(config());
    rig.next(response(200, "for .7").with("vary", "Accept, X-Forwarded-For"));
    rig.get("/q");
    assert_eq!(rig.get("/q").fetches, 1);

    let mut rig = Rig::new(config());
    let named = "/q?symbols=A&evil=1";
    let answer = response(200, "evil").with("cache-control", "max-age=60");
    rig.next(answer.with("content-location", named));
    rig.send(&get(named).by("POST").with("cookie", "s=1"));
    rig.next(response(200, "good"));
    assert_eq!(rig.get("/q?symbols=A").text(), "good");
}

#[test]
fn a_body_that_breaks_off_is_not_saved() {
    let mut rig = Rig::new(config());
    rig.next(response(200, "half of").with("content-length", "14"));
    assert_eq!(rig.get("/free").text(), "half of");
    assert!(
        rig.writes
            .iter()
            .all(|write| write.key.starts_with("ot:f:"))
    );
    assert_eq!(rig.get("/free").fetches, 1);
    let mut rig = Rig::new(config());
    rig.next(response(200, "the whole of it").with("content-length", "15"));
    rig.get("/free");
    hit(&rig.get("/free"), "l1");
}

#[test]
fn what_is_too_large_is_not_saved() {
    // The body is larger than an isolate's memory.
    let mut rig = Rig::new(config());
    rig.next(response(200, &"x".repeat((4 << 20) + 1)));
    assert_eq!(rig.get("/free").body.len(), (4 << 20) + 1);
    assert!(rig.writes.iter().all(|write| write.value == "u"));
    assert_eq!(rig.get("/free").fetches, 1);
}

#[test]
fn a_damaged_entry_in_the_store_is_a_miss() {
    let mut rig = Rig::new(config());
    rig.get("/free");
    let write = rig.writes[0].clone();
    let until = rig.now.as_millis() + 60_000;
    for text in [
        write.value[..write.value.len() - 1].to_owned(),
        write.value.replace("plain", "PLAIN"),
        format!("2 {until} {until} {until} - -,- {{}}\nx"),
        format!("9{}", write.value),
        "nonsense".to_owned(),
    ] {
        rig.another_isolate();
        rig.model.set(&write.key, &text, 60_000, rig.now);
        let seen = rig.get("/free");
        assert_eq!((seen.status, seen.fetches), (200, 1), "{text}");
    }
}

#[test]
fn an_entry_is_kept_in_the_store_as_long_as_it_is_worth() {
    let mut rig = Rig::new(config());
    rig.get("/free");
    assert_eq!(
        rig.writes[0].ttl_ms, 10_000,
        "as long as the lease, which it ends"
    );
    let mut rig = Rig::new(config());
    rig.next(book("[]"));
    rig.get("/free");
    assert!(rig.writes[0].ttl_ms > 10_000, "it can be revalidated");
    assert!(rig.writes[0].key.starts_with("ot:c:"));
}

#[test]
fn methods_that_change_something_pass_the_cache_by() {
    let mut rig = Rig::new(config());
    rig.get("/free");
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let seen = rig.send(&get("/free").by(method));
        assert_eq!((seen.fetches, seen.asks), (1, 0));
        assert_eq!(seen.cache(), "fwd=method");
    }
    for (name, value, why) in [
        ("if-match", "\"x\"", "precondition"),
        ("cache-control", "no-store", "request-no-store"),
    ] {
        let seen = rig.send(&get("/free").with(name, value));
        assert_eq!(seen.cache(), format!("fwd=bypass; detail={why}"));
        assert!(rig.sent.last().unwrap().headers.contains_key(name));
    }
}

#[test]
fn the_cache_works_without_a_store() {
    let mut rig = Rig::without_store(config());
    rig.get("/book");
    let seen = rig.get("/book");
    hit(&seen, "l1");
    assert_eq!(seen.limiter(), "local");
    assert_eq!(rig.writes, []);
    let mut rig = Rig::new(config());
    rig.store = Store::Down(ErrorKind::Timeout);
    assert_eq!(rig.get("/free").fetches, 1);
    hit(&rig.get("/free"), "l1");
}

#[test]
fn an_unsafe_request_that_succeeds_invalidates_what_is_stored_for_its_url() {
    let mut rig = Rig::new(config());
    rig.get("/free");
    hit(&rig.get("/free"), "l1");
    let key = rig.writes[0].key.clone();
    // A request that fails invalidates nothing.
    rig.next(response(400, "no"));
    rig.send(&get("/free").by("POST"));
    assert!(rig.deleted.is_empty());
    hit(&rig.get("/free"), "l1");
    rig.next(response(201, "yes"));
    rig.send(&get("/free").by("POST"));
    assert_eq!(rig.deleted, [key]);
    assert_eq!(rig.get("/free").fetches, 1, "neither here nor in the store");
}

#[test]
fn a_head_takes_no_lease_that_it_could_not_use() {
    let mut rig = Rig::new(config());
    rig.send(&get("/free").by("HEAD"));
    assert!(rig.model.keys().all(|key| !key.starts_with("ot:f:")));
    rig.get("/free");
    assert!(rig.model.keys().any(|key| key.starts_with("ot:f:")));
}

#[test]
fn stale_windows_are_no_lifetime() {
    // A refusal or a failure of one client's request must not become everybody's.
    for status in [401, 403, 404, 429] {
        let mut rig = Rig::new(json!({
            "origin": "https://api.example",
            "routes": [{ "path": "/pairs", "cache": {
                "ttl": "1m", "stale_while_revalidate": "10m", "stale_if_error": "1d",
            } }],
        }));
        rig.next(response(status, "no").with("etag", "\"e\""));
        let first = rig.get("/pairs");
        // RFC 6585 §4: "Responses with the 429 status code MUST NOT be stored by a cache."
        let why = if status == 429 {
            "status"
        } else {
            "no-freshness"
        };
        assert_eq!(first.cache(), format!("fwd=uri-miss; detail={why}"));
        assert_eq!(rig.get("/pairs").fetches, 1, "{status}");
    }
}

#[test]
fn a_client_cannot_take_off_what_the_key_is_made_of() {
    let mut rig = Rig::new(config());
    let request = get("/tongues")
        .with("accept-language", "en")
        .with("connection", "accept-language");
    assert_eq!(rig.send(&request).cache(), "fwd=bypass; detail=connection");
    let request = get("/tongues").with("accept-language", "en");
    assert_eq!(rig.send(&request).fetches, 1, "nothing was stored");
    let request = request.with("connection", "keep-alive");
    hit(&rig.send(&request), "l1");
}

#[test]
fn the_origin_is_asked_by_the_spelling_of_the_key() {
    let mut rig = Rig::new(config());
    rig.get("/fr%65e?a=%62");
    assert_eq!(rig.sent[0].url, "https://api.example/free?a=b");
    hit(&rig.get("/free?a=b"), "l1");
}

#[test]
fn a_coding_that_the_platform_does_not_undo_is_not_stored() {
    for (coding, fetches) in [
        ("gzip", 0),
        ("br", 0),
        ("zstd", 1),
        ("gzip, br", 1),
        ("GZIP", 1),
    ] {
        let mut rig = Rig::new(config());
        rig.next(response(200, "coded").with("content-encoding", coding));
        rig.get("/free");
        assert_eq!(rig.get("/free").fetches, fetches, "{coding}");
    }
}

#[test]
fn one_clients_revalidation_leaves_the_entry_to_the_others() {
    let mut rig = Rig::new(config());
    rig.next(book("one"));
    rig.get("/free");
    rig.wait(2_000);
    rig.next(response(304, "").with("etag", "\"v1\""));
    let known = get("/free").with("authorization", "Bearer t");
    assert_eq!(rig.send(&known).text(), "one");
    assert!(rig.deleted.is_empty());
    rig.next(response(304, "").with("etag", "\"v1\""));
    assert_eq!(rig.get("/free").text(), "one");
    let asked = &rig.sent[2];
    assert!(
        asked.headers.contains_key("if-none-match"),
        "it is still there"
    );
}

#[test]
fn cloudflares_word_for_an_unreachable_origin_is_a_failure() {
    for (status, told) in [(520, 502), (521, 502), (522, 504), (524, 504), (530, 502)] {
        let mut rig = Rig::new(config());
        rig.next(response(status, "Cloudflare's page"));
        let seen = rig.get("/elsewhere");
        assert_eq!(seen.status, told);
        assert!(!seen.text().contains("Cloudflare"));
    }
}
