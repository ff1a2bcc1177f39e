//! Market data: equal requests share an entry, closed candles are kept for good and open ones until
//! they close, missing data is remembered for a moment, and stale answers tell their age.

use std::time::Duration;

use omnitrade_edge::message::forward::Failure;
use serde_json::{Value, json};

use crate::cache::{book, hit};
use crate::rig::{Rig, START, get, response};

const DAY: u64 = 86_400_000;

fn rig(cache: Value) -> Rig {
    Rig::new(json!({
        "origin": "https://api.example",
        "routes": [{ "path": "/{*rest}", "cache": cache }],
    }))
}

fn klines(change: &Value) -> Rig {
    let mut cache = json!({
        "ttl": "candle",
        "query": ["symbol", "interval", "startTime", "endTime"],
        "normalize": { "symbol": "upper" },
    });
    for (name, value) in change.as_object().into_iter().flatten() {
        cache[name] = value.clone();
    }
    rig(cache)
}

fn minute(end: u64) -> String {
    format!("/klines?interval=1m&endTime={end}")
}

fn now() -> u64 {
    START.as_millis()
}

mod questions {
    use super::*;

    fn books() -> Rig {
        rig(json!({
            "ttl": "2s",
            "query": ["symbol", "limit"],
            "normalize": { "symbol": "upper" },
            "defaults": { "limit": "100" },
        }))
    }

    #[test]
    fn equal_ones_are_one_call_of_the_origin_in_their_canonical_form() {
        let mut rig = books();
        rig.next(book("[1]"));
        rig.get("/book?symbol=btcusdt&utm=1");
        assert_eq!(
            rig.sent[0].url,
            "https://api.example/book?limit=100&symbol=BTCUSDT"
        );
        for same in [
            "symbol=BTCUSDT",
            "limit=100&symbol=BtcUsdt",
            "%73ymbol=%62TCUSDT&limit=%3100",
        ] {
            hit(&rig.get(&format!("/book?{same}")), "l1");
        }
        for other in [
            "symbol=BTCUSD",
            "symbol=BTCUSDT&limit=5",
            "symbol=BTCUSDT&limit=",
            "",
        ] {
            assert_eq!(rig.get(&format!("/book?{other}")).fetches, 1, "{other}");
        }
        assert_eq!(
            rig.sent.last().unwrap().url,
            "https://api.example/book?limit=100"
        );
    }

    #[test]
    fn a_request_that_bypasses_the_cache_asks_in_canonical_form_too() {
        let mut rig = books();
        let path = "/book?utm=1&symbol=btcusdt";
        for (name, value) in [
            ("cache-control", "no-store"),
            ("if-match", "\"a\""),
            ("content-length", "1"),
            ("connection", "x-a"),
        ] {
            for method in ["GET", "HEAD"] {
                rig.send(&get(path).by(method).with(name, value));
                let sent = rig.sent.last().unwrap();
                let canonical = "https://api.example/book?limit=100&symbol=BTCUSDT";
                assert_eq!(sent.url, canonical, "{method} {name}");
            }
        }
    }

    #[test]
    fn upgrades_and_unsafe_requests_keep_their_query() {
        let mut rig = books();
        let path = "/book?utm=1&symbol=btcusdt";
        let upgrade = get(path).with("upgrade", "websocket");
        for request in [upgrade, get(path).by("POST"), get(path).by("OPTIONS")] {
            rig.send(&request);
            let sent = rig.sent.last().unwrap();
            assert_eq!(sent.url, format!("https://api.example{path}"));
        }
    }

    #[test]
    fn a_change_forgets_what_is_stored_for_the_same_question_however_spelt() {
        let mut rig = books();
        rig.get("/book?symbol=BTCUSDT");
        hit(&rig.get("/book?symbol=BTCUSDT"), "l1");
        rig.send(&get("/book?limit=100&symbol=btcusdt&x=1").by("DELETE"));
        assert_eq!(rig.get("/book?symbol=BTCUSDT").fetches, 1);

        rig.next(response(201, "").with("location", "/book?symbol=btcUSDT"));
        rig.send(&get("/orders").by("POST"));
        assert_eq!(rig.get("/book?symbol=BTCUSDT").fetches, 1, "Location");
    }
}

mod candles {
    use super::*;

    #[test]
    fn closed_ones_are_kept_for_30_days() {
        let mut rig = klines(&json!({ "open_ttl": "1s" }));
        let path = minute(now() - 90_001);
        rig.next(book("[1]"));
        let miss = rig.get(&path);
        assert_eq!(
            miss.cache(),
            format!("fwd=uri-miss; stored; ttl={}", 30 * 86_400)
        );
        rig.wait(30 * DAY - 1);
        hit(&rig.get(&path), "l1");
        rig.another_isolate();
        hit(&rig.get(&path), "redis");
        rig.wait(1);
        assert_eq!(rig.get(&path).fetches, 1);
    }

    #[test]
    fn one_that_closed_less_than_30_seconds_ago_may_change_yet() {
        let mut rig = klines(&json!({ "open_ttl": "1s" }));
        rig.wait(29_999);
        let path = minute(now() - 1);
        rig.next(book("[1]"));
        assert_eq!(rig.get(&path).cache(), "fwd=uri-miss; stored; ttl=1");
        rig.wait(1_000);
        let settled = rig.get(&path);
        assert_eq!(
            settled.cache(),
            format!("fwd=stale; stored; ttl={}", 30 * 86_400)
        );
    }

    #[test]
    fn open_ones_are_fresh_until_they_close_and_not_a_millisecond_longer() {
        for query in [
            "interval=1m".to_owned(),
            format!("interval=1m&startTime={}", now() - 600_000),
            format!("interval=1m&endTime={}", now() + 1),
            format!("interval=1m&endTime={}", now() + DAY),
            "interval=1m&endTime=now".to_owned(),
        ] {
            let mut rig = klines(&json!({}));
            rig.wait(20_000);
            rig.origin_takes = Duration::from_secs(5);
            let path = format!("/klines?{query}");
            rig.get(&path);
            rig.wait(34_999);
            hit(&rig.get(&path), "l1");
            rig.wait(1);
            assert_eq!(rig.get(&path).fetches, 1, "{query}");
        }
    }

    #[test]
    fn an_answer_that_comes_after_the_close_is_not_fresh() {
        let mut rig = klines(&json!({ "stale_while_revalidate": "10s" }));
        rig.wait(59_000);
        rig.origin_takes = Duration::from_secs(2);
        rig.get("/klines?interval=1m");
        rig.origin_takes = Duration::ZERO;
        let stale = rig.get("/klines?interval=1m");
        assert!(stale.refreshed, "{}", stale.cache());
        assert_eq!(stale.header("x-data-age"), "2000");
        hit(&rig.get("/klines?interval=1m"), "l1");
    }

    #[test]
    fn a_minute_is_no_month() {
        let mut rig = klines(&json!({}));
        rig.get("/klines?interval=1m");
        rig.get("/klines?interval=1M");
        rig.wait(60_000);
        assert_eq!(rig.get("/klines?interval=1m").fetches, 1);
        hit(&rig.get("/klines?interval=1M"), "l1");
    }

    #[test]
    fn open_ttl_is_the_longest_that_an_open_one_is_fresh() {
        for (after, fetches) in [(1_999, 0), (2_000, 1)] {
            let mut rig = klines(&json!({ "open_ttl": "2s" }));
            rig.origin_takes = Duration::from_secs(5);
            rig.get("/klines?interval=1h");
            rig.wait(after);
            assert_eq!(rig.get("/klines?interval=1h").fetches, fetches);
        }
    }

    #[test]
    fn without_a_known_interval_the_route_gives_no_lifetime() {
        for query in [
            "",
            "?interval=7m",
            "?interval=1m&interval=1h",
            "?interval=",
            "?endTime=1",
        ] {
            let mut rig = klines(&json!({}));
            rig.next(response(200, "[]").with("last-modified", "Mon, 01 Jan 2001 00:00:00 GMT"));
            let path = format!("/klines{query}");
            assert_eq!(rig.get(&path).cache(), "fwd=uri-miss; detail=no-freshness");
            rig.next(response(200, "[]").with("cache-control", "max-age=60"));
            rig.get(&path);
            hit(&rig.get(&path), "l1");
        }
    }

    #[test]
    fn a_default_may_name_the_interval() {
        let mut rig = klines(&json!({ "defaults": { "interval": "1m" } }));
        rig.get("/klines");
        rig.wait(59_999);
        hit(&rig.get("/klines?interval=1m"), "l1");
    }

    #[test]
    fn where_no_query_is_declared_its_parameters_count_as_they_are() {
        let mut rig = rig(json!({ "ttl": "candle" }));
        rig.get("/klines?b=1&interval=1m&a=2");
        rig.wait(59_999);
        hit(&rig.get("/klines?b=1&interval=1m&a=2"), "l1");
        rig.wait(1);
        assert_eq!(rig.get("/klines?b=1&interval=1m&a=2").fetches, 1);
    }

    #[test]
    fn an_open_one_that_was_revalidated_is_fresh_until_the_next_close() {
        let mut rig = klines(&json!({}));
        rig.next(book("[1]"));
        rig.get("/klines?interval=1m");
        rig.wait(60_001);
        rig.next(response(304, "").with("etag", "\"v1\""));
        rig.get("/klines?interval=1m");
        rig.wait(59_998);
        hit(&rig.get("/klines?interval=1m"), "l1");
        rig.wait(1);
        assert_eq!(rig.get("/klines?interval=1m").fetches, 1);
    }
}

mod negative {
    use super::*;

    #[test]
    fn what_is_not_there_is_remembered_for_a_moment_and_not_served_stale() {
        let mut rig = rig(json!({
            "ttl": "10s",
            "negative_ttl": "2s",
            "stale_while_revalidate": "1m",
            "stale_if_error": "1m",
            "query": ["symbol"],
        }));
        for status in [400, 404, 410] {
            let path = format!("/book?symbol={status}");
            rig.next(response(status, "no"));
            rig.get(&path);
            rig.wait(1_999);
            let seen = rig.get(&path);
            hit(&seen, "l1");
            assert_eq!((seen.status, seen.text()), (status, "no"));
            assert_eq!(seen.header("x-data-age"), "");
            rig.wait(1);
            rig.origin.push_back(Err(Failure::Failed));
            assert_eq!(rig.get(&path).status, 502);
            assert_eq!(rig.get(&path).status, 200, "there by now");
        }
    }
}

mod data_age {
    use super::*;

    fn stale() -> Rig {
        let mut rig = rig(json!({
            "ttl": "1s",
            "stale_while_revalidate": "4s",
            "stale_if_error": "1m",
        }));
        rig.origin_takes = Duration::from_millis(250);
        rig.next(book("0123456789").with("x-data-age", "7"));
        assert_eq!(
            rig.get("/book").header("x-data-age"),
            "",
            "not the origin's"
        );
        rig.origin_takes = Duration::ZERO;
        rig
    }

    #[test]
    fn what_is_fresh_has_none() {
        let mut rig = stale();
        rig.wait(999);
        for request in [get("/book"), get("/book").with("range", "bytes=0-1")] {
            let seen = rig.send(&request);
            hit(&seen, "l1");
            assert!(!seen.headers.contains_key("x-data-age"));
        }
    }

    #[test]
    fn what_is_stale_says_since_when_it_was_known_to_be_true() {
        for (request, status) in [
            (get("/book"), 200),
            (get("/book").by("HEAD"), 200),
            (get("/book").with("range", "bytes=0-1"), 206),
            (get("/book").with("range", "bytes=99-"), 416),
            (get("/book").with("if-none-match", "\"v1\""), 304),
        ] {
            let mut rig = stale();
            rig.wait(1_001);
            let seen = rig.send(&request);
            assert!(seen.cache().starts_with("hit; "), "{}", seen.cache());
            // A quarter of a second passed before the answer came.
            assert_eq!(
                (seen.status, seen.header("x-data-age")),
                (status, "1251".to_owned())
            );
        }
    }

    #[test]
    fn what_stands_in_for_a_failed_origin_says_it_too() {
        let mut rig = stale();
        rig.wait(10_000);
        rig.origin.push_back(Err(Failure::TimedOut));
        let seen = rig.get("/book");
        assert_eq!((seen.status, seen.fetches), (200, 1));
        assert_eq!(seen.header("x-data-age"), "10250");
    }

    #[test]
    fn what_the_origin_has_just_confirmed_has_none() {
        let mut rig = rig(json!({}));
        let confirmed = "max-age=0, stale-if-error=9";
        rig.next(book("1").with("cache-control", confirmed));
        rig.get("/book");
        rig.wait(1_000);
        rig.origin_takes = Duration::from_millis(250);
        rig.next(
            response(304, "")
                .with("etag", "\"v1\"")
                .with("cache-control", confirmed),
        );
        let seen = rig.get("/book");
        assert_eq!((seen.status, seen.fetches, seen.text()), (200, 1, "1"));
        assert!(!seen.headers.contains_key("x-data-age"));
    }
}
