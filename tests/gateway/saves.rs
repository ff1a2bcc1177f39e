//! Bodies that are read for the cache: how many at once, and what becomes of those that find no
//! room.

use bytes::Bytes;
use omnitrade_edge::cache::Fill;
use omnitrade_edge::gateway::{Context, Handoff, Relay, Step};
use omnitrade_edge::message::body::BodyError;
use serde_json::{Value, json};

use crate::rig::{Response, Rig, follower, get, response};

/// How many bodies are read at once.
const MOST: usize = 256;

const MB: usize = 1 << 20;

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "routes": [
            { "path": "/a/{n}", "cache": { "ttl": "10s" } },
            { "path": "/stale/{n}", "cache": { "ttl": "1s", "stale_while_revalidate": "1h" } },
        ],
    })
}

fn rigs() -> [Rig; 2] {
    [Rig::new(config()), Rig::without_store(config())]
}

/// The request goes to the origin.
#[track_caller]
fn goes(step: Step<Bytes>) -> Context<Bytes> {
    match step {
        Step::Fetch(_, context) => context,
        other => panic!("expected a request to the origin: {other:?}"),
    }
}

/// The head of the origin's answer has arrived.
#[track_caller]
fn head(rig: &mut Rig, path: &str, context: Context<Bytes>, origin: &Response) -> Relay<Bytes> {
    let now = rig.shown();
    match rig
        .gate
        .origin_answered(&get(path), context, Ok(origin), now)
    {
        Handoff::Relay(relay) => relay,
        Handoff::Step(step) => panic!("it is handed on: {step:?}"),
    }
}

/// A request for which the origin has sent the head of its answer.
#[track_caller]
fn arriving(rig: &mut Rig, path: &str, origin: &Response) -> Relay<Bytes> {
    let context = goes(rig.begin(&get(path)));
    head(rig, path, context, origin)
}

fn announced(length: usize) -> Response {
    response(200, "").with("content-length", &length.to_string())
}

/// So many bodies are being read.
fn reading(rig: &mut Rig, count: usize) -> Vec<Fill> {
    (0..count)
        .map(|n| {
            let relay = arriving(rig, &format!("/a/{n}"), &response(200, "long"));
            *relay.fill.expect("there is room for it")
        })
        .collect()
}

/// What `Cache-Status` says of an answer that is handed on.
fn said(relay: Relay<Bytes>) -> String {
    relay.cache_status.unwrap().when(false)
}

#[test]
fn a_body_more_than_are_read_at_once_is_handed_on_and_not_read() {
    for mut rig in rigs() {
        let mut fills = reading(&mut rig, MOST);
        let relay = arriving(&mut rig, "/a/more", &response(200, "more"));
        assert!(relay.fill.is_none());
        let said = said(relay);
        assert!(said.contains("detail=no-room"), "{said}");
        rig.next(response(200, "other"));
        let seen = rig.get("/a/more");
        assert_eq!((seen.text(), seen.fetches), ("other", 1), "not stored");
        // One is over.
        let now = rig.shown();
        assert!(rig.gate.filled(fills.remove(0), "long".into(), now).kept);
        rig.get("/a/more");
        assert_eq!(rig.get("/a/more").fetches, 0, "stored");
    }
}

#[test]
fn a_body_that_is_given_up_leaves_its_room_to_the_next() {
    for why in [
        BodyError::TooLong,
        BodyError::TooSlow,
        BodyError::Broken,
        BodyError::NoRoom,
    ] {
        let mut rig = Rig::new(config());
        let fills = reading(&mut rig, MOST);
        let now = rig.shown();
        rig.gate.fill_failed(&fills[9], why, now);
        let relay = arriving(&mut rig, "/a/next", &response(200, "next"));
        assert!(relay.fill.is_some(), "{why:?}");
    }
}

#[test]
fn bodies_that_nobody_reads_any_more_hold_their_room_for_a_while() {
    let mut rig = Rig::new(config());
    drop(reading(&mut rig, MOST));
    // As long as a body may take to arrive.
    rig.wait(24_999);
    assert!(
        arriving(&mut rig, "/a/x", &response(200, ""))
            .fill
            .is_none()
    );
    rig.wait(1);
    assert!(
        arriving(&mut rig, "/a/y", &response(200, ""))
            .fill
            .is_some()
    );
}

#[test]
fn large_bodies_leave_room_for_small_ones() {
    for mut rig in rigs() {
        let large: Vec<_> = (0..MOST)
            .map(|n| arriving(&mut rig, &format!("/a/{n}"), &announced(4 * MB)).fill)
            .take_while(Option::is_some)
            .collect();
        assert_eq!(large.len(), 3, "of a quarter of 16 MB each");
        for n in 0..30 {
            let path = format!("/a/small-{n}");
            rig.next(response(200, "small"));
            rig.get(&path);
            assert_eq!(rig.get(&path).fetches, 0);
        }
    }
}

#[test]
fn bodies_of_unknown_length_take_no_more_than_there_is() {
    let mut rig = Rig::new(config());
    let mut fills: Vec<_> = reading(&mut rig, 40).into_iter().map(Some).collect();
    let mut read = vec![0; fills.len()];
    while fills.iter().any(Option::is_some) {
        for (fill, read) in fills.iter_mut().zip(&mut read) {
            let Some(save) = fill.take() else { continue };
            if *read < 4 * MB && rig.gate.fill_grows(&save, *read + 10_000) {
                *read += 10_000;
                *fill = Some(save);
            }
        }
        let total: usize = read.iter().sum();
        assert!(total <= 16 * MB, "{total} bytes");
    }
}

#[test]
fn who_waits_for_a_body_without_room_goes_to_the_origin_at_once() {
    for mut rig in rigs() {
        let relayed = goes(rig.begin(&get("/a/1")));
        let waits = follower(rig.begin(&get("/a/1")));
        let relay = head(&mut rig, "/a/1", relayed, &response(200, "long"));
        let (fill, now) = (relay.fill.unwrap(), rig.shown());
        let told = rig.gate.fill_failed(&fill, BodyError::NoRoom, now);
        told.write.into_iter().for_each(|write| rig.write(write));
        let step = rig.gate.waited(&get("/a/1"), waits, now);
        goes(rig.ask_store(&get("/a/1"), step));
        // For a second no request waits for it.
        rig.wait(999);
        goes(rig.begin(&get("/a/1")));
        goes(rig.begin(&get("/a/1")));
        rig.wait(1);
        goes(rig.begin(&get("/a/1")));
        follower(rig.begin(&get("/a/1")));
    }
}

#[test]
fn an_entry_for_whose_refresh_there_is_no_room_is_asked_for_once_a_second() {
    for mut rig in rigs() {
        rig.next(response(200, "old"));
        rig.get("/stale/1");
        rig.wait(1_500);
        let fills = reading(&mut rig, MOST);
        let before = rig.sent.len();
        for _ in 0..30 {
            rig.next(response(200, "new"));
            assert_eq!(rig.get("/stale/1").text(), "old");
            rig.origin.clear();
            rig.wait(100);
        }
        assert!((1..=4).contains(&(rig.sent.len() - before)));
        let now = rig.shown();
        rig.gate.fill_failed(&fills[0], BodyError::Broken, now);
        for _ in 0..11 {
            rig.next(response(200, "new"));
            rig.get("/stale/1");
            rig.origin.clear();
            rig.wait(100);
        }
        assert_eq!(rig.get("/stale/1").text(), "new");
    }
}
