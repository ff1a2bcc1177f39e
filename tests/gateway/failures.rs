//! Failures of the origin that several requests wait for: they are shared like answers.

use bytes::Bytes;
use omnitrade_edge::gateway::{Context, Handoff, Step};
use omnitrade_edge::message::body::BodyError;
use omnitrade_edge::message::forward::{Failure, Fetch};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::rig::{Request, Response, Rig, Seen, TOKEN, follower, get, response};

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "origin_timeout": "5s",
        "limits": { "ip": { "by": "ip", "window": "60s", "quota": 1000 } },
        "origin_quotas": { "provider": { "limit": 3, "window": "60s" } },
        "routes": [
            { "path": "/book", "cache": { "ttl": "10s" } },
            { "path": "/limited", "limits": ["ip"], "cache": { "ttl": "10s" } },
            { "path": "/refunded", "limits": ["ip"], "refund_on": [500, 502, 504],
              "cache": { "ttl": "10s" } },
            { "path": "/metered", "limits": ["ip"], "origin_quota": "provider",
              "cache": { "ttl": "10s" } },
            { "path": "/tagged", "cache": { "ttl": "10s", "tags": ["book"] } },
            { "path": "/checked", "cache": { "ttl": "10s", "tags": ["book"], "l1_max_age": "0s" } },
            { "path": "/stale", "cache": { "ttl": "1s", "stale_if_error": "1h" } },
            { "path": "/declared", "cache": { "ttl": "10s", "query": ["symbol"] } },
            { "path": "/negative", "cache": {
                "ttl": "1s", "stale_if_error": "10s",
                "negative_ttl": "5s", "negative_statuses": [404, 500],
            } },
        ],
    })
}

fn broken() -> Response {
    response(500, "unknown symbol")
}

/// A request to the origin that is under way.
type Flying = (Fetch, Context<Bytes>);

/// Starts a request, which must go to the origin.
#[track_caller]
fn leads(rig: &mut Rig, request: &Request) -> Flying {
    match rig.begin(request) {
        Step::Fetch(fetch, context) => (fetch, context),
        other => panic!("expected a request to the origin: {other:?}"),
    }
}

/// Starts a request, which must wait for another one.
#[track_caller]
fn waits(rig: &mut Rig, request: &Request) -> Context<Bytes> {
    follower(rig.begin(request))
}

/// What comes of a request that has waited.
fn then(rig: &mut Rig, request: &Request, context: Context<Bytes>) -> Seen {
    let step = rig.gate.waited(request, context, rig.shown());
    rig.carry_on(request, step)
}

/// One request fails at the origin with this answer while another waits for it. Returns what both
/// get.
fn shared(
    rig: &mut Rig,
    answer: Result<Response, Failure>,
    first: &Request,
    second: &Request,
) -> (Seen, Seen) {
    let (fetch, context) = leads(rig, first);
    let waiting = waits(rig, second);
    rig.wait(60);
    rig.origin.push_back(answer);
    let seen = rig.carry_on(first, Step::Fetch(fetch, context));
    (seen, then(rig, second, waiting))
}

#[test]
fn a_failure_is_answered_to_all_who_wait_for_it() {
    for has_store in [true, false] {
        for path in [
            "/book",
            "/limited",
            "/tagged",
            "/checked",
            "/declared?symbol=A",
        ] {
            let mut rig = match has_store {
                true => Rig::new(config()),
                false => Rig::without_store(config()),
            };
            let request = get(path);
            let (fetch, context) = leads(&mut rig, &request);
            let waiting: Vec<_> = (0..99).map(|_| waits(&mut rig, &request)).collect();
            rig.wait(60);
            rig.next(broken().with("retry-after", "3").with("etag", "\"e\""));
            let first = rig.carry_on(&request, Step::Fetch(fetch, context));
            assert_eq!((first.status, first.text()), (500, "unknown symbol"));
            assert_eq!(first.cache(), "fwd=uri-miss; detail=status");
            for context in waiting {
                let seen = then(&mut rig, &request, context);
                assert_eq!((seen.status, seen.fetches), (500, 0), "{path}");
                assert_eq!(seen.text(), "unknown symbol");
                assert_eq!(seen.header("retry-after"), "3");
                let told = seen.cache();
                assert!(told.contains("collapsed; ttl="), "{told}");
                assert!(told.ends_with("detail=shared-failure"), "{told}");
                assert!(told.starts_with("fwd="), "{told}");
            }
            assert_eq!(rig.sent.len(), 1, "{path}");
            let entries = rig.writes.iter().filter(|write| write.key.contains(":c:"));
            assert_eq!(entries.count(), 0, "it is no entry of the store");
        }
    }
}

#[test]
fn for_a_second_it_is_answered_to_those_who_come_later() {
    let mut rig = Rig::new(config());
    let request = get("/limited");
    shared(&mut rig, Ok(broken()), &request, &request);
    rig.wait(999);
    let seen = rig.send(&request);
    assert_eq!((seen.status, seen.fetches), (500, 0));
    assert_eq!(seen.cache(), "hit; ttl=0; detail=shared-failure");
    rig.wait(1);
    let seen = rig.send(&request);
    assert_eq!((seen.status, seen.fetches), (200, 1), "a second is over");
}

#[test]
fn a_failure_that_nobody_waits_for_is_not_kept() {
    for answer in [Ok(broken()), Err(Failure::Failed)] {
        let mut rig = Rig::new(config());
        rig.origin.push_back(answer);
        assert!(rig.get("/limited").status >= 500);
        let seen = rig.get("/limited");
        assert_eq!((seen.status, seen.fetches), (200, 1));
    }
}

#[test]
fn after_a_failure_that_nobody_waited_for_many_still_make_one_call() {
    for path in ["/book", "/limited"] {
        for answer in [Ok(broken()), Err(Failure::TimedOut)] {
            let mut rig = Rig::new(config());
            rig.origin.push_back(answer.clone());
            rig.get(path);
            rig.wait(100);
            shared(&mut rig, answer, &get(path), &get(path));
            assert_eq!(rig.sent.len(), 2);
        }
    }
}

#[test]
fn an_origin_that_answers_too_late_is_called_once_for_all_who_wait() {
    let mut rig = Rig::new(config());
    let request = get("/limited");
    let late = Err(Failure::TimedOut);
    let (first, second) = shared(&mut rig, late, &request, &request);
    assert_eq!((first.status, second.status), (504, 504));
    assert_eq!(second.fetches, 0);
    assert_eq!(
        second.cache(),
        "fwd=uri-miss; collapsed; ttl=1; detail=shared-failure"
    );
    assert_eq!(first.text(), second.text());
    let later = rig.send(&request);
    assert_eq!((later.status, later.fetches), (504, 0));
    rig.wait(1_000);
    assert_eq!(rig.send(&request).status, 200);
}

/// Eleven requests at once: one goes to the origin, and the others wait for it. Returns what they
/// get, those who called the origin first, while it answers so, and then with a plain 200.
fn eleven(
    rig: &mut Rig,
    request: &Request,
    answers: impl IntoIterator<Item = Result<Response, Failure>>,
) -> Vec<Seen> {
    let (fetch, context) = leads(rig, request);
    let mut waiting: Vec<_> = (0..10).map(|_| waits(rig, request)).collect();
    rig.origin.extend(answers);
    rig.wait(60);
    let mut called = vec![rig.carry_on(request, Step::Fetch(fetch, context))];
    let mut answered = Vec::new();
    while !waiting.is_empty() {
        let mut flying = Vec::new();
        rig.wait(20);
        for context in std::mem::take(&mut waiting) {
            let step = rig.gate.waited(request, context, rig.shown());
            match rig.ask_store(request, step) {
                Step::Wait(_, context) => waiting.push(context),
                Step::Fetch(fetch, context) => flying.push((fetch, context)),
                step => answered.push(rig.carry_on(request, step)),
            }
        }
        rig.wait(60);
        for (fetch, context) in flying {
            called.push(rig.carry_on(request, Step::Fetch(fetch, context)));
        }
    }
    called.extend(answered);
    called
}

/// Failures whose answer is shared with nobody, but which happen to every client.
fn unshared() -> Vec<Result<Response, Failure>> {
    let cut = response(200, "half").with("content-length", "20");
    vec![
        Err(Failure::Failed),
        Ok(response(600, "")),
        Ok(broken().with("cache-control", "no-store")),
        Ok(broken().with("cache-control", "no-cache")),
        Ok(broken().with("cache-control", "max-age=0")),
        Ok(broken().with("content-length", "70000")),
        Ok(broken().with("content-type", "text/event-stream")),
        Ok(broken().with("content-encoding", "zstd")),
        Ok(broken().with("content-length", "20")),
        Ok(cut.clone()),
        Ok(cut.with("vary", "accept-encoding")),
    ]
}

/// Failures that may be those of one client.
fn of_one_client() -> Vec<Result<Response, Failure>> {
    let vary = |name: &str| response(200, "half").with("vary", name);
    vec![
        Ok(broken().with("set-cookie", "s=1")),
        Ok(broken().with("cache-control", "private")),
        Ok(broken().with("cache-control", "no-store, private")),
        Ok(broken()
            .with("cache-control", "no-store")
            .with("vary", "cookie")),
        Ok(broken().with("vary", "*")),
        Ok(response(429, "slower")),
        Ok(response(511, "sign in")),
        Ok(vary("x-tenant").with("content-length", "20")),
    ]
}

#[test]
fn if_the_leader_fails_one_more_calls_the_origin_for_all_who_wait() {
    for has_store in [true, false] {
        for path in ["/book", "/limited", "/checked"] {
            for failure in unshared().into_iter().chain(of_one_client()) {
                let mut rig = match has_store {
                    true => Rig::new(config()),
                    false => Rig::without_store(config()),
                };
                let seen = eleven(&mut rig, &get(path), [failure.clone()]);
                assert_eq!(rig.sent.len(), 2, "{path}: {failure:?}");
                assert_eq!(seen.len(), 11);
                for seen in &seen[1..] {
                    assert_eq!(seen.text(), "plain", "{path}: {failure:?}");
                }
                assert_eq!(rig.get(path).fetches, 0, "it is stored");
            }
        }
    }
}

#[test]
fn if_that_fails_too_the_failure_is_shared_for_a_second() {
    for has_store in [true, false] {
        for failure in unshared() {
            let mut rig = match has_store {
                true => Rig::new(config()),
                false => Rig::without_store(config()),
            };
            let request = get("/limited");
            let seen = eleven(&mut rig, &request, [failure.clone(), failure.clone()]);
            assert_eq!((rig.sent.len(), seen.len()), (2, 11), "{failure:?}");
            for seen in &seen[2..] {
                assert_eq!((seen.status, seen.fetches), (502, 0), "{failure:?}");
                let told = seen.cache();
                assert!(told.ends_with("detail=shared-failure"), "{told}");
                assert!(told.contains("collapsed; "), "{told}");
                assert!(!seen.text().contains("unknown symbol"), "its answer is not");
            }
            let later = rig.send(&request);
            assert_eq!((later.status, later.fetches), (502, 0), "{failure:?}");
            rig.wait(1_000);
            let seen = rig.send(&request);
            assert_eq!((seen.text(), seen.fetches), ("plain", 1), "{failure:?}");
        }
    }
}

#[test]
fn what_failed_twice_for_one_client_is_told_to_no_other() {
    for failure in of_one_client() {
        let mut rig = Rig::new(config());
        let failures = [failure.clone(), failure.clone()];
        let seen = eleven(&mut rig, &get("/book"), failures);
        assert_eq!(rig.sent.len(), 11, "{failure:?}");
        for seen in &seen[2..] {
            assert_eq!((seen.status, seen.text()), (200, "plain"), "{failure:?}");
        }
    }
    // The request itself may be the cause.
    let mut rig = Rig::new(config());
    let cookie = get("/book").with("cookie", &"c".repeat(3_000));
    let seen = eleven(&mut rig, &cookie, [Err(Failure::Failed), Ok(broken())]);
    assert_eq!((rig.sent.len(), seen.len()), (11, 11));
}

#[test]
fn each_of_two_calls_is_charged_to_the_origin_quota() {
    let mut rig = Rig::new(config());
    let request = get("/metered");
    let failed = || Err(Failure::Failed);
    let seen = eleven(&mut rig, &request, [failed(), failed()]);
    assert_eq!((rig.sent.len(), seen.len()), (2, 11));
    let used = rig.model.text("ot:l:@origin:provider").unwrap();
    assert_eq!(used.split(' ').nth(6), Some("2"), "{used}");
}

#[test]
fn a_stored_response_needs_no_second_call() {
    for failure in unshared() {
        let mut rig = Rig::new(config());
        rig.next(response(200, "old"));
        rig.get("/stale");
        rig.wait(2_000);
        let failures = [failure.clone(), failure.clone()];
        let seen = eleven(&mut rig, &get("/stale"), failures);
        let old = seen.iter().filter(|seen| seen.text() == "old").count();
        match &failure {
            // Of what breaks off, its own client gets the part that came.
            Ok(answer) if answer.status == 200 => assert_eq!((old, rig.sent.len()), (9, 3)),
            _ => assert_eq!((old, rig.sent.len()), (11, 2), "{failure:?}"),
        }
    }
}

#[test]
fn what_is_for_one_client_is_shared_with_no_other() {
    let vary = |name: &str| broken().with("vary", name);
    let tongue = |tongue: &str| get("/book").with("accept-language", tongue);
    let plain = get("/book");
    let cookie = plain.clone().with("cookie", &"c".repeat(3_000));
    for (answer, first, second) in [
        (broken().with("set-cookie", "s=1"), &plain, &plain),
        (broken().with("cache-control", "private"), &plain, &plain),
        (broken().with("cache-control", "no-store"), &plain, &plain),
        (broken().with("cache-control", "no-cache"), &plain, &plain),
        (broken().with("cache-control", "max-age=0"), &plain, &plain),
        (vary("*"), &plain, &plain),
        (vary("x-forwarded-for"), &plain, &plain),
        (vary("accept-language"), &tongue("de"), &tongue("fr")),
        (broken().with_octets("x-note", b"\xff"), &plain, &plain),
        (broken().with("content-encoding", "zstd"), &plain, &plain),
        (
            broken()
                .with("content-encoding", "gzip")
                .with("cache-control", "no-transform"),
            &plain,
            &plain,
        ),
        (
            broken().with("content-type", "text/event-stream"),
            &plain,
            &plain,
        ),
        (broken().with("content-length", "70000"), &plain, &plain),
        (response(511, "sign in"), &plain, &plain),
        (response(429, "slower"), &plain, &plain),
        (broken(), &cookie, &plain),
    ] {
        let mut rig = Rig::new(config());
        let (_, seen) = shared(&mut rig, Ok(answer.clone()), first, second);
        assert_eq!((seen.status, seen.fetches), (200, 1), "{answer:?}");
    }
    // The same answer is shared with a request that it was selected for.
    let mut rig = Rig::new(config());
    let answer = Ok(vary("accept-language"));
    let (_, seen) = shared(&mut rig, answer, &tongue("de"), &tongue("de"));
    assert_eq!((seen.status, seen.fetches), (500, 0));
}

#[test]
fn a_request_with_credentials_neither_leads_nor_shares() {
    let mut rig = Rig::new(config());
    let request = get("/book");
    shared(&mut rig, Ok(broken()), &request, &request);
    let mine = get("/book").with("authorization", "Bearer t");
    let seen = rig.send(&mine);
    assert_eq!((seen.status, seen.fetches), (200, 1));

    let mut rig = Rig::new(config());
    let (fetch, context) = leads(&mut rig, &mine);
    let other = leads(&mut rig, &request);
    rig.next(broken().with("cache-control", "public"));
    rig.carry_on(&mine, Step::Fetch(fetch, context));
    let seen = rig.carry_on(&request, Step::Fetch(other.0, other.1));
    assert_eq!(seen.status, 200);
}

#[test]
fn who_cannot_share_it_does_not_wait_for_another() {
    let mut rig = Rig::new(config());
    let request = get("/book");
    let private = || Ok(broken().with("cache-control", "private"));
    let (fetch, context) = leads(&mut rig, &request);
    let waiting = waits(&mut rig, &request);
    rig.origin.extend([private(), private()]);
    rig.carry_on(&request, Step::Fetch(fetch, context));
    assert_eq!(then(&mut rig, &request, waiting).fetches, 1);
    leads(&mut rig, &request);
    leads(&mut rig, &request);
    rig.wait(1_000);
    leads(&mut rig, &request);
    waits(&mut rig, &request);
}

#[test]
fn a_stored_response_comes_before_a_failure_for_all_who_wait() {
    for answer in [Ok(broken()), Err(Failure::Failed), Ok(response(503, ""))] {
        let mut rig = Rig::new(config());
        rig.next(response(200, "old"));
        rig.get("/stale");
        rig.wait(2_000);
        let request = get("/stale");
        let (first, second) = shared(&mut rig, answer, &request, &request);
        assert_eq!((first.text(), second.text()), ("old", "old"));
        assert_eq!((second.fetches, rig.sent.len()), (0, 2));
        let told = second.cache();
        assert!(told.contains("collapsed"), "{told}");
        assert!(told.ends_with("detail=stale-if-error"), "{told}");
        assert!(!second.header("x-data-age").is_empty());
        let later = rig.send(&request);
        assert_eq!((later.text(), later.fetches), ("old", 0));
        assert!(later.cache().starts_with("hit"), "{}", later.cache());
        rig.wait(1_000);
        assert_eq!(rig.send(&request).fetches, 1, "the origin is asked again");
    }
}

#[test]
fn a_request_that_wants_the_origin_is_not_answered_by_a_failure() {
    for directive in ["no-cache", "max-age=0"] {
        let mut rig = Rig::new(config());
        let request = get("/book");
        shared(&mut rig, Ok(broken()), &request, &request);
        let seen = rig.send(&get("/book").with("cache-control", directive));
        assert_eq!((seen.status, seen.fetches), (200, 1), "{directive}");
    }
    let mut rig = Rig::new(config());
    let request = get("/book");
    shared(&mut rig, Err(Failure::TimedOut), &request, &request);
    let seen = rig.send(&get("/book").with("cache-control", "no-cache"));
    assert_eq!((seen.status, seen.fetches), (200, 1));
}

#[test]
fn a_client_that_accepts_only_stored_responses_gets_no_failure() {
    let mut rig = Rig::new(config());
    let request = get("/book");
    shared(&mut rig, Ok(broken()), &request, &request);
    let seen = rig.send(&get("/book").with("cache-control", "only-if-cached"));
    assert_eq!((seen.status, seen.fetches), (504, 0));
    assert_eq!(seen.cache(), "detail=only-if-cached");
}

#[test]
fn a_head_a_range_and_a_condition_get_the_failure_as_it_is() {
    let mut rig = Rig::new(config());
    let request = get("/book");
    let answer = broken().with("etag", "\"e\"").with("content-length", "14");
    shared(&mut rig, Ok(answer), &request, &request);
    let head = rig.send(&get("/book").by("HEAD"));
    assert_eq!((head.status, head.fetches, head.text()), (500, 0, ""));
    assert_eq!(head.header("content-length"), "14");
    for (name, value) in [("range", "bytes=0-1"), ("if-none-match", "\"e\"")] {
        let seen = rig.send(&get("/book").with(name, value));
        assert_eq!((seen.status, seen.fetches), (500, 0), "{name}");
        assert_eq!(seen.text(), "unknown symbol");
    }
}

#[test]
fn a_failed_refresh_hides_no_stored_response() {
    let mut rig = Rig::new(json!({
        "origin": "https://api.example",
        "routes": [{ "path": "/swr", "cache": {
            "ttl": "1s", "stale_while_revalidate": "10s", "negative_ttl": "5s",
            "negative_statuses": [500],
        } }],
    }));
    rig.next(response(200, "old"));
    rig.get("/swr");
    rig.wait(1_500);
    rig.next(broken());
    assert!(rig.get("/swr").refreshed);
    for _ in 0..5 {
        rig.origin = [Ok(broken())].into();
        assert_eq!(rig.get("/swr").text(), "old");
        rig.wait(100);
    }
}

#[test]
fn a_purge_ends_the_sharing() {
    for path in ["/tagged", "/book"] {
        let mut rig = Rig::new(config());
        let request = get(path);
        shared(&mut rig, Ok(broken()), &request, &request);
        rig.body = Ok(Bytes::from(format!(
            "{{\"urls\":[\"https://edge.example{path}\"]}}"
        )));
        let purge = get("/__edge/purge").by("POST");
        let bearer = format!("Bearer {TOKEN}");
        assert_eq!(rig.send(&purge.with("authorization", &bearer)).status, 200);
        let seen = rig.send(&request);
        assert_eq!((seen.status, seen.fetches), (200, 1), "{path}");
    }
}

#[test]
fn a_purge_elsewhere_ends_the_sharing_as_soon_as_it_is_known() {
    let mut rig = Rig::new(config());
    let request = get("/checked");
    let (fetch, context) = leads(&mut rig, &request);
    let waiting = waits(&mut rig, &request);
    rig.next(broken());
    rig.carry_on(&request, Step::Fetch(fetch, context));
    rig.wait(1);
    let now = rig.now;
    rig.model.set("ot:t:book", "0123456789abcdef", 60_000, now);
    let seen = then(&mut rig, &request, waiting);
    assert_eq!((seen.status, seen.fetches), (200, 1));
}

#[test]
fn an_answer_asked_for_before_a_purge_is_shared_with_nobody_after_it() {
    let mut rig = Rig::new(config());
    let request = get("/tagged");
    let (fetch, context) = leads(&mut rig, &request);
    let before = waits(&mut rig, &request);
    rig.wait(10);
    rig.body = Ok(Bytes::from_static(b"{\"tags\":[\"book\"]}"));
    let bearer = format!("Bearer {TOKEN}");
    let purge = get("/__edge/purge").by("POST");
    rig.send(&purge.with("authorization", &bearer));
    rig.next(broken());
    rig.carry_on(&request, Step::Fetch(fetch, context));
    let seen = then(&mut rig, &request, before);
    assert_eq!((seen.status, seen.fetches), (200, 1));
}

#[test]
fn a_failure_whose_body_is_not_there_in_time_holds_nobody() {
    for why in [BodyError::Broken, BodyError::TooLong, BodyError::TooSlow] {
        let mut rig = Rig::new(config());
        let request = get("/book");
        let (_, context) = leads(&mut rig, &request);
        let waiting = waits(&mut rig, &request);
        let (answer, now) = (broken(), rig.shown());
        let handoff = rig
            .gate
            .origin_answered(&request, context, Ok(&answer), now);
        let Handoff::Relay(relay) = handoff else {
            panic!("it is handed on");
        };
        assert!(
            !relay.tells(),
            "the client's head does not wait for the body"
        );
        let fill = relay.fill.unwrap();
        assert!(fill.time().as_millis() <= 1_000 && fill.largest_body() <= 64 << 10);
        let again = follower(rig.gate.waited(&request, waiting, now));
        assert!(rig.gate.fill_failed(&fill, why, now).write.is_none());
        let seen = then(&mut rig, &request, again);
        assert_eq!((seen.status, seen.fetches), (200, 1), "{why:?}");
    }
    let mut rig = Rig::new(config());
    let request = get("/book");
    let half = Ok(broken().with("content-length", "20"));
    let (_, seen) = shared(&mut rig, half, &request, &request);
    assert_eq!((seen.status, seen.fetches), (200, 1), "not the whole of it");
}

#[test]
fn each_who_shares_a_failure_has_its_own_account() {
    let left = |seen: &Seen| seen.header("ratelimit");
    for answer in [Ok(broken()), Err(Failure::TimedOut)] {
        let mut rig = Rig::new(config());
        let (one, two) = (get("/refunded"), get("/refunded").from("198.51.100.9"));
        let (first, second) = shared(&mut rig, answer, &one, &two);
        assert!(left(&first).contains("r=1000"), "{}", left(&first));
        assert!(left(&second).contains("r=1000"), "{}", left(&second));
        assert_eq!(second.header("x-edge-limiter"), "redis");
        for client in ["192.0.2.7", "198.51.100.9"] {
            let next = rig.send(&get("/limited").from(client));
            assert!(left(&next).contains("r=999"), "both were refunded");
        }
    }
    let mut rig = Rig::new(config());
    let (one, two) = (get("/limited"), get("/limited").from("198.51.100.9"));
    shared(&mut rig, Ok(broken()), &one, &two);
    assert!(left(&rig.send(&two)).contains("r=998"), "not refunded here");
}

#[test]
fn the_origin_quota_is_charged_for_the_call_and_not_for_those_who_share() {
    let mut rig = Rig::new(config());
    let request = get("/metered");
    let (fetch, context) = leads(&mut rig, &request);
    let waiting: Vec<_> = (0..20).map(|_| waits(&mut rig, &request)).collect();
    rig.next(broken());
    rig.carry_on(&request, Step::Fetch(fetch, context));
    for context in waiting {
        let seen = then(&mut rig, &request, context);
        assert_eq!((seen.status, seen.fetches), (500, 0));
    }
    for _ in 0..20 {
        assert_eq!(rig.send(&request).status, 500);
    }
    let used = rig.model.text("ot:l:@origin:provider").unwrap();
    assert_eq!(used.split(' ').nth(6), Some("1"), "{used}");
}

#[test]
fn a_shared_failure_keeps_nobody_from_what_another_isolate_has_stored() {
    let mut rig = Rig::new(config());
    let request = get("/book");
    shared(&mut rig, Ok(broken()), &request, &request);
    let mut other = rig.beside();
    rig.swap_stores(&mut other);
    other.next(response(200, "good"));
    assert_eq!(other.send(&request).text(), "good");
    other.swap_stores(&mut rig);
    assert_eq!(rig.send(&request).text(), "good");
}

#[test]
fn other_isolates_wait_for_nobody_after_a_failure_but_share_their_own() {
    let mut rig = Rig::new(config());
    rig.next(broken());
    rig.get("/limited");
    rig.another_isolate();
    let request = get("/limited");
    let (_, second) = shared(&mut rig, Ok(broken()), &request, &request);
    assert_eq!((second.status, second.fetches, rig.sent.len()), (500, 0, 2));
}

#[test]
fn of_requests_that_differ_in_what_does_not_count_equal_ones_share() {
    let mut rig = Rig::new(config());
    rig.next(response(200, "x").with("no-vary-search", "params=(\"utm\")"));
    rig.get("/book?utm=0");
    rig.wait(11_000);
    let (one, two) = (get("/book?utm=1"), get("/book?utm=2"));
    let (_, seen) = shared(&mut rig, Ok(broken()), &one, &two);
    assert_eq!((seen.status, seen.fetches), (200, 1), "it does not say so");
    rig.wait(11_000);
    let (_, seen) = shared(&mut rig, Ok(broken()), &one, &one);
    assert_eq!((seen.status, seen.fetches), (500, 0));
}

#[test]
fn a_negative_500_is_stored_like_a_404() {
    let mut rig = Rig::new(config());
    rig.next(broken());
    let first = rig.get("/negative");
    assert_eq!(first.cache(), "fwd=uri-miss; stored; ttl=5");
    rig.wait(4_999);
    let seen = rig.get("/negative");
    assert_eq!((seen.status, seen.fetches), (500, 0));
    assert_eq!(seen.cache(), "hit; ttl=0; detail=l1");
    rig.another_isolate();
    let seen = rig.get("/negative");
    assert_eq!(seen.cache(), "hit; ttl=0; detail=redis");
    rig.wait(1);
    assert_eq!(rig.get("/negative").status, 200, "it is never served stale");
    // Other statuses have no such lifetime.
    let mut rig = Rig::new(config());
    rig.next(response(503, ""));
    rig.get("/negative");
    rig.next(response(410, ""));
    assert_eq!(rig.get("/negative").status, 410);
    assert_eq!(rig.get("/negative").status, 200);
}

#[test]
fn those_who_wait_for_a_negative_500_find_it_stored() {
    let mut rig = Rig::new(config());
    let request = get("/negative");
    let (_, seen) = shared(&mut rig, Ok(broken()), &request, &request);
    assert_eq!((seen.status, seen.fetches), (500, 0));
    assert!(seen.cache().ends_with("detail=l1"), "{}", seen.cache());
}

#[test]
fn a_negative_500_never_takes_the_place_of_a_usable_response() {
    let mut rig = Rig::new(config());
    rig.next(response(200, "old"));
    rig.get("/negative");
    for _ in 0..4 {
        rig.wait(2_000);
        rig.next(broken());
        let seen = rig.get("/negative");
        assert_eq!((seen.text(), seen.fetches), ("old", 1));
    }
    rig.wait(3_000);
    rig.next(broken());
    assert_eq!(rig.get("/negative").status, 500, "its ceiling is past");
    assert_eq!(rig.get("/negative").fetches, 0, "now it is stored");
    // The next one that succeeds takes its place.
    rig.wait(5_000);
    rig.next(response(200, "new"));
    assert_eq!(rig.get("/negative").text(), "new");
    assert_eq!(rig.get("/negative").text(), "new");
}

#[test]
fn a_500_that_another_isolate_has_stored_hides_no_usable_response() {
    let mut rig = Rig::new(config());
    rig.next(response(200, "old"));
    rig.get("/negative");
    // The store has evicted it.
    let evicted: Vec<_> = rig
        .model
        .keys()
        .filter(|key| key.contains(":c:"))
        .map(str::to_owned)
        .collect();
    evicted.iter().for_each(|key| rig.model.delete(key));
    rig.wait(2_000);
    let mut other = rig.beside();
    rig.swap_stores(&mut other);
    other.next(broken());
    assert_eq!(other.get("/negative").status, 500);
    other.swap_stores(&mut rig);
    rig.next(broken());
    let seen = rig.get("/negative");
    assert_eq!((seen.text(), seen.fetches), ("old", 1), "{}", seen.cache());
}

#[test]
fn a_late_500_replaces_no_response_that_came_meanwhile() {
    let mut rig = Rig::new(config());
    let request = get("/negative");
    let (fetch, context) = leads(&mut rig, &request);
    let waiting = waits(&mut rig, &request);
    // Another request loses patience and succeeds.
    rig.wait(3_000);
    rig.next(response(200, "good"));
    assert_eq!(then(&mut rig, &request, waiting).text(), "good");
    rig.wait(10);
    rig.next(broken());
    rig.carry_on(&request, Step::Fetch(fetch, context));
    let seen = rig.send(&request);
    assert_eq!((seen.text(), seen.fetches), ("good", 0));
}

#[test]
fn a_burst_is_charged_to_the_origin_quota_once_if_it_succeeds_too() {
    let mut rig = Rig::new(config());
    let request = get("/metered");
    let (fetch, context) = leads(&mut rig, &request);
    let waiting: Vec<_> = (0..20).map(|_| waits(&mut rig, &request)).collect();
    rig.carry_on(&request, Step::Fetch(fetch, context));
    for context in waiting {
        assert_eq!(then(&mut rig, &request, context).status, 200);
    }
    let used = rig.model.text("ot:l:@origin:provider").unwrap();
    assert_eq!(used.split(' ').nth(6), Some("1"), "{used}");
}

#[test]
fn who_waits_for_the_last_call_that_the_quota_allows_gets_its_answer() {
    let mut one = config();
    one["origin_quotas"]["provider"]["limit"] = json!(1);
    for answer in [response(200, "one"), broken()] {
        let mut rig = Rig::new(one.clone());
        let request = get("/metered");
        let (_, second) = shared(&mut rig, Ok(answer.clone()), &request, &request);
        assert_eq!((second.status, second.fetches), (answer.status, 0));
    }
}

#[test]
fn a_stored_failure_gives_way_to_a_later_one() {
    let mut rig = Rig::new(json!({
        "origin": "https://api.example",
        "routes": [{ "path": "/own", "cache": { "server_errors": true, "stale_if_error": "1h" } }],
    }));
    rig.next(response(500, "first").with("cache-control", "max-age=1"));
    rig.get("/own");
    assert_eq!(rig.get("/own").text(), "first");
    rig.wait(2_000);
    rig.next(response(500, "second").with("cache-control", "max-age=1"));
    assert_eq!(rig.get("/own").text(), "second");
    assert_eq!(rig.get("/own").text(), "second");
}

proptest! {
    /// What a client gets that is another's answer was made for nobody in particular: nothing in it
    /// says that it is for one client, and the two sent the same in all that it varies by.
    #[test]
    fn what_others_get_is_for_everybody(
        status in 500_u16..600,
        control in prop::sample::select(vec![
            "", "public", "private", "no-store", "no-cache", "max-age=0", "max-age=9", "x; private",
            "private=\"etag\"",
        ]),
        vary in prop::sample::select(vec![
            "", "*", "accept-language", "X-Forwarded-For", "cookie", "accept-language, cookie", "a b",
        ]),
        cookie in prop::bool::weighted(0.2),
        octets in prop::bool::weighted(0.1),
        tongues in prop::collection::vec(prop::sample::select(vec!["de", "fr"]), 6),
        jars in prop::collection::vec(prop::sample::select(vec!["", "a=1", "b=2"]), 6),
        known in prop::collection::vec(prop::bool::weighted(0.2), 6),
    ) {
        let mut rig = Rig::without_store(config());
        let request = |n: usize| {
            let mut request = get("/book").with("accept-language", tongues[n]);
            if !jars[n].is_empty() {
                request = request.with("cookie", jars[n]);
            }
            if known[n] {
                request = request.with("authorization", &format!("Bearer {n}"));
            }
            request
        };
        let answer = |n: usize| {
            let mut answer = response(status, &n.to_string());
            if !control.is_empty() {
                answer = answer.with("cache-control", control);
            }
            if !vary.is_empty() {
                answer = answer.with("vary", vary);
            }
            if cookie {
                answer = answer.with("set-cookie", "s=1");
            }
            if octets {
                answer = answer.with_octets("x-note", b"\xff");
            }
            answer
        };
        let requests: Vec<_> = (0..6).map(request).collect();
        let steps: Vec<_> = requests.iter().map(|request| rig.begin(request)).collect();
        for (n, (request, mut step)) in requests.iter().zip(steps).enumerate() {
            if let Step::Wait(_, context) = step {
                step = rig.gate.waited(request, context, rig.shown());
            }
            rig.origin = [Ok(answer(n))].into();
            let seen = rig.carry_on(request, step);
            let Ok(from) = seen.text().parse::<usize>() else {
                // The gate's own answer, which tells only that the origin has failed.
                prop_assert!(status != 511 && seen.text().contains("\"code\":\"origin_"));
                continue;
            };
            if from == n {
                continue;
            }
            prop_assert!(!cookie && !octets && status != 511);
            prop_assert!(!["private", "no-store", "x; private"].contains(&control), "{}", control);
            prop_assert!(!known[n] && !known[from]);
            prop_assert!(!["*", "X-Forwarded-For", "a b"].contains(&vary), "{}", vary);
            prop_assert!(!vary.contains("language") || tongues[n] == tongues[from]);
            prop_assert!(!vary.contains("cookie") || jars[n] == jars[from]);
        }
    }
}

#[test]
fn a_negative_500_beside_a_usable_variant_is_shared_and_not_stored() {
    let mut rig = Rig::new(config());
    let spoken = |tongue: &str| get("/negative").with("accept-language", tongue);
    rig.next(response(200, "de").with("vary", "accept-language"));
    rig.send(&spoken("de"));
    let (_, second) = shared(&mut rig, Ok(broken()), &spoken("fr"), &spoken("fr"));
    assert_eq!((second.status, second.fetches), (500, 0));
    assert!(second.cache().ends_with("detail=shared-failure"));
    let seen = rig.send(&spoken("de"));
    assert_eq!((seen.text(), seen.fetches), ("de", 0));
    rig.wait(1_000);
    assert_eq!(rig.send(&spoken("fr")).fetches, 1, "it was not stored");
}
