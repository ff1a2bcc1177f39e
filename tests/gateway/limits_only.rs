//! Requests that something else answers, of which only the limits are asked.

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::gateway::{Respond, Step};
use omnitrade_edge::limiter::{Refusal, Source};
use serde_json::{Value, json};

use crate::messages::Request;
use crate::rig::{Rig, Store, get};

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "cors": { "origins": ["https://app.example"] },
        "default_limits": ["ip"],
        "limits": {
            "ip": { "by": "ip", "window": "60s", "quota": 3 },
            "all": { "by": "global", "window": "60s", "quota": 100, "mode": "shadow" },
            "ahead": { "by": "ip", "window": "60s", "quota": 100, "strategy": "lease" },
            "shut": { "by": "ip", "window": "60s", "quota": 9, "on_failure": "closed" },
        },
        "routes": [
            { "path": "/cached", "limits": ["ip", "all"], "cache": { "ttl": "1m", "query": [],
              "unknown_query": "refuse" }, "origin_quota": { "limit": 1, "window": "60s" } },
            { "path": "/ahead", "limits": ["ahead"] },
            { "path": "/shut", "limits": ["shut"] },
        ],
    })
}

fn decided(rig: &mut Rig, request: &Request) -> Respond<bytes::Bytes> {
    match rig.begin(request) {
        Step::Respond(respond) => respond,
        other => panic!("expected an answer: {other:?}"),
    }
}

/// Per limit: its name, whether it admits the request, and what is left.
fn told(respond: &Respond<bytes::Bytes>) -> Vec<(String, bool, u64)> {
    let limits = respond.admission.as_ref().expect("limits were asked");
    let each = limits.limits().map(|(name, seen)| {
        let verdict = seen.unwrap().verdict.unwrap();
        (name.to_owned(), verdict.met, verdict.remaining)
    });
    each.collect()
}

#[test]
fn an_admitted_request_goes_neither_to_the_cache_nor_to_the_origin() {
    let mut rig = Rig::new(config());
    for left in [2, 1, 0] {
        let respond = decided(&mut rig, &get("/cached?what=ever").limits_only());
        let ip = ("ip".to_owned(), true, left);
        let all = ("all".to_owned(), true, left + 97);
        assert_eq!(told(&respond), [ip, all]);
        assert_eq!(respond.answer.status, 204);
        let field = |name| respond.answer.header(name).map(str::to_owned);
        assert_eq!(field("x-edge-limiter").as_deref(), Some("redis"));
        assert!(
            field("ratelimit")
                .unwrap()
                .starts_with(&format!(r#""ip";r={left};"#))
        );
        assert_eq!(field("cache-status"), None);
        let admission = respond.admission.unwrap();
        assert_eq!(admission.source(), Source::Redis);
        assert_eq!(admission.refusal(), None);
        rig.work(respond.after.calls);
    }
    assert_eq!(
        (rig.sent.len(), rig.writes.len(), rig.asks.len()),
        (0, 0, 3)
    );
}

#[test]
fn a_refusal_is_the_one_that_the_gate_would_give() {
    let mut rig = Rig::new(config());
    for _ in 0..3 {
        decided(&mut rig, &get("/cached").limits_only());
    }
    let respond = decided(&mut rig, &get("/other").limits_only());
    let same = rig.get("/other");
    assert_eq!((respond.answer.status, same.status), (429, 429));
    assert_eq!(
        respond.answer.header("retry-after"),
        Some(same.header("retry-after").as_str())
    );
    assert_eq!(told(&respond), [("ip".to_owned(), false, 0)]);
    let admission = respond.admission.unwrap();
    assert!(
        matches!(admission.refusal(), Some(Refusal::Quota { violated, .. }) if *violated == [0])
    );
    // The gate counted the three, too: both draw on one quota.
    assert_eq!(same.limiter(), "blocked");
}

#[test]
fn permits_are_fetched_ahead_for_it_as_for_any_request() {
    let mut rig = Rig::new(config());
    for n in 0..20 {
        let respond = decided(&mut rig, &get("/ahead").limits_only());
        assert_eq!(respond.answer.status, 204, "{n}");
        rig.work(respond.after.calls);
        rig.wait(100);
    }
    let alone = rig.asks.len() + rig.background.len();
    assert!(alone < 15, "{alone} calls for 20 requests");
}

#[test]
fn without_the_store_local_limits_decide_and_closed_ones_refuse() {
    let mut rig = Rig::new(config());
    rig.store = Store::Down(ErrorKind::Timeout);
    let respond = decided(&mut rig, &get("/other").limits_only());
    assert_eq!(respond.answer.status, 204);
    assert_eq!(respond.admission.unwrap().source(), Source::Local);
    let respond = decided(&mut rig, &get("/shut").limits_only());
    assert_eq!(respond.answer.status, 503);
    let refused = respond.admission.unwrap();
    assert!(matches!(refused.refusal(), Some(Refusal::StoreDown { .. })));
}

#[test]
fn a_page_of_the_gate_and_a_preflight_are_left_to_the_program() {
    let mut rig = Rig::new(config());
    let health = decided(&mut rig, &get("/__edge/health").limits_only());
    assert_eq!((health.answer.status, told(&health).len()), (204, 1));
    let preflight = get("/other").by("OPTIONS").limits_only();
    let preflight = preflight.with("origin", "https://app.example");
    let preflight = preflight.with("access-control-request-method", "PUT");
    let respond = decided(&mut rig, &preflight);
    assert_eq!((respond.answer.status, told(&respond).len()), (204, 0));
    assert_eq!(respond.answer.header("access-control-allow-methods"), None);
}

#[test]
fn a_url_that_leads_nowhere_is_refused_without_limits() {
    let mut rig = Rig::new(config());
    let respond = decided(&mut rig, &get("/%zz").limits_only());
    assert!(respond.answer.status == 400 && respond.admission.is_none());
}
