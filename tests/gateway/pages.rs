//! The gate's own pages, and URLs that lead nowhere.

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::gateway::Step;
use serde_json::{Value, json};

use crate::rig::{Rig, Seen, Store, TOKEN, get};

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "default_limits": ["ip"],
        "limits": { "ip": { "by": "ip", "window": "60s", "quota": 2 } },
    })
}

fn json(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}

#[test]
fn health_says_how_the_store_is() {
    let mut rig = Rig::new(config());
    let health = |rig: &mut Rig| {
        let seen = rig.get("/__edge/health");
        assert_eq!((seen.status, seen.asks, seen.fetches), (200, 0, 0));
        assert_eq!(seen.header("content-type"), "application/json");
        assert_eq!(seen.header("cache-control"), "no-store");
        let body = json(&seen);
        let word = |name: &str| body[name].as_str().unwrap().to_owned();
        (word("status"), word("store"))
    };
    let says = |status: &str, store: &str| (status.to_owned(), store.to_owned());
    assert_eq!(health(&mut rig), says("ok", "closed"));
    rig.store = Store::Down(ErrorKind::Unauthorised);
    rig.get("/any");
    assert_eq!(health(&mut rig), says("degraded", "open"));
    rig.wait(10_000);
    assert_eq!(
        health(&mut rig),
        says("degraded", "open"),
        "to look is no probe"
    );
    let request = get("/any").from("198.51.100.1");
    let step = rig.gate.decide(&request, rig.shown());
    assert_eq!(health(&mut rig), says("degraded", "half-open"));
    rig.store = Store::Up;
    rig.carry_on(&request, step);
    assert_eq!(health(&mut rig), says("ok", "closed"));
    let mut local = Rig::without_store(config());
    assert_eq!(health(&mut local), says("ok", "none"));
}

#[test]
fn health_is_not_limited_and_has_its_methods() {
    let mut rig = Rig::new(config());
    for _ in 0..20 {
        assert_eq!(rig.get("/__edge/health").status, 200);
    }
    let head = rig.send(&get("/__edge/health").by("HEAD"));
    assert_eq!((head.status, head.body.len()), (200, 0));
    let post = rig.send(&get("/__edge/health").by("POST"));
    assert_eq!(post.status, 405);
    assert_eq!(post.header("allow"), "GET, HEAD");
}

#[test]
fn only_the_token_lets_somebody_look_at_the_store() {
    let mut rig = Rig::new(config());
    let look = |rig: &mut Rig, method: &str, token: &str| {
        let request = get("/__edge/doctor").by(method);
        let request = request.with("authorization", &format!("Bearer {token}"));
        match rig.gate.decide(&request, rig.shown()) {
            Step::Examine => 200,
            Step::Respond(respond) => respond.answer.status,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(look(&mut rig, "GET", TOKEN), 200);
    for wrong in ["", "x", &TOKEN[1..], &TOKEN.to_uppercase()] {
        assert_eq!(look(&mut rig, "GET", wrong), 401, "{wrong}");
    }
    for method in ["POST", "HEAD", "OPTIONS"] {
        assert_eq!(look(&mut rig, method, TOKEN), 405, "{method}");
    }
    rig.gate = rig.gate.with_admin_token(None);
    for method in ["GET", "POST"] {
        assert_eq!(look(&mut rig, method, TOKEN), 404, "there is no such page");
    }
}

#[test]
fn no_page_under_edge_reaches_the_origin() {
    let mut rig = Rig::new(config());
    for path in ["/__edge", "/__edge/nope", "/__edge/health/x"] {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            let seen = rig.send(&get(path).by(method));
            assert_eq!((seen.status, seen.fetches), (404, 0), "{method} {path}");
            assert_eq!(json(&seen)["code"], "not_found");
        }
    }
    assert_eq!(rig.get("/__edgeways").fetches, 1, "another's page");
}

/// Rules in front of the gate that guard `/__edge/` would not recognise such a path.
#[test]
fn a_path_with_parameters_leads_to_no_page_and_not_to_the_origin() {
    let mut rig = Rig::new(config());
    for path in [
        "/__edge;x/health",
        "/__edge/health;x=1",
        "/__edge/health%3b",
        "/;/__edge/health",
        "/%5F_EDGE%3Bx/purge",
        "/__edge;",
        "/__edge/;x/purge/",
    ] {
        for method in ["GET", "HEAD", "POST"] {
            let request = get(path).by(method);
            let seen = rig.send(&request.with("authorization", &format!("Bearer {TOKEN}")));
            assert_eq!((seen.status, seen.fetches), (404, 0), "{method} {path}");
        }
    }
    let seen = rig.get("/x/;__edge/health");
    assert_eq!(
        (seen.status, seen.fetches),
        (200, 1),
        "a parameter of `/x/`"
    );
}

#[test]
fn what_is_no_url_of_ours_is_a_clean_refusal() {
    let mut rig = Rig::new(config());
    for path in ["/%", "/a%2", "/%zz/x", "/a/%e", "/a/..;/b", "/a/%2e%3Bx/b"] {
        let seen = rig.get(path);
        assert_eq!(
            (seen.status, seen.asks, seen.fetches),
            (400, 0, 0),
            "{path}"
        );
        assert_eq!(json(&seen)["code"], "malformed_url");
    }
    let seen = rig.get(&format!("/{}", "a".repeat(17_000)));
    assert_eq!((seen.status, seen.fetches), (414, 0));
    assert_eq!(json(&seen)["code"], "url_too_long");
    for url in [
        "/no-host",
        "",
        "x",
        "\0://a",
        "ftp://a/b",
        "https://a\r\nb/",
        "https:///",
    ] {
        let mut request = get("/");
        url.clone_into(&mut request.url);
        assert_eq!(rig.send(&request).status, 400, "{url:?}");
    }
    let long = rig.get(&format!("/{}", "a".repeat(16_000)));
    assert_eq!((long.status, long.fetches), (200, 1));
}
