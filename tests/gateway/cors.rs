//! Which pages of other origins may read an answer (Fetch Standard, "CORS protocol").

use omnitrade_edge::message::forward::Failure;
use serde_json::{Value, json};

use crate::rig::{Request, Rig, Seen, Store, get, response};

const PAGE: &str = "https://app.example";
const OTHER: &str = "https://evil.example";

/// The fields by which the gate answers pages.
const ALLOW: &str = "access-control-allow-origin";
const EXPOSE: &str = "access-control-expose-headers";

/// What a page may read by default.
const OWN: &str =
    "RateLimit, RateLimit-Policy, Retry-After, X-Edge-Limiter, Cache-Status, Age, X-Data-Age";

fn config(cors: Value) -> Value {
    let mut config = json!({
        "origin": "https://api.example",
        "limits": {
            "one": { "by": "ip", "window": "60s", "quota": 1 },
            "shut": { "by": "ip", "window": "60s", "quota": 9, "on_failure": "closed" },
        },
        "routes": [
            { "path": "/limited", "limits": ["one"] },
            { "path": "/shut", "limits": ["shut"] },
            { "path": "/quota", "origin_quota": { "limit": 1, "window": "60s" } },
            { "path": "/book", "methods": ["GET", "HEAD"], "cache": { "ttl": "60s", "stale_while_revalidate": "60s" } },
        ],
    });
    config["cors"] = cors;
    config
}

fn listed() -> Rig {
    Rig::new(config(json!({ "origins": [PAGE] })))
}

fn from_page(path: &str) -> Request {
    get(path).with("origin", PAGE)
}

/// The names of all fields of CORS, sorted, and the value of `Vary`.
fn said(seen: &Seen) -> (Vec<String>, String) {
    let names = seen.headers.keys().map(ToString::to_string);
    let mut names: Vec<_> = names
        .filter(|name| name.starts_with("access-control-"))
        .collect();
    names.sort();
    (names, seen.header("vary"))
}

/// Checks that the page may read an answer and the gate's fields of it.
#[track_caller]
fn is_readable(seen: &Seen) {
    assert_eq!(
        said(seen),
        (
            vec![ALLOW.to_owned(), EXPOSE.to_owned()],
            "Origin".to_owned()
        )
    );
    assert_eq!(
        (seen.header(ALLOW), seen.header(EXPOSE)),
        (PAGE.to_owned(), OWN.to_owned())
    );
}

/// Checks that no page may read an answer, and that caches keep it apart.
#[track_caller]
fn is_unreadable(seen: &Seen) {
    assert_eq!(said(seen), (Vec::new(), "Origin".to_owned()));
}

#[test]
fn a_page_may_read_every_answer_of_the_gates_own() {
    let mut rig = listed();
    assert_eq!(rig.send(&from_page("/limited")).status, 200);
    for (request, status) in [
        (from_page("/limited"), 429),
        (from_page("/%zz"), 400),
        (from_page(&format!("/{}", "a".repeat(20_000))), 414),
        (
            from_page("/book").with("cache-control", "only-if-cached"),
            504,
        ),
    ] {
        let seen = rig.send(&request);
        assert_eq!(seen.status, status);
        is_readable(&seen);
    }
    for (failure, status) in [(Failure::Failed, 502), (Failure::TimedOut, 504)] {
        rig.origin.push_back(Err(failure));
        let seen = rig.send(&from_page("/free"));
        assert_eq!(seen.status, status);
        is_readable(&seen);
    }
    assert_eq!(rig.send(&from_page("/quota")).status, 200);
    let seen = rig.send(&from_page("/quota"));
    assert_eq!(
        (seen.status, seen.header("retry-after").is_empty()),
        (503, false)
    );
    is_readable(&seen);
    rig.store = Store::Down(omnitrade_edge::error::ErrorKind::Timeout);
    let seen = rig.send(&from_page("/shut"));
    assert_eq!(seen.status, 503);
    is_readable(&seen);
}

#[test]
fn only_pages_that_are_listed_may_read_and_every_answer_varies() {
    for path in ["/limited", "/free", "/book", "/%zz"] {
        let mut rig = listed();
        for _ in 0..2 {
            is_readable(&rig.send(&from_page(path)));
            is_unreadable(&rig.send(&get(path)));
            for origin in [
                OTHER,
                "null",
                "https://app.example:444",
                "https://APP.example",
                "*",
                "",
            ] {
                is_unreadable(&rig.send(&get(path).with("origin", origin)));
            }
        }
    }
}

#[test]
fn every_page_may_read_where_all_may_also_from_a_cache() {
    let mut rig = Rig::new(config(json!({ "origins": ["*"] })));
    for request in [get("/limited"), from_page("/limited"), from_page("/free")] {
        let seen = rig.send(&request);
        assert_eq!(
            (seen.header(ALLOW), seen.header("vary")),
            ("*".to_owned(), "Origin".to_owned())
        );
    }
}

#[test]
fn credentials_are_allowed_to_listed_pages_only() {
    let mut rig = Rig::new(config(
        json!({ "origins": [PAGE], "credentials": true, "expose": [] }),
    ));
    let seen = rig.send(&from_page("/limited"));
    assert_eq!(seen.header("access-control-allow-credentials"), "true");
    assert!(!seen.headers.contains_key(EXPOSE));
    is_unreadable(&rig.send(&get("/limited").with("origin", OTHER)));
}

#[test]
fn what_is_exposed_follows_the_style_or_the_list() {
    let exposed = |style: &str, expose: Value| {
        let mut config = config(json!({ "origins": [PAGE], "expose": expose }));
        config["headers"] = json!(style);
        Rig::new(config).send(&from_page("/limited")).header(EXPOSE)
    };
    let others = "Retry-After, X-Edge-Limiter, Cache-Status, Age, X-Data-Age";
    assert_eq!(exposed("draft-7", Value::Null), OWN);
    assert_eq!(
        exposed("legacy", Value::Null),
        format!("X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, {others}")
    );
    assert_eq!(exposed("none", Value::Null), others);
    assert_eq!(
        exposed("draft-10", json!(["ETag", "Retry-After"])),
        "ETag, Retry-After"
    );
}

#[test]
fn an_origin_that_speaks_for_itself_is_not_spoken_over() {
    let mut rig = listed();
    let own = || {
        let response = response(200, "x").with(ALLOW, "https://partner.example");
        response.with("vary", "Accept, origin")
    };
    for path in ["/free", "/book"] {
        rig.next(own());
        for _ in 0..2 {
            let seen = rig.send(&from_page(path));
            assert_eq!(seen.header(ALLOW), "https://partner.example", "{path}");
            assert!(!seen.headers.contains_key(EXPOSE), "{path}");
            assert_eq!(seen.header("vary"), "Accept, origin", "named once");
            if path == "/free" {
                rig.next(own());
            }
        }
    }
}

#[test]
fn what_the_origin_varies_by_stays_beside_the_gates_own() {
    let mut rig = listed();
    for (vary, expected) in [
        ("Accept, Accept-Encoding", "Accept, Accept-Encoding, Origin"),
        ("X-Origin", "X-Origin, Origin"),
        ("*", "*"),
    ] {
        rig.next(response(200, "x").with("vary", vary));
        let seen = rig.send(&from_page("/free"));
        assert_eq!(
            (seen.header("vary").as_str(), seen.header(ALLOW).as_str()),
            (expected, PAGE)
        );
    }
}

#[test]
fn a_stored_answer_carries_no_page_to_another_client() {
    let mut rig = listed();
    rig.next(response(200, "book").with("etag", "\"1\""));
    let clients = [
        from_page("/book"),
        get("/book"),
        get("/book").with("origin", OTHER),
        from_page("/book"),
    ];
    let check = |seen: &Seen, n: usize| match n {
        0 | 3 => is_readable(seen),
        _ => is_unreadable(seen),
    };
    for (n, request) in clients.iter().enumerate() {
        let seen = rig.send(request);
        assert_eq!(
            (seen.text(), seen.fetches),
            ("book", usize::from(n == 0)),
            "one entry for all"
        );
        check(&seen, n);
    }
    rig.another_isolate();
    for (n, request) in clients.iter().enumerate() {
        let seen = rig.send(request);
        assert_eq!((seen.text(), seen.fetches), ("book", 0), "from the store");
        check(&seen, n);
        let seen = rig.send(&request.clone().with("if-none-match", "\"1\""));
        assert_eq!((seen.status, seen.fetches), (304, 0));
        check(&seen, n);
        let seen = rig.send(&request.clone().by("HEAD"));
        assert_eq!((seen.status, seen.fetches), (200, 0));
        check(&seen, n);
    }
    for entry in &rig.writes {
        let value = entry.value.to_ascii_lowercase();
        assert!(
            !value.contains("access-control") && !value.contains("vary"),
            "{value}"
        );
    }
    assert_eq!(rig.writes.len(), 1);
}

#[test]
fn a_refresh_and_its_revalidation_store_nothing_of_a_page() {
    let mut rig = listed();
    rig.next(response(200, "old").with("etag", "\"1\""));
    is_readable(&rig.send(&from_page("/book")));
    rig.wait(61_000);
    rig.next(response(304, "").with("etag", "\"1\""));
    let stale = rig.send(&from_page("/book"));
    assert!(stale.refreshed);
    is_readable(&stale);
    let fresh = rig.send(&get("/book"));
    assert_eq!((fresh.text(), fresh.header("age").as_str()), ("old", "0"));
    is_unreadable(&fresh);
    // In the foreground.
    rig.wait(200_000);
    rig.next(response(304, "").with("etag", "\"1\""));
    is_readable(&rig.send(&from_page("/book")));
    is_unreadable(&rig.send(&get("/book")));
    assert!(
        rig.writes
            .iter()
            .all(|entry| !entry.value.contains("access-control"))
    );
}

#[test]
fn without_the_table_nothing_is_said_about_cors() {
    let mut plain = config(Value::Null);
    plain.as_object_mut().unwrap().remove("cors");
    let mut rig = Rig::new(plain);
    for path in ["/limited", "/limited", "/book", "/%zz"] {
        let seen = rig.send(&from_page(path));
        assert_eq!(said(&seen), (Vec::new(), String::new()), "{path}");
    }
}

#[test]
fn admin_pages_are_for_no_page() {
    let mut rig = Rig::new(config(json!({ "origins": ["*"], "preflight": true })));
    for path in ["/__edge/health", "/__edge/purge", "/__edge/none"] {
        for request in [from_page(path), preflight(path, "GET", None)] {
            let seen = rig.send(&request);
            assert_ne!(seen.status, 204);
            assert_eq!(said(&seen), (Vec::new(), String::new()), "{path}");
        }
    }
}

fn preflight(path: &str, method: &str, headers: Option<&str>) -> Request {
    let request = from_page(path)
        .by("OPTIONS")
        .with("access-control-request-method", method);
    match headers {
        Some(headers) => request.with("access-control-request-headers", headers),
        None => request,
    }
}

/// A gate that answers preflights, with these fields more.
fn answering(more: Value) -> Rig {
    let mut cors = json!({ "origins": [PAGE], "preflight": true });
    cors.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    Rig::new(config(cors))
}

/// What a preflight is told: methods, headers, and for how long.
fn allowed(seen: &Seen) -> [String; 3] {
    [
        "access-control-allow-methods",
        "access-control-allow-headers",
        "access-control-max-age",
    ]
    .map(|name| seen.header(name))
}

#[test]
fn a_preflight_is_answered_without_origin_store_or_limit() {
    let mut rig = answering(json!({}));
    for _ in 0..3 {
        let seen = rig.send(&preflight(
            "/limited",
            "PUT",
            Some("X-Api-Key, content-TYPE"),
        ));
        assert_eq!((seen.status, seen.asks, seen.fetches), (204, 0, 0));
        assert_eq!(seen.header(ALLOW), PAGE);
        assert_eq!(allowed(&seen), ["PUT", "x-api-key, content-type", ""]);
        assert_eq!((seen.header("vary").as_str(), seen.text()), ("Origin", ""));
    }
    let plain = rig.send(&get("/limited").by("OPTIONS"));
    assert_eq!((plain.status, plain.fetches), (200, 1), "no preflight");
}

#[test]
fn a_preflight_is_told_the_methods_of_its_route() {
    let mut rig = answering(json!({}));
    assert_eq!(
        allowed(&rig.send(&preflight("/book", "GET", None)))[0],
        "GET, HEAD"
    );
    assert_eq!(
        allowed(&rig.send(&preflight("/book", "DELETE", None)))[0],
        "DELETE",
        "another route"
    );
    assert_eq!(
        allowed(&rig.send(&preflight("/nowhere", "PATCH", None)))[0],
        "PATCH"
    );
}

#[test]
fn a_configured_preflight_is_told_what_is_configured() {
    let lists = json!({
        "allow_methods": ["GET"], "allow_headers": ["X-Api-Key"], "max_age": "2h", "credentials": true,
    });
    let seen = answering(lists).send(&preflight("/book", "DELETE", Some("x-other")));
    assert_eq!(allowed(&seen), ["GET", "X-Api-Key", "7200"]);
    assert_eq!(seen.header("access-control-allow-credentials"), "true");
    let seen = answering(json!({ "allow_headers": [], "max_age": "0s" }));
    let seen = { seen }.send(&preflight("/book", "GET", Some("x-other")));
    assert_eq!(allowed(&seen), ["GET, HEAD", "", "0"]);
}

#[test]
fn a_refused_preflight_allows_nothing() {
    let mut rig = answering(json!({ "allow_methods": ["GET"], "max_age": "2h" }));
    let mut request = preflight("/limited", "GET", Some("x-a"));
    request.headers.insert("origin", OTHER.parse().unwrap());
    let seen = rig.send(&request);
    assert_eq!((seen.status, seen.fetches), (204, 0));
    is_unreadable(&seen);
}

#[test]
fn what_is_no_token_is_not_said_back_to_a_preflight() {
    let mut rig = answering(json!({}));
    let seen = rig.send(&preflight(
        "/limited",
        "G T",
        Some("x-a, b c, \u{fffd}, \"q\", x-d"),
    ));
    assert_eq!(allowed(&seen), ["", "x-a, x-d", ""]);
}

#[test]
fn preflights_reach_the_origin_unless_the_gate_answers_them() {
    let mut rig = listed();
    rig.next(
        response(204, "")
            .with(ALLOW, PAGE)
            .with("access-control-allow-methods", "PUT"),
    );
    let seen = rig.send(&preflight("/limited", "PUT", None));
    assert_eq!((seen.status, seen.fetches), (204, 1));
    assert_eq!(
        (seen.header(ALLOW).as_str(), allowed(&seen)[0].as_str()),
        (PAGE, "PUT")
    );
}

#[test]
fn a_websocket_is_handed_on_as_it_comes() {
    let mut rig = listed();
    rig.next(response(101, ""));
    let upgrade = from_page("/free")
        .with("upgrade", "websocket")
        .with("connection", "upgrade");
    assert_eq!(said(&rig.send(&upgrade)), (Vec::new(), String::new()));
}
