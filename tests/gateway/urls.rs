//! The spelling of URLs: all spellings of one request share an entry, whether they are requested,
//! purged or named by the origin. No two requests share one unless the origin is sent the same
//! octets.

use omnitrade_edge::config::Config;
use omnitrade_edge::gateway::purged_key;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::rig::{Rig, get, response};

fn config() -> Value {
    json!({
        "origin": "https://api.example/v1",
        "default_limits": [],
        "routes": [
            { "path": "/all/{*rest}", "cache": { "ttl": "10m" } },
            { "path": "/some/{*rest}", "cache": { "ttl": "10m", "query": ["q", "a'b"] } },
        ],
    })
}

/// Spellings of one piece of a path or of a query.
const ANYWHERE: [&[&str]; 12] = [
    &["a", "%61"],
    &["~", "%7e", "%7E"],
    &["\"", "%22"],
    &["{", "%7B", "%7b"],
    &["|", "%7C", "%7c"],
    &["}", "%7d", "%7D"],
    &["[", "%5B"],
    &["^", "%5e"],
    &["é", "%C3%A9", "%c3%a9", "%C3%a9"],
    &["%2F", "%2f"],
    &["%00"],
    &["+"],
];

const IN_PATHS: [&[&str]; 6] = [
    &["'"],
    &["%27"],
    &["/", "\\", "/./", "/x/../", "/%2e/", "/.a/%2E./"],
    &["//", "/\\"],
    &[";"],
    &["%3B", "%3b"],
];

const IN_QUERIES: [&[&str]; 7] = [
    &["'", "%27"],
    &["&"],
    &["="],
    &["\\", "%5C", "%5c"],
    &["%zz"],
    &["?"],
    &["&q=", "&%71="],
];

/// A path and a query in two spellings.
fn questions() -> impl Strategy<Value = (String, String)> {
    let pieces = |own: &[&'static [&'static str]]| {
        let pieces: Vec<_> = ANYWHERE.iter().chain(own).copied().collect();
        let piece = (prop::sample::select(pieces), 0_usize..6, 0_usize..6);
        let piece = piece.prop_map(|(all, n, m)| (all[n % all.len()], all[m % all.len()]));
        prop::collection::vec(piece, 0..6).prop_map(|pieces| {
            let (one, other): (Vec<_>, Vec<_>) = pieces.into_iter().unzip();
            (one.concat(), other.concat())
        })
    };
    let route = prop::sample::select(vec!["all", "some"]);
    // Text beside a broken escape has only one spelling.
    let query =
        prop::option::of(
            pieces(&IN_QUERIES).prop_map(|(one, other)| match one.contains("%zz") {
                true => (one.clone(), one),
                false => (one, other),
            }),
        );
    (route, pieces(&IN_PATHS), query).prop_map(|(route, (one, other), query)| {
        let path = |path| format!("/{route}/x{path}");
        match query {
            Some((q, r)) => (
                format!("{}?q={q}", path(one)),
                format!("{}?q={r}", path(other)),
            ),
            None => (path(one), path(other)),
        }
    })
}

fn sent(rig: &Rig) -> &str {
    &rig.sent.last().unwrap().url
}

proptest! {
    #[test]
    fn a_question_is_one_entry_however_it_is_spelt((one, other) in questions()) {
        let mut rig = Rig::new(config());
        prop_assert_eq!(rig.get(&one).fetches, 1);
        let parsed = url::Url::parse(sent(&rig)).unwrap();
        prop_assert_eq!(sent(&rig), parsed.as_str(), "the platform sends something else");
        prop_assert_eq!(rig.get(&other).fetches, 0);
        rig.another_isolate();
        prop_assert_eq!(rig.get(&other).fetches, 0);
        let mut anew = Rig::new(config());
        anew.get(&other);
        prop_assert_eq!(sent(&anew), sent(&rig));
    }

    #[test]
    fn a_purge_in_any_spelling_voids_it((one, other) in questions()) {
        let mut rig = Rig::new(config());
        for url in [other.clone(), format!("HTTPS://Edge.Example:443{other}#x")] {
            rig.wait(1);
            rig.get(&one);
            rig.wait(1);
            let seen = rig.purge(&json!({ "urls": [url] }));
            prop_assert_eq!(seen.status, 200, "{:?}", seen);
            rig.another_isolate();
            rig.wait(1);
            prop_assert_eq!(rig.get(&one).fetches, 1, "{}", url);
        }
        let key = |path: &str| {
            let config = Config::from_json(config()).unwrap();
            purged_key(&config, &format!("https://edge.example{path}")).unwrap()
        };
        prop_assert_eq!(key(&one), key(&other), "by the command line");
    }

    #[test]
    fn a_name_in_any_spelling_invalidates_it((one, other) in questions(), absolute: bool) {
        for name in ["location", "content-location"] {
            let mut rig = Rig::new(config());
            rig.get(&one);
            let named = if absolute { format!("https://API.example/v%31{other}") } else { other.clone() };
            rig.next(response(201, "").with_octets(name, named.as_bytes()));
            rig.send(&get("/orders").by("POST"));
            prop_assert_eq!(rig.get(&one).fetches, 1, "{}", named);
        }
    }

    #[test]
    fn two_urls_share_an_entry_only_if_the_same_is_sent((one, like) in questions(), (other, _) in questions()) {
        let mut rig = Rig::new(config());
        rig.get(&one);
        let first = sent(&rig).to_owned();
        for other in [like, other] {
            let shared = rig.get(&other).fetches == 0;
            let mut anew = Rig::new(config());
            anew.get(&other);
            prop_assert!(!shared || sent(&anew) == first, "{} and {}", one, other);
        }
    }
}

#[test]
fn what_curl_sends_raw_is_purged_as_it_is_asked_for() {
    for path in [
        "/all/x?pairs=[\"BTC\",\"ETH\"]",
        "/all/x?filter={'a':1}|b",
        "/all/it's|{x}",
        "/all/x\"y\"?^`<>",
        "//all//x",
        "/all\\x",
        "/all/café?é",
        "/some/x?a'b='1'&utm=2",
    ] {
        let mut rig = Rig::new(config());
        rig.get(path);
        assert_eq!(rig.get(path).fetches, 0, "{path}");
        rig.wait(1);
        let seen = rig.purge(&json!({ "urls": [path] }));
        assert_eq!(seen.status, 200, "{path}: {seen:?}");
        rig.wait(1);
        assert_eq!(rig.get(path).fetches, 1, "{path}");
    }
}

#[test]
fn what_is_no_utf8_in_a_url_is_refused() {
    let mut rig = Rig::new(config());
    for path in ["/all/\u{FFFD}", "/all/x?\u{FFFD}", "/other?a=\u{FFFD}"] {
        let seen = rig.get(path);
        assert_eq!((seen.status, seen.asks, seen.fetches), (400, 0, 0));
        assert!(seen.text().contains("malformed_url"));
        let seen = rig.purge(&json!({ "urls": [path] }));
        assert_eq!(seen.status, 422, "{seen:?}");
    }
    assert_eq!(rig.get("/all/%EF%BF%BD").status, 200);
}

#[test]
fn without_a_cache_path_and_query_go_on_as_they_are_written() {
    let mut rig = Rig::new(config());
    for (path, expected) in [
        ("/b/%7e|?a=%e2%82%ac&b={x}", "/b/%7e|?a=%e2%82%ac&b={x}"),
        ("/../b/%2e%2e/%2e/c", "/c"),
        ("/b\\..\\..\\c?\\", "/c?\\"),
        ("/b?", "/b"),
    ] {
        for request in [get(path), get(path).by("POST")] {
            rig.send(&request);
            assert_eq!(sent(&rig), format!("https://api.example/v1{expected}"));
        }
    }
    rig.send(&get("/all/%7e?%7e").by("POST"));
    assert_eq!(sent(&rig), "https://api.example/v1/all/%7e?%7e");
    rig.send(&get("/some/%7e?x=1&q=%7e").with("cache-control", "no-store"));
    assert_eq!(sent(&rig), "https://api.example/v1/some/%7e?q=~");
}

#[test]
fn a_parameter_that_does_not_count_does_not_in_any_spelling() {
    let mut rig = Rig::new(config());
    let fields = "params=(\"a[]\" \"b%20c\" \"d\")";
    rig.next(response(200, "x").with("no-vary-search", fields));
    rig.get("/all/x?s=1&a[]=1");
    for query in ["s=1", "s=%31&a%5b%5D=2", "b+c=3&s=1", "b%20c=4&%64=5&s=1"] {
        assert_eq!(rig.get(&format!("/all/x?{query}")).fetches, 0, "{query}");
    }
    rig.wait(1);
    rig.purge(&json!({ "urls": ["/all/%78?b+c=7&%73=1"] }));
    rig.wait(1);
    assert_eq!(rig.get("/all/x?s=1&a[]=1").fetches, 1);
}
