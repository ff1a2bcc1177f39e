//! What a request costs, before and after its response is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::tower::RateLimitLayer;
use tower::{Layer as _, service_fn};

use crate::rig::{KEY, MINUTE, ask, get, request, send, waits};
use crate::wire::Wire;

/// Limiters of all kinds, with their name.
fn limiters(wire: &Wire, quota: u64) -> [(&'static str, RateLimiter); 3] {
    let rule = |name: &str| Rule::new(quota, MINUTE).named(name);
    [
        ("exact", wire.limiter(rule("exact"))),
        ("leased", wire.limiter(rule("leased").leased())),
        ("local", RateLimiter::local(wire.clone(), rule("local"))),
    ]
}

/// A response with this status, whose header `x-cost` is its cost.
fn response(status: u16, cost: &str) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("x-cost", cost);
    response.body(Full::default()).unwrap()
}

fn told(parts: &http::response::Parts) -> Option<u64> {
    parts.headers.get("x-cost")?.to_str().ok()?.parse().ok()
}

async fn left(limiter: &RateLimiter) -> u64 {
    limiter.peek("a").await.unwrap().remaining
}

#[tokio::test]
async fn a_request_costs_what_it_says_of_the_quota_of_its_client() {
    for (name, limiter) in limiters(&Wire::new(), 3) {
        let number = |name: &'static str| {
            move |parts: &http::request::Parts| -> Option<u64> {
                parts.headers.get(name)?.to_str().ok()?.parse().ok()
            }
        };
        let (cost, quota) = (number("x-cost"), number("x-quota"));
        let layer = RateLimitLayer::new(limiter)
            .key(KEY)
            .cost(move |request| cost(request).unwrap_or(1))
            .quota(quota);
        let with = |cost: &str, quota: &str| {
            let mut request = request("a");
            request
                .headers_mut()
                .insert("x-cost", cost.parse().unwrap());
            request
                .headers_mut()
                .insert("x-quota", quota.parse().unwrap());
            request
        };
        let answer = get(&layer, with("4", "10")).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}");
        let policy = format!("\"{name}\";q=10;w=60");
        assert_eq!(answer.header("ratelimit-policy"), policy);
        assert_eq!(answer.left(), Some(6), "{name}");
        let refused = get(&layer, with("7", "10")).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{name}");
        assert_eq!(get(&layer, with("6", "10")).await.left(), Some(0), "{name}");
        let usual = get(&layer, request("b")).await;
        assert_eq!(usual.left(), Some(2), "{name}");
    }
}

#[tokio::test]
async fn a_failed_request_costs_nothing() {
    for (name, limiter) in limiters(&Wire::new(), 5) {
        let layer = RateLimitLayer::new(limiter.clone())
            .key(KEY)
            .cost(|_| 2)
            .refund_on(StatusCode::is_server_error);
        for _ in 0..10 {
            let answer = send(&layer, request("a"), || response(503, "")).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.left(), Some(5), "{name}: the headers know it");
            assert_eq!(left(&limiter).await, 5, "{name}");
        }
        let answer = send(&layer, request("a"), || response(404, "")).await;
        assert_eq!(answer.left(), Some(3), "{name}");
        assert_eq!(left(&limiter).await, 3, "{name}");
    }
}

#[tokio::test]
async fn an_error_of_the_service_costs_nothing_and_passes_through() {
    #[derive(Debug, PartialEq)]
    struct Broken(u8);
    for (name, limiter) in limiters(&Wire::new(), 5) {
        let broken = service_fn(async |_: Request<String>| Err::<Response<String>, _>(Broken(7)));
        let layer = RateLimitLayer::new(limiter.clone()).key(KEY);
        let error = ask(layer.layer(broken), request("a")).await.unwrap_err();
        assert_eq!(error, Broken(7));
        assert_eq!(left(&limiter).await, 4, "{name}: nothing was said");
        let layer = layer.refund_on(StatusCode::is_server_error);
        let error = ask(layer.layer(broken), request("a")).await.unwrap_err();
        assert_eq!(error, Broken(7));
        assert_eq!(left(&limiter).await, 4, "{name}");
    }
}

#[tokio::test]
async fn what_a_request_has_cost_is_charged_or_given_back_afterwards() {
    for (name, limiter) in limiters(&Wire::new(), 20) {
        for before in [0, 3] {
            limiter.reset("a").await.unwrap();
            let layer = RateLimitLayer::new(limiter.clone())
                .key(KEY)
                .cost(move |_| before)
                .cost_from_response(told);
            let mut expected = 20;
            for (cost, said) in [(7, "7"), (1, "1"), (before, "much"), (0, "0"), (5, "5")] {
                expected -= cost;
                let answer = send(&layer, request("a"), || response(200, said)).await;
                let context = format!("{name}, {before} before, then {said}");
                assert_eq!(answer.left(), Some(expected), "{context}");
                assert_eq!(left(&limiter).await, expected, "{context}");
            }
            let answer = send(&layer, request("a"), || response(200, "1000")).await;
            assert_eq!(answer.status, StatusCode::OK, "it was done");
            assert_eq!(left(&limiter).await, 0, "{name}: more than was left");
            let refused = get(&layer.clone().cost(|_| 1), request("a")).await;
            assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{name}");
        }
    }
}

#[tokio::test]
async fn each_limit_has_a_cost_of_its_own_and_a_refund_is_for_all() {
    let wire = Wire::new();
    let redis = wire.client();
    let rule = |name: &str| Rule::new(20, MINUTE).named(name);
    let requests = RateLimiter::new(redis.clone(), rule("requests"));
    let tokens = RateLimiter::new(redis, rule("tokens"));
    let layer = RateLimitLayer::new(requests.clone())
        .key(KEY)
        .and(tokens.clone(), KEY)
        .cost(|_| 5)
        .cost_from_response(told)
        .refund_on(StatusCode::is_server_error);
    let left = async || [left(&requests).await, left(&tokens).await];
    send(&layer, request("a"), || response(200, "8")).await;
    assert_eq!(left().await, [19, 12]);
    send(&layer, request("a"), || response(200, "")).await;
    assert_eq!(left().await, [18, 7]);
    send(&layer, request("a"), || response(500, "9")).await;
    assert_eq!(left().await, [18, 7]);
}

#[tokio::test]
async fn what_is_skipped_asks_no_limit() {
    let wire = Wire::new();
    let layer = RateLimitLayer::new(wire.limiter(Rule::new(1, MINUTE)))
        .key(KEY)
        .skip(|request| request.uri.path() == "/health");
    for _ in 0..3 {
        let request = Request::get("/health").body(String::new()).unwrap();
        let answer = get(&layer, request).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("ratelimit"), "");
    }
    assert_eq!(wire.calls(), 0);
    assert_eq!(get(&layer, request("a")).await.left(), Some(0));
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_nothing_but_what_it_took() {
    for (name, limiter) in limiters(&Wire::new(), 5) {
        let layer = RateLimitLayer::new(limiter.clone())
            .key(KEY)
            .refund_on(|_| true);
        let alive = Arc::new(AtomicU64::new(0));
        let inner = Arc::clone(&alive);
        let service = layer.layer(service_fn(move |_: Request<String>| {
            let guard = Counted::new(&inner);
            async move {
                std::future::pending::<()>().await;
                drop(guard);
                Ok::<_, std::convert::Infallible>(Response::new(String::new()))
            }
        }));
        let mut response = Box::pin(ask(service, request("a")));
        assert!(waits(&mut response).await, "{name}");
        assert_eq!(alive.load(Ordering::SeqCst), 1);
        drop(response);
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        tokio::task::yield_now().await;
        assert_eq!(left(&limiter).await, 4, "{name}: it may have been done");
    }
}

/// One that is counted while it lives.
struct Counted(Arc<AtomicU64>);

impl Counted {
    fn new(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
