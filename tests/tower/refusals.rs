//! What a refused client gets.

use std::convert::Infallible;
use std::time::Duration;

use http::{Response, StatusCode};
use http_body::Body as _;
use omnitrade_edge::limiter::{OnFailure, Penalty, Rule};
use omnitrade_edge::tower::RateLimitLayer;
use tower::{Layer as _, service_fn};

use crate::rig::{KEY, MINUTE, ask, get, request};
use crate::wire::{Fault, Wire};

fn layer(wire: &Wire, rule: Rule) -> RateLimitLayer {
    RateLimitLayer::new(wire.limiter(rule.named("per-user"))).key(KEY)
}

#[tokio::test]
async fn a_program_can_answer_in_its_own_way() {
    let layer = layer(&Wire::new(), Rule::new(1, MINUTE)).refuse_with(|refusal| {
        assert_eq!(refusal.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(!refusal.is_grpc());
        let limits: Vec<_> = refusal.limits().iter().map(|l| &*l.policy).collect();
        let wait = refusal.retry_after().as_secs();
        let key = refusal.request().headers["x-api-key"].to_str().unwrap();
        Response::builder()
            .status(420)
            .header("x-own", "yes")
            .body(format!("{key}: {limits:?} for {wait} s"))
            .unwrap()
    });
    get(&layer, request("a")).await;
    let refused = get(&layer, request("a")).await;
    assert_eq!(refused.status.as_u16(), 420);
    assert_eq!(refused.text, r#"a: ["per-user"] for 62 s"#);
    assert_eq!(refused.header("x-own"), "yes");
    assert_eq!(refused.header("retry-after"), "62", "added");
    assert_eq!(refused.header("ratelimit"), r#""per-user";r=0;t=62"#);

    let layer = layer.refuse_with(|refusal| {
        let mut response = refusal.response();
        response.headers_mut().insert("retry-after", 7.into());
        response
    });
    let refused = get(&layer, request("a")).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("retry-after"), "7", "its own stays");
    assert_eq!(refused.json()["code"], "quota_exceeded");
}

#[tokio::test]
async fn a_body_of_a_refusal_says_how_long_it_is() {
    let layer = layer(&Wire::new(), Rule::new(1, MINUTE));
    let service = layer.layer(service_fn(async |_| {
        Ok::<_, Infallible>(Response::new("hello".to_owned()))
    }));
    let passed = ask(service.clone(), request("a")).await.unwrap();
    assert_eq!(passed.body().size_hint().exact(), Some(5));
    let refused = ask(service, request("a")).await.unwrap();
    let length = refused.body().size_hint().exact().unwrap();
    let text = crate::rig::read(refused).await.text;
    assert_eq!(u64::try_from(text.len()).unwrap(), length);
}

#[tokio::test]
async fn a_call_of_grpc_gets_a_status_of_grpc() {
    let wire = Wire::new();
    let layer = layer(&wire, Rule::new(1, MINUTE).on_failure(OnFailure::Closed));
    get(&layer, request("a")).await;
    wire.wait(500);
    for kind in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-web",
    ] {
        let call = || {
            let mut call = request("a");
            call.headers_mut()
                .insert("content-type", kind.parse().unwrap());
            call
        };
        let refused = get(&layer, call()).await;
        assert_eq!(refused.status, StatusCode::OK);
        assert_eq!((refused.header("content-type"), &*refused.text), (kind, ""));
        assert_eq!(refused.header("grpc-status"), "8", "RESOURCE_EXHAUSTED");
        assert_eq!(
            refused.header("grpc-message"),
            "Request cannot be satisfied as assigned quota has been exceeded"
        );
        assert_eq!(refused.header("grpc-retry-pushback-ms"), "61500");
        assert_eq!(refused.header("ratelimit"), r#""per-user";r=0;t=62"#);
    }
    *wire.0.fault.lock().unwrap() = Some(Fault::Lost);
    let mut call = request("b");
    call.headers_mut()
        .insert("content-type", "application/grpc".parse().unwrap());
    assert_eq!(
        get(&layer, call).await.header("grpc-status"),
        "14",
        "UNAVAILABLE"
    );
}

#[tokio::test]
async fn while_the_store_fails_limits_are_local_and_say_so() {
    let wire = Wire::new();
    *wire.0.fault.lock().unwrap() = Some(Fault::Lost);
    let local = layer(&wire, Rule::new(4, MINUTE));
    let mut passed = 0;
    let refused = loop {
        let answer = get(&local, request("a")).await;
        match answer.status {
            StatusCode::OK => passed += 1,
            _ => break answer,
        }
    };
    assert!((1..=4).contains(&passed), "{passed}");
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.json()["code"], "reduced_capacity");

    let closed = layer(&wire, Rule::new(4, MINUTE).on_failure(OnFailure::Closed));
    let refused = get(&closed, request("a")).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.json()["code"], "store_unavailable");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);

    let open = layer(&wire, Rule::new(4, MINUTE).on_failure(OnFailure::Open));
    for _ in 0..10 {
        assert_eq!(get(&open, request("a")).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn who_goes_on_after_refusals_is_told_that_it_is_held_off() {
    let hold = Duration::from_secs(600);
    let rule = Rule::new(1, MINUTE).with_penalty(Penalty::new(3, MINUTE, hold));
    let layer = layer(&Wire::new(), rule);
    for _ in 0..5 {
        get(&layer, request("a")).await;
    }
    let refused = get(&layer, request("a")).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.json()["code"], "abnormal_usage");
}
