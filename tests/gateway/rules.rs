//! Rules of RFC 9110 and RFC 9111 that need the gateway to be kept, with one test for each.

use serde_json::json;

use crate::cache::{book, hit};
use crate::rig::{Rig, get, response};

fn rig(cache: serde_json::Value) -> Rig {
    Rig::new(json!({
        "origin": "https://api.example/v1",
        "routes": [
            { "path": "/book/{*rest}", "cache": cache },
            { "path": "/orders" },
        ],
    }))
}

fn ttl() -> Rig {
    rig(json!({ "ttl": "10s" }))
}

fn digits() -> crate::rig::Response {
    response(200, "0123456789").with("etag", "\"d\"")
}

#[test]
fn a_part_is_cut_from_the_stored_whole_rfc9110_15_3_7() {
    let mut rig = ttl();
    rig.next(digits().with("content-md5", "x"));
    rig.get("/book/a");
    let seen = rig.send(&get("/book/a").with("range", "bytes=2-4"));
    hit(&seen, "l1");
    assert_eq!((seen.status, seen.text()), (206, "234"));
    assert_eq!(seen.header("content-range"), "bytes 2-4/10");
    assert_eq!(seen.header("etag"), "\"d\"");
    assert_eq!(seen.header("content-md5"), "", "another content's");
    let seen = rig.send(&get("/book/a").with("range", "bytes=10-"));
    assert_eq!((seen.status, seen.text()), (416, ""));
    assert_eq!(seen.header("content-range"), "bytes */10");
    let request = get("/book/a").with("range", "bytes=2-4");
    let seen = rig.send(&request.with("if-range", "\"old\""));
    assert_eq!((seen.status, seen.text()), (200, "0123456789"));
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn a_part_of_what_is_not_stored_is_the_origins_to_give() {
    let mut rig = ttl();
    let request = get("/book/a")
        .with("range", "bytes=2-4")
        .with("if-none-match", "\"x\"");
    rig.next(response(206, "234").with("content-range", "bytes 2-4/10"));
    assert_eq!(rig.send(&request).status, 206);
    let sent = &rig.sent[0].headers;
    assert!(sent.contains_key("range") && sent.contains_key("if-none-match"));
    assert_eq!(rig.writes, [], "a part is no whole");
    // A refusal of this range does not answer a request without a range.
    rig.next(response(416, "").with("cache-control", "max-age=60"));
    rig.send(&request);
    rig.next(digits());
    assert_eq!(rig.get("/book/a").text(), "0123456789");
}

#[test]
fn a_stale_whole_is_validated_before_a_part_is_cut_rfc9110_13_2_2() {
    let mut rig = ttl();
    rig.next(digits());
    rig.get("/book/a");
    rig.wait(10_000);
    let request = get("/book/a").with("range", "bytes=-3");
    rig.next(response(304, "").with("etag", "\"d\""));
    let seen = rig.send(&request);
    assert_eq!((seen.status, seen.text()), (206, "789"));
    let sent = &rig.sent[1].headers;
    assert_eq!(
        (&sent["if-none-match"], &sent["range"]),
        (&"\"d\"".parse().unwrap(), &"bytes=-3".parse().unwrap())
    );
}

#[test]
fn a_change_invalidates_the_urls_that_its_answer_names_rfc9111_4_4() {
    for (name, url) in [
        ("location", "https://edge.example/book/a"),
        ("content-location", "/book/a"),
        ("location", "https://api.example/v1/book/a"),
    ] {
        let mut rig = ttl();
        rig.get("/book/a");
        rig.get("/book/b");
        rig.next(response(201, "").with(name, url));
        rig.send(&get("/orders").by("POST"));
        assert_eq!(rig.get("/book/a").fetches, 1, "{name}: {url}");
        hit(&rig.get("/book/b"), "l1");
    }
    for (status, url) in [(201, "https://other.example/book/a"), (500, "/book/a")] {
        let mut rig = ttl();
        rig.get("/book/a");
        rig.next(response(status, "").with("location", url));
        rig.send(&get("/orders").by("POST"));
        hit(&rig.get("/book/a"), "l1");
    }
}

#[test]
fn a_head_freshens_what_it_confirms_rfc9111_4_3_5() {
    let mut rig = ttl();
    rig.next(book("[1]").with("x-old", "1"));
    rig.get("/book/a");
    rig.wait(10_000);
    rig.next(
        response(200, "")
            .with("etag", "\"v1\"")
            .with("content-length", "3")
            .with("x-new", "2"),
    );
    rig.send(&get("/book/a").by("HEAD"));
    let seen = rig.get("/book/a");
    hit(&seen, "l1");
    assert_eq!(
        (seen.text(), seen.header("x-new"), seen.header("x-old")),
        ("[1]", "2".to_owned(), "1".to_owned())
    );
}

#[test]
fn a_head_removes_what_it_contradicts_rfc9111_4_3_5() {
    for (name, value) in [("etag", "\"v2\""), ("content-length", "4")] {
        let mut rig = ttl();
        rig.next(book("[1]"));
        rig.get("/book/a");
        let request = get("/book/a").by("HEAD").with("cache-control", "no-cache");
        rig.next(response(200, "").with(name, value));
        rig.send(&request);
        assert_eq!(rig.get("/book/a").fetches, 1, "{name}");
        assert_eq!(rig.deleted.len(), 1);
    }
}

#[test]
fn a_post_that_answers_for_its_url_answers_gets_rfc9110_9_3_3() {
    let answer = |location: &str| {
        response(200, "made")
            .with("content-location", location)
            .with("cache-control", "max-age=60")
    };
    let mut rig = ttl();
    rig.next(answer("/book/a"));
    rig.send(&get("/book/a").by("POST"));
    let seen = rig.get("/book/a");
    hit(&seen, "l1");
    assert_eq!(seen.text(), "made");
    for (method, answer) in [
        ("POST", answer("/book/b")),
        (
            "POST",
            response(200, "").with("content-location", "/book/a"),
        ),
        (
            "POST",
            response(200, "").with("cache-control", "max-age=60"),
        ),
        ("POST", answer("/book/a").with("cache-control", "private")),
        ("PUT", answer("/book/a")),
    ] {
        let mut rig = ttl();
        rig.next(answer.clone());
        rig.send(&get("/book/a").by(method));
        assert_eq!(rig.get("/book/a").fetches, 1, "{method} {answer:?}");
    }
}

#[test]
fn a_cookie_beside_a_304_is_one_clients_rfc9111_7_3() {
    let mut rig = ttl();
    rig.next(book("[1]"));
    rig.get("/book/a");
    rig.wait(10_000);
    rig.next(
        response(304, "")
            .with("etag", "\"v1\"")
            .with("set-cookie", "a=1"),
    );
    let seen = rig.get("/book/a");
    assert_eq!(
        (seen.text(), seen.header("set-cookie")),
        ("[1]", "a=1".to_owned())
    );
    let seen = rig.get("/book/a");
    hit(&seen, "l1");
    assert_eq!(seen.header("set-cookie"), "");
}

#[test]
fn a_plain_cache_guesses_and_one_with_a_ttl_does_not_rfc9111_4_2_2() {
    let dated = || response(200, "").with("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    for (cache, fetches) in [
        (json!({}), 0),
        (json!({ "heuristic": false }), 1),
        (json!({ "ttl": "1s" }), 1),
    ] {
        let mut rig = rig(cache.clone());
        rig.next(dated());
        rig.get("/book/a");
        rig.wait(2_000);
        assert_eq!(rig.get("/book/a").fetches, fetches, "{cache}");
    }
}

#[test]
fn a_coding_that_nobody_knows_is_stored_as_it_came_rfc9111_3_1() {
    let mut rig = ttl();
    rig.next(response(200, "coded").with("content-encoding", "x-own"));
    rig.get("/book/a");
    let seen = rig.get("/book/a");
    hit(&seen, "l1");
    assert_eq!(
        (seen.text(), seen.header("content-encoding")),
        ("coded", "x-own".to_owned())
    );
}

#[test]
fn a_digest_of_the_stored_body_outlives_a_304_rfc9111_3_2() {
    let mut rig = ttl();
    rig.next(book("[1]").with("content-md5", "old").with("x-a", "old"));
    rig.get("/book/a");
    rig.wait(10_000);
    let answer = response(304, "").with("etag", "\"v1\"");
    rig.next(answer.with("content-md5", "new").with("x-a", "new"));
    let seen = rig.get("/book/a");
    assert_eq!(
        (seen.header("content-md5"), seen.header("x-a")),
        ("old".to_owned(), "new".to_owned())
    );
}

#[test]
fn parameters_that_responses_call_irrelevant_do_not_count_no_vary_search() {
    let mut rig = ttl();
    let answer = || response(200, "a").with("no-vary-search", "params=(\"utm\")");
    rig.next(answer());
    assert_eq!(rig.get("/book/a?x=1&utm=1").fetches, 1);
    hit(&rig.get("/book/a?x=1&utm=2"), "l1");
    hit(&rig.get("/book/a?x=1"), "l1");
    rig.next(answer());
    assert_eq!(rig.get("/book/a?x=2&utm=1").fetches, 1, "this one counts");
    assert!(
        rig.sent[1].url.ends_with("?x=2&utm=1"),
        "the origin sees all"
    );
    // Another isolate learns this with its first answer, and finds the exact URL at once.
    rig.another_isolate();
    hit(&rig.get("/book/a?x=1"), "redis");
    rig.next(answer());
    assert_eq!(rig.get("/book/a?x=3&utm=1").fetches, 1);
    hit(&rig.get("/book/a?utm=3&x=2"), "redis");
}

#[test]
fn a_response_that_does_not_say_so_answers_its_query_alone_no_vary_search() {
    let mut rig = ttl();
    rig.next(response(200, "plain"));
    rig.get("/book/a?x=1");
    rig.next(response(200, "a").with("no-vary-search", "params=(\"utm\")"));
    rig.get("/book/a?x=2&utm=1");
    rig.next(response(200, "other"));
    assert_eq!(rig.get("/book/a?x=1&utm=1").text(), "other");
    assert_eq!(rig.get("/book/a?x=1").text(), "plain");
}

#[test]
fn fields_that_are_nobodys_in_particular_are_stored_rfc9111_3_1() {
    let mut rig = ttl();
    rig.next(
        response(200, "")
            .with("clear-site-data", "\"cache\"")
            .with("set-cookie2", "a=1"),
    );
    rig.get("/book/a");
    let seen = rig.get("/book/a");
    hit(&seen, "l1");
    assert_eq!(seen.header("clear-site-data"), "\"cache\"");
    assert_eq!(seen.header("set-cookie2"), "a=1");
}
