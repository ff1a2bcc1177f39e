//! `POST /__edge/purge`: what is named is void from then on, and nothing else is told.

use bytes::Bytes;
use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::gateway::{Handoff, Purge, Step, Unread};
use omnitrade_edge::redis::Value;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::rig::{Request, Rig, Seen, Store, TOKEN, get, response};

const MONTH: u64 = 31 * 86_400_000;

fn config() -> Json {
    json!({
        "origin": "https://api.example.com",
        "limits": { "one": { "by": "global", "window": "60s", "quota": 1 } },
        "default_limits": ["one"],
        "routes": [
            {
                "path": "/book",
                "cache": {
                    "ttl": "10m", "query": ["symbol"], "vary": ["accept-language"],
                    "tags": ["book", "symbol:{query.symbol}"],
                },
            },
            { "path": "/plain/{id}", "cache": { "ttl": "10m" } },
            { "path": "/uncached" },
        ],
    })
}

impl Rig {
    /// The store's word on a purge.
    pub fn purge_said(&mut self, purge: &Purge) -> Result<Vec<Result<Value, Error>>, Error> {
        if let Store::Down(kind) = &self.store {
            return Err(Error::from(*kind));
        }
        assert_eq!(purge.commands().len(), purge.keys().count());
        let replies = purge.keys().enumerate().map(|(n, key)| {
            if n >= self.purges {
                return Err(Error::from(ErrorKind::Command));
            }
            self.model.set(key, purge.epoch(), MONTH, self.now);
            self.epochs.push((key.to_owned(), purge.epoch().to_owned()));
            Ok(Value::from("OK"))
        });
        Ok(replies.collect())
    }

    fn purge(&mut self, body: &Json) -> Seen {
        self.purge_text(&body.to_string())
    }

    fn purge_text(&mut self, body: &str) -> Seen {
        self.body = Ok(Bytes::copy_from_slice(body.as_bytes()));
        self.send(&purging())
    }

    /// The keys that purges have set, without the prefix.
    fn purged(&self) -> Vec<&str> {
        let keys = self.epochs.iter().map(|(key, _)| key.strip_prefix("ot:t:"));
        keys.map(Option::unwrap).collect()
    }
}

fn purging() -> Request {
    get("/__edge/purge")
        .by("POST")
        .with("authorization", &format!("Bearer {TOKEN}"))
}

fn json_of(seen: &Seen) -> Json {
    assert_eq!(seen.header("cache-control"), "no-store");
    serde_json::from_str(seen.text()).unwrap()
}

#[track_caller]
fn refused(seen: &Seen, status: u16, code: &str) -> Json {
    assert_eq!(seen.status, status, "{seen:?}");
    assert_eq!((seen.asks, seen.fetches), (0, 0));
    let problem = json_of(seen);
    assert_eq!(problem["code"], code);
    problem
}

#[test]
fn a_purge_sets_one_key_for_each_tag_and_url() {
    let mut rig = Rig::new(config());
    let seen = rig.purge(&json!({
        "tags": ["book", "symbol:BTC", "book"],
        "urls": ["/book?symbol=BTC", "https://EDGE.example:443/book?utm=1&symbol=%42TC#top"],
    }));
    assert_eq!(seen.status, 200, "{seen:?}");
    // The second tag and the second URL are the first ones again.
    assert_eq!(
        json_of(&seen),
        json!({ "purged": { "tags": 2, "urls": 1 } })
    );
    let purged = rig.purged();
    assert_eq!(purged[..2], ["book", "symbol:BTC"]);
    assert!(
        purged.len() == 3 && purged[2].starts_with('@'),
        "{purged:?}"
    );
    let (_, epoch) = &rig.epochs[0];
    assert!(rig.epochs.iter().all(|(_, other)| other == epoch));

    rig.purge(&json!({ "tags": ["book"] }));
    assert_ne!(
        rig.epochs[3].1, rig.epochs[0].1,
        "each purge has an epoch of its own"
    );
}

#[test]
fn the_commands_keep_epochs_longer_than_entries() {
    let mut purge = Purge::new("ot", 1);
    purge.tag("a");
    let command = format!("{:?}", purge.commands()[0]);
    assert_eq!(
        command,
        r#"Command { name: "SET", args: 4, idempotent: false }"#
    );
}

#[test]
fn what_the_isolate_holds_is_dropped() {
    let mut rig = Rig::without_store(config());
    for path in ["/book?symbol=A", "/plain/1"] {
        rig.get(path);
        assert_eq!(rig.get(path).fetches, 0, "{path}");
    }
    let seen = rig.purge(&json!({ "tags": ["any"] }));
    let expected = json!({ "purged": { "tags": 1, "urls": 0 }, "scope": "isolate" });
    assert_eq!((seen.status, json_of(&seen)), (200, expected));
    rig.wait(1);
    for path in ["/book?symbol=A", "/plain/1"] {
        assert_eq!(rig.get(path).fetches, 1, "{path}");
        assert_eq!(rig.get(path).fetches, 0, "{path}");
    }
}

#[test]
fn what_is_under_way_during_a_purge_is_not_kept() {
    let mut rig = Rig::without_store(config());
    let request = get("/plain/1");
    let Step::Fetch(_, exchange) = rig.gate.decide(&request, rig.shown()) else {
        panic!("nothing is stored");
    };
    rig.wait(5);
    // Another one waits for it, and one that comes after the purge does not.
    let waits = |step| matches!(step, Step::Wait(..));
    assert!(waits(rig.gate.decide(&request, rig.shown())));
    rig.purge(&json!({ "tags": ["any"] }));
    rig.wait(5);
    let Step::Fetch(_, after) = rig.gate.decide(&request, rig.shown()) else {
        panic!("what is under way is of no use");
    };
    let old = response(200, "old");
    let relay = rig
        .gate
        .origin_answered(&request, exchange, Ok(&old), rig.shown());
    let Handoff::Relay(relay) = relay else {
        panic!("{relay:?}")
    };
    rig.gate
        .save(*relay.save.unwrap(), old.body.clone(), rig.shown());
    assert!(!matches!(
        rig.gate.decide(&request, rig.shown()),
        Step::Respond(_)
    ));

    let new = response(200, "new");
    let relay = rig
        .gate
        .origin_answered(&request, after, Ok(&new), rig.shown());
    let Handoff::Relay(relay) = relay else {
        panic!("{relay:?}")
    };
    rig.gate
        .save(*relay.save.unwrap(), new.body.clone(), rig.shown());
    assert_eq!(rig.get("/plain/1").text(), "new");
}

#[test]
fn a_store_that_fails_is_told_and_the_isolate_is_purged_all_the_same() {
    let mut rig = Rig::new(config());
    rig.get("/plain/1");
    rig.store = Store::Down(ErrorKind::Timeout);
    rig.wait(1);
    for calls in 0..5 {
        let seen = rig.purge(&json!({ "tags": ["book"], "urls": ["/plain/1"] }));
        let problem = refused(&seen, 503, "purge_unconfirmed");
        assert!(seen.header("retry-after").parse::<u64>().unwrap() >= 1);
        // Once it is known to be down it is not even asked, and surely nothing was done.
        let nothing = json!({ "tags": 0, "urls": 0 });
        assert_eq!(
            problem["purged"],
            if calls < 3 { Json::Null } else { nothing }
        );
    }
    assert_eq!(rig.get("/plain/1").fetches, 1);
    rig.store = Store::Up;
    rig.wait(2_000);
    let seen = rig.purge(&json!({ "tags": ["book"] }));
    assert_eq!(seen.status, 200, "it is asked again: {seen:?}");
}

#[test]
fn a_purge_that_is_half_done_is_no_success() {
    let mut rig = Rig::new(config());
    rig.purges = 1;
    let seen = rig.purge(&json!({ "tags": ["a", "b"], "urls": ["/plain/1"] }));
    let problem = refused(&seen, 503, "purge_unconfirmed");
    assert_eq!(problem["purged"], json!({ "tags": 1, "urls": 0 }));
}

#[test]
fn nobody_purges_without_the_token() {
    let mut rig = Rig::new(config());
    rig.body = Ok(Bytes::from_static(br#"{"tags":["a"]}"#));
    for sent in [
        "",
        "Bearer",
        "Bearer wrong",
        "Basic t0ken-of-the-admin",
        TOKEN,
    ] {
        let request = get("/__edge/purge").by("POST").with("authorization", sent);
        let seen = rig.send(&request);
        refused(&seen, 401, "unauthorised");
        assert_eq!(seen.header("www-authenticate"), "Bearer");
    }
    refused(
        &rig.send(&get("/__edge/purge").by("POST")),
        401,
        "unauthorised",
    );
    for method in ["GET", "HEAD", "PUT", "OPTIONS", "DELETE"] {
        let seen = rig.send(&purging().by(method));
        refused(&seen, 405, "method_not_allowed");
        assert_eq!(seen.header("allow"), "POST");
    }
    assert_eq!(rig.epochs, []);
    rig.gate = rig.gate.with_admin_token(None);
    refused(&rig.send(&purging()), 404, "not_found");
}

#[test]
fn a_purge_counts_against_no_limit() {
    let mut rig = Rig::new(config());
    for _ in 0..5 {
        let seen = rig.purge(&json!({ "tags": ["a"] }));
        assert_eq!((seen.status, seen.asks, seen.fetches), (200, 0, 0));
    }
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_purged() {
    let mut rig = Rig::new(config());
    rig.get("/plain/1");
    let many: Vec<_> = (0..101).map(|n| n.to_string()).collect();
    let long = "x".repeat(1_025);
    let far = format!("/plain/{}", "x".repeat(16_384));
    for (body, said) in [
        (
            json!({}),
            "tags, urls: expected 1 to 100 names together, found 0",
        ),
        (
            json!({ "tags": [], "urls": null }),
            "tags, urls: expected 1 to 100",
        ),
        (
            json!({ "tags": many }),
            "tags, urls: expected 1 to 100 names together, found 101",
        ),
        (
            json!({ "tags": ["a"], "all": true }),
            "all: expected one of the fields tags, urls; there is",
        ),
        (json!({ "tags": "a" }), "tags: expected a list, found \"a\""),
        (
            json!({ "tags": ["a", ""] }),
            "tags[1]: expected a tag of 1 to 1024 bytes, found \"\"",
        ),
        (
            json!({ "tags": [1] }),
            "tags[0]: expected a tag of 1 to 1024 bytes, found 1",
        ),
        (
            json!({ "tags": [long] }),
            "tags[0]: expected a tag of 1 to 1024 bytes",
        ),
        (json!({ "urls": [far] }), "urls[0]: expected a URL such as"),
        (
            json!({ "urls": ["/plain/1", "plain"] }),
            "urls[1]: expected a URL such as",
        ),
        (json!({ "urls": [""] }), "urls[0]: expected a URL such as"),
        (
            json!({ "urls": ["ftp://edge.example/plain/1"] }),
            "urls[0]: expected a URL such as",
        ),
        (
            json!({ "urls": ["https://me@edge.example/plain/1"] }),
            "urls[0]: expected a URL such as",
        ),
        (
            json!({ "urls": ["//other.example/plain/1"] }),
            "urls[0]: expected a URL such as",
        ),
        (
            json!({ "urls": ["/plain/%zz"] }),
            "urls[0]: expected a URL such as",
        ),
        (
            json!({ "urls": ["/plain\\1"] }),
            "urls[0]: expected a URL such as",
        ),
        (
            json!({ "urls": ["/plain/a b"] }),
            "urls[0]: expected a URL such as",
        ),
        (
            json!({ "urls": ["/plain/é"] }),
            "urls[0]: expected a URL such as",
        ),
        (
            json!({ "urls": ["/uncached?x=1"] }),
            "urls[0]: expected a URL of a route with a cache, found \"/uncached?x=1\"",
        ),
        (
            json!({ "urls": ["/__edge/health"] }),
            "urls[0]: expected a URL of a route with a cache",
        ),
    ] {
        let problem = refused(&rig.purge(&body), 422, "not_purgeable");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with(said), "{body}: {detail}");
        assert_eq!(problem["problems"][0], detail);
    }
    let two = rig.purge(&json!({ "tags": [1], "urls": [2] }));
    assert_eq!(json_of(&two)["problems"].as_array().unwrap().len(), 2);
    for text in [
        "",
        "{",
        "[]",
        "null",
        "\"tags\"",
        "tags=a",
        "{\"tags\":[\"\u{0}\"]}",
        &"[".repeat(60_000),
    ] {
        refused(&rig.purge_text(text), 400, "malformed_body");
    }
    rig.body = Ok(Bytes::from_static(b"{\"tags\":[\"\xff\"]}"));
    refused(&rig.send(&purging()), 400, "malformed_body");
    rig.body = Err(Unread::Broken);
    refused(&rig.send(&purging()), 400, "malformed_body");
    rig.body = Err(Unread::TooLong);
    refused(&rig.send(&purging()), 413, "body_too_large");
    let most = 64 << 10;
    let fits = format!("{{\"tags\":[\"a\"]{}}}", " ".repeat(most - 14));
    assert_eq!(fits.len(), most);
    refused(&rig.purge_text(&format!("{fits} ")), 413, "body_too_large");
    let announced = purging().with("content-length", &(most + 1).to_string());
    refused(&rig.send(&announced), 413, "body_too_large");
    assert_eq!(rig.epochs, [], "nothing of all that was purged");
    assert_eq!(rig.get("/plain/1").fetches, 0);

    assert_eq!(rig.purge_text(&fits).status, 200);
}

#[test]
fn a_url_is_read_as_clients_send_it() {
    let mut rig = Rig::new(config());
    let mut key = |url: &str| {
        let seen = rig.purge(&json!({ "urls": [url] }));
        assert_eq!(seen.status, 200, "{url}: {seen:?}");
        rig.epochs.pop().unwrap().0
    };
    let one = key("/plain/1?x=1");
    for same in [
        "https://edge.example/plain/1?x=1",
        "HTTPS://Edge.Example:443/plain/./2/../1?x=%31#y",
    ] {
        assert_eq!(key(same), one, "{same}");
    }
    for other in [
        "/plain/1",
        "/plain/1?x=2",
        "https://other.example/plain/1?x=1",
        "http://edge.example/plain/1?x=1",
    ] {
        assert_ne!(key(other), one, "{other}");
    }
}

#[test]
fn a_url_takes_along_the_one_that_it_is_the_same_as_by_the_word_of_the_api() {
    let mut rig = Rig::new(config());
    rig.next(response(200, "x").with("no-vary-search", "params=(\"utm\")"));
    rig.get("/plain/1?x=1&utm=7");
    let seen = rig.purge(&json!({ "urls": ["/plain/1?x=1&utm=8"] }));
    assert_eq!(json_of(&seen)["purged"]["urls"], 1);
    let along = rig.epochs.pop().unwrap();
    rig.purge(&json!({ "urls": ["/plain/1?x=1"] }));
    assert_eq!(rig.epochs.last().unwrap().0, along.0);
}

#[test]
fn an_isolate_with_a_wrong_clock_purges_too() {
    let mut rig = Rig::new(config());
    rig.ahead_ms = -3_600_000;
    rig.get("/plain/1");
    rig.purge(&json!({ "tags": ["a"] }));
    rig.wait(1);
    assert_eq!(rig.get("/plain/2").fetches, 1);
    assert_eq!(rig.get("/plain/2").fetches, 0, "what comes after is kept");
}

proptest! {
    #[test]
    fn any_body_is_answered(body: Vec<u8>, url in ".{0,60}", tag: String) {
        let mut rig = Rig::new(config());
        rig.body = Ok(body.into());
        let seen = rig.send(&purging());
        prop_assert!(matches!(seen.status, 200 | 400 | 422));
        for body in [json!({ "urls": [url] }), json!({ "tags": [tag] })] {
            let seen = rig.purge(&body);
            prop_assert!(matches!(seen.status, 200 | 422), "{:?}", seen);
        }
        for (key, _) in &rig.epochs {
            prop_assert!(key.len() <= 256 && key.bytes().all(|b| b.is_ascii_graphic()));
        }
    }
}
