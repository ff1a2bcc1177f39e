//! What clients are told of their limits.

use http::{Request, Response, StatusCode};
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::tower::{PeerIp, RateLimitLayer, Style};

use crate::rig::{KEY, MINUTE, get, request, send};
use crate::wire::Wire;

fn layer(wire: &Wire, quota: u64) -> RateLimitLayer {
    let rule = Rule::new(quota, MINUTE).named("per-user");
    RateLimitLayer::new(wire.limiter(rule)).key(KEY)
}

#[tokio::test]
async fn who_passes_gets_the_response_and_the_limits() {
    let layer = layer(&Wire::new(), 3);
    let respond = || {
        let response = Response::builder().status(201).header("etag", "\"a\"");
        response.body("made".into()).unwrap()
    };
    for left in [2, 1, 0] {
        let answer = send(&layer, request("a"), respond).await;
        assert_eq!(
            (answer.status, &*answer.text),
            (StatusCode::CREATED, "made")
        );
        assert_eq!(answer.header("etag"), "\"a\"");
        assert_eq!(answer.header("ratelimit-policy"), r#""per-user";q=3;w=60"#);
        assert_eq!(
            answer.header("ratelimit"),
            format!(r#""per-user";r={left};t=62"#)
        );
        assert_eq!(answer.header("retry-after"), "");
    }
}

#[tokio::test]
async fn who_is_refused_gets_problem_details_and_is_told_when_to_come() {
    let wire = Wire::new();
    let layer = layer(&wire, 1);
    get(&layer, request("a")).await;
    wire.wait(500);
    let refused = get(&layer, request("a")).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert_eq!(refused.header("cache-control"), "no-store");
    assert_eq!(refused.header("retry-after"), "62");
    assert_eq!(refused.header("ratelimit"), r#""per-user";r=0;t=62"#);
    assert_eq!(
        refused.json(),
        serde_json::json!({
            "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
            "title": "Request cannot be satisfied as assigned quota has been exceeded",
            "status": 429,
            "code": "quota_exceeded",
            "violated-policies": ["per-user"],
        })
    );
    wire.wait(61_500);
    assert_eq!(get(&layer, request("a")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn limits_are_told_in_the_style_that_is_chosen() {
    let names = [
        "ratelimit-policy",
        "ratelimit",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    ];
    for (style, expected) in [
        (
            Style::Draft10,
            [
                r#""per-user";q=3;w=60"#,
                r#""per-user";r=2;t=62"#,
                "",
                "",
                "",
            ],
        ),
        (
            Style::Draft7,
            ["3;w=60", "limit=3, remaining=2, reset=62", "", "", ""],
        ),
        (Style::Legacy, ["", "", "3", "2", "1700000102"]),
        (Style::None, ["", "", "", "", ""]),
    ] {
        let layer = layer(&Wire::new(), 3).headers(style);
        let answer = get(&layer, request("a")).await;
        assert_eq!(names.map(|name| answer.header(name)), expected, "{style:?}");
    }
}

#[tokio::test]
async fn a_limit_that_only_reports_is_told_where_that_can_be_said() {
    let wire = Wire::new();
    let rule = Rule::new(1, MINUTE).named("shadow").shadow();
    let limiter = wire.limiter(rule);
    let layer = RateLimitLayer::new(limiter).key(KEY);
    for _ in 0..3 {
        let answer = get(&layer, request("a")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.header("ratelimit").starts_with("\"shadow\";r=0"));
        let other = get(&layer.clone().headers(Style::Draft7), request("a")).await;
        assert_eq!(other.header("ratelimit"), "");
    }
}

#[tokio::test]
async fn a_name_that_no_header_can_hold_is_told_as_well_as_it_goes() {
    let rule = Rule::new(1, MINUTE).named("per \"user\"\r\nx: y\\ü");
    let layer = RateLimitLayer::new(RateLimiter::local(Wire::new(), rule)).key(KEY);
    let answer = get(&layer, request("a")).await;
    assert_eq!(
        answer.header("ratelimit-policy"),
        r#""per _user___x: y__";q=1;w=60"#
    );
    let refused = get(&layer, request("a")).await;
    let named = &refused.json()["violated-policies"][0];
    assert_eq!(named, "per \"user\"\r\nx: y\\ü", "JSON can hold it");
}

#[tokio::test]
async fn limits_of_layers_in_one_another_are_told_together() {
    let wire = Wire::new();
    let inner = layer(&wire, 3);
    let outer = |style| {
        let rule = Rule::new(9, MINUTE).named("all");
        let everybody = |_: &http::request::Parts| Some("all");
        let layer = RateLimitLayer::new(wire.limiter(rule)).key(everybody);
        (layer.headers(style), inner.clone().headers(style))
    };
    let get = async |(outer, inner): (RateLimitLayer, RateLimitLayer)| {
        let service = tower::ServiceBuilder::new()
            .layer(outer)
            .layer(inner)
            .service_fn(async |_: Request<String>| {
                Ok::<_, std::convert::Infallible>(Response::new("hello".to_owned()))
            });
        let answer = tower::ServiceExt::oneshot(service, request("a")).await;
        crate::rig::read(answer.unwrap()).await
    };
    let answer = get(outer(Style::Draft10)).await;
    let lines = answer.headers.get_all("ratelimit").iter();
    let lines: Vec<_> = lines.map(|line| line.to_str().unwrap()).collect();
    assert_eq!(lines, [r#""per-user";r=2;t=62"#, r#""all";r=8;t=62"#]);
    let answer = get(outer(Style::Legacy)).await;
    assert_eq!(
        answer.headers.get_all("x-ratelimit-limit").iter().count(),
        1
    );
    assert_eq!(answer.header("x-ratelimit-limit"), "3", "the inner one");
    assert_eq!(answer.text, "hello");
}

#[tokio::test]
async fn several_limits_are_asked_in_one_call_and_charge_all_or_none() {
    let wire = Wire::new();
    let redis = wire.client();
    let rule = |quota, name: &str| Rule::new(quota, MINUTE).named(name);
    let per_user = RateLimiter::new(redis.clone(), rule(2, "user"));
    let per_ip = RateLimiter::new(redis, rule(3, "ip"));
    let layer = RateLimitLayer::new(per_user.clone())
        .key(KEY)
        .and(per_ip.clone(), PeerIp::v6_prefix(64));
    let from = |key: &str| {
        let mut request = request(key);
        let address: std::net::SocketAddr = "192.0.2.7:4711".parse().unwrap();
        request.extensions_mut().insert(address);
        request
    };
    let answer = get(&layer, from("a")).await;
    assert_eq!(wire.calls(), 1);
    let told = r#""user";r=1;t=62, "ip";r=2;t=62"#;
    assert_eq!(answer.header("ratelimit"), told);
    assert_eq!(get(&layer, from("a")).await.status, StatusCode::OK);
    let refused = get(&layer, from("a")).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.json()["violated-policies"][0], "user");
    assert_eq!(per_ip.peek("192.0.2.7").await.unwrap().remaining, 1);
    assert_eq!(get(&layer, from("b")).await.status, StatusCode::OK);
    let refused = get(&layer, from("b")).await;
    assert_eq!(refused.json()["violated-policies"][0], "ip");
    assert_eq!(per_user.peek("b").await.unwrap().remaining, 1);
}

#[tokio::test]
async fn limits_of_several_stores_name_the_one_that_refuses() {
    let (wire, other) = (Wire::new(), Wire::new());
    let rule = |quota, name: &str| Rule::new(quota, MINUTE).named(name);
    let one = wire.limiter(rule(5, "one"));
    let layer = RateLimitLayer::new(one.clone())
        .key(KEY)
        .and(other.limiter(rule(1, "two")), KEY);
    assert_eq!(get(&layer, request("a")).await.status, StatusCode::OK);
    let refused = get(&layer, request("a")).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        refused.json()["violated-policies"],
        serde_json::json!(["two"])
    );
    assert_eq!(one.peek("a").await.unwrap().remaining, 4, "given back");
}
