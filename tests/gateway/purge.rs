//! Purges: named entries are void from then on, here and in the store.

use bytes::Bytes;
use omnitrade_edge::cache::Purge;
use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::gateway::{Handoff, Step};
use omnitrade_edge::redis::Value;
use serde_json::{Value as Json, json};

use crate::rig::{Request, Rig, Seen, Store, TOKEN, get, response};

const MONTH: u64 = 31 * 86_400_000;

pub fn config() -> Json {
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
            { "path": "/plain/{id}", "cache": { "ttl": "10m", "tags": ["plain:{path.id}"] } },
            { "path": "/free", "cache": { "ttl": "10m" } },
            { "path": "/uncached" },
        ],
    })
}

impl Rig {
    /// The store's replies to a purge.
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

    pub fn purge(&mut self, body: &Json) -> Seen {
        self.purge_text(&body.to_string())
    }

    pub fn purge_text(&mut self, body: &str) -> Seen {
        self.body = Ok(Bytes::copy_from_slice(body.as_bytes()));
        self.send(&purging())
    }

    /// The keys that purges have set, without the prefix.
    fn purged(&self) -> Vec<&str> {
        let keys = self.epochs.iter().map(|(key, _)| key.strip_prefix("ot:t:"));
        keys.map(Option::unwrap).collect()
    }
}

pub fn purging() -> Request {
    get("/__edge/purge")
        .by("POST")
        .with("authorization", &format!("Bearer {TOKEN}"))
}

pub fn json_of(seen: &Seen) -> Json {
    assert_eq!(seen.header("cache-control"), "no-store");
    serde_json::from_str(seen.text()).unwrap()
}

#[track_caller]
pub fn refused(seen: &Seen, status: u16, code: &str) -> Json {
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
    // The second tag and the second URL repeat the first ones.
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
    // Another request waits for it; a request that comes after the purge does not.
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
        .filled(*relay.fill.unwrap(), old.body.clone(), rig.shown());
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
        .filled(*relay.fill.unwrap(), new.body.clone(), rig.shown());
    assert_eq!(rig.get("/plain/1").text(), "new");
}

#[test]
fn what_is_void_does_not_take_the_place_of_what_is_not() {
    let mut rig = Rig::new(json!({
        "origin": "https://api.example.com",
        "routes": [{ "path": "/plain", "cache": { "ttl": "60s" } }],
    }));
    let request = get("/plain");
    let slow = rig.begin(&request);
    rig.wait(3_100);
    let mut other = rig.beside();
    rig.swap_stores(&mut other);
    other.purge(&json!({ "urls": ["/plain"] }));
    rig.swap_stores(&mut other);
    rig.next(response(200, "new"));
    assert_eq!(rig.get("/plain").text(), "new");
    rig.next(response(200, "old"));
    rig.carry_on(&request, slow);
    for _ in 0..3 {
        assert_eq!(rig.get("/plain").text(), "new");
        rig.wait(10_000);
    }
}

#[test]
fn a_purge_by_tag_is_of_those_that_have_it() {
    let mut rig = Rig::new(config());
    let paths = ["/book?symbol=A", "/book?symbol=B", "/plain/1", "/plain/2"];
    for path in paths {
        rig.get(path);
    }
    rig.wait(1);
    rig.purge(&json!({ "tags": ["symbol:A", "plain:2"] }));
    rig.wait(1);
    // In this isolate, and in one with an empty memory.
    for fetches in [[1, 0, 0, 1], [0; 4]] {
        assert_eq!(paths.map(|path| rig.get(path).fetches), fetches);
    }
    rig.another_isolate();
    assert_eq!(paths.map(|path| rig.get(path).fetches), [0; 4]);
}

#[test]
fn a_purge_by_url_is_of_all_its_variants() {
    let mut rig = Rig::new(config());
    let fetches = |rig: &mut Rig| {
        let mut fetches = 0;
        for tongue in ["de", "en"] {
            for accept in ["a/b", "c/d"] {
                let request = get("/book?symbol=A&utm=1");
                let request = request
                    .with("accept-language", tongue)
                    .with("accept", accept);
                rig.next(response(200, "x").with("vary", "accept"));
                fetches += rig.send(&request).fetches;
                rig.origin.clear();
                rig.wait(1);
            }
        }
        fetches
    };
    assert_eq!([fetches(&mut rig), fetches(&mut rig)], [4, 0]);
    rig.purge(&json!({ "urls": ["/book?symbol=B", "/plain/1"] }));
    rig.wait(1);
    assert_eq!(fetches(&mut rig), 0);
    rig.purge(&json!({ "urls": ["/book?symbol=A&utm=2"] }));
    rig.another_isolate();
    rig.wait(1);
    assert_eq!([fetches(&mut rig), fetches(&mut rig)], [4, 0]);
}

#[test]
fn what_the_store_said_before_a_purge_is_not_kept() {
    let mut rig = Rig::new(config());
    rig.next(response(200, "old"));
    rig.get("/free");
    rig.another_isolate();
    let request = get("/free");
    let Step::Ask(ask, exchange) = rig.gate.decide(&request, rig.shown()) else {
        panic!("nothing is in memory");
    };
    let said = rig.reply(&ask);
    rig.wait(1);
    rig.purge(&json!({ "urls": ["/free"] }));
    rig.wait(1);
    let step = rig.gate.resume(&request, &ask, exchange, said, rig.shown());
    assert_eq!(
        rig.carry_on(&request, step).text(),
        "old",
        "it was asked for before"
    );
    rig.next(response(200, "new"));
    assert_eq!(rig.get("/free").text(), "new");
}

#[test]
fn what_is_read_while_the_store_is_at_a_purge_is_not_kept() {
    let mut rig = Rig::new(config());
    rig.next(response(200, "old"));
    rig.get("/free");
    rig.another_isolate();
    let request = purging();
    let Step::Read(reading) = rig.gate.decide(&request, rig.shown()) else {
        panic!("it has a body");
    };
    let body = Bytes::from_static(br#"{"urls":["/free"]}"#);
    let step = rig.gate.body_read(&request, reading, Ok(body), rig.shown());
    let Step::Purge(purge) = step else {
        panic!("{step:?}");
    };
    rig.wait(1);
    assert_eq!(rig.get("/free").text(), "old", "it is not purged as yet");
    rig.wait(1);
    let replies = rig.purge_said(&purge);
    rig.gate.purged(&purge, replies, rig.shown());
    rig.next(response(200, "new"));
    assert_eq!(rig.get("/free").text(), "new");
}

#[test]
fn the_answer_to_a_post_that_was_under_way_is_not_kept() {
    let mut rig = Rig::without_store(config());
    let request = get("/free").by("POST");
    let Step::Fetch(_, exchange) = rig.gate.decide(&request, rig.shown()) else {
        panic!("it changes something");
    };
    rig.wait(1);
    rig.purge(&json!({ "tags": ["any"] }));
    rig.wait(1);
    let answer = response(200, "old")
        .with("content-location", "/free")
        .with("cache-control", "max-age=600");
    let handoff = rig
        .gate
        .origin_answered(&request, exchange, Ok(&answer), rig.shown());
    let Handoff::Relay(relay) = handoff else {
        panic!("{handoff:?}");
    };
    rig.gate
        .filled(*relay.fill.unwrap(), answer.body, rig.shown());
    assert_eq!(rig.get("/free").fetches, 1);
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
        // Once the store is known to be down it is not asked, so nothing was purged for certain.
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
fn a_url_takes_along_the_one_that_the_api_calls_the_same() {
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

#[test]
fn equal_questions_are_purged_together_by_url_and_by_their_canonical_tag() {
    let mut config = config();
    let cache = &mut config["routes"][0]["cache"];
    cache["normalize"] = json!({ "symbol": "upper" });
    cache["defaults"] = json!({ "symbol": "BTC" });
    for body in [
        json!({ "urls": ["/book?x=1&symbol=%62tc"] }),
        json!({ "urls": ["/book"] }),
        json!({ "tags": ["symbol:BTC"] }),
    ] {
        let mut rig = Rig::new(config.clone());
        rig.get("/book?symbol=btc");
        rig.another_isolate();
        assert_eq!(rig.get("/book").fetches, 0);
        rig.purge(&body);
        rig.another_isolate();
        assert_eq!(rig.get("/book?symbol=BTC").fetches, 1, "{body}");
    }
}

#[test]
fn a_purge_by_tag_reaches_every_spelling_with_parameters() {
    let mut rig = Rig::new(config());
    let spellings = [
        "/plain/7",
        "/plain/7;x=1",
        "/plain;a/7%3By",
        "/;z/plain/7;/",
    ];
    for path in spellings {
        rig.get(path);
        assert_eq!(rig.get(path).fetches, 0, "{path}: stored");
    }
    let other = "/plain/8;x=1";
    rig.get(other);
    assert_eq!(rig.purge(&json!({ "tags": ["plain:7"] })).status, 200);
    rig.another_isolate();
    for path in spellings {
        assert_eq!(rig.get(path).fetches, 1, "{path}: purged");
    }
    assert_eq!(rig.get(other).fetches, 0);
}
