//! When a limited service is ready, and which of its clones gets the request.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::tower::{RateLimit, RateLimitLayer};
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::rig::{KEY, MINUTE, ask, request, waits};
use crate::wire::Wire;

/// A service that must be ready before it is called, and whose clones are not ready.
#[derive(Default)]
struct Strict {
    ready: bool,
    /// How many are ready and were not called.
    reserved: Arc<AtomicU64>,
}

impl Service<Request<String>> for Strict {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if !self.ready {
            self.ready = true;
            self.reserved.fetch_add(1, Ordering::SeqCst);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        assert!(self.ready, "it was called without being ready");
        self.ready = false;
        self.reserved.fetch_sub(1, Ordering::SeqCst);
        std::future::ready(Ok(Response::new(String::new())))
    }
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self {
            ready: false,
            reserved: Arc::clone(&self.reserved),
        }
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        if self.ready {
            self.reserved.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A layer that decides in memory, and one that asks the store.
fn layers(wire: &Wire, quota: u64) -> [RateLimitLayer; 2] {
    let rule = Rule::new(quota, MINUTE);
    let here = RateLimiter::local(wire.clone(), rule.clone());
    [here, wire.limiter(rule)].map(|limiter| RateLimitLayer::new(limiter).key(KEY))
}

async fn status<S, B>(service: &mut S) -> StatusCode
where
    S: Service<Request<String>, Response = Response<B>, Error: std::fmt::Debug>,
{
    let service = service.ready().await.unwrap();
    service.call(request("a")).await.unwrap().status()
}

#[tokio::test]
async fn the_service_that_is_ready_is_the_one_that_is_called() {
    for layer in layers(&Wire::new(), 3) {
        let inner = Strict::default();
        let reserved = Arc::clone(&inner.reserved);
        let mut service = layer.layer(inner);
        for n in 0..5 {
            let mut clone = service.clone();
            let of = if n % 2 == 0 { &mut service } else { &mut clone };
            let expected = match n {
                0..3 => StatusCode::OK,
                _ => StatusCode::TOO_MANY_REQUESTS,
            };
            assert_eq!(status(of).await, expected);
            assert_eq!(reserved.load(Ordering::SeqCst), 0, "nothing is kept");
        }
    }
}

#[tokio::test]
async fn it_is_ready_when_the_service_is_and_fails_as_it_does() {
    #[derive(Clone)]
    struct Fails;
    impl Service<Request<String>> for Fails {
        type Response = Response<String>;
        type Error = &'static str;
        type Future = std::future::Ready<Result<Response<String>, &'static str>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            Poll::Ready(Err("broken"))
        }

        fn call(&mut self, _: Request<String>) -> Self::Future {
            panic!("it is not ready")
        }
    }
    let [layer, _] = layers(&Wire::new(), 1);
    let mut service = layer.layer(Fails);
    let Err(error) = ServiceExt::<Request<String>>::ready(&mut service).await else {
        panic!("it is ready");
    };
    assert_eq!(error, "broken");
}

#[tokio::test]
async fn a_refused_request_keeps_no_place_among_the_concurrent_ones() {
    for layer in layers(&Wire::new(), 1) {
        let hello = service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(())));
        let inner = ServiceBuilder::new().concurrency_limit(1).service(hello);
        let mut service = layer.layer(inner);
        let mut other = service.clone();
        assert_eq!(status(&mut service).await, StatusCode::OK);
        let refused = StatusCode::TOO_MANY_REQUESTS;
        assert_eq!(status(&mut service).await, refused);
        // `service` is still alive, and nobody calls it any more.
        let mut waiting = Box::pin(status(&mut other));
        assert!(!waits(&mut waiting).await, "the place is free");
    }
}

#[tokio::test]
async fn a_place_is_held_while_the_store_is_asked() {
    let [_, layer] = layers(&Wire::new(), 9);
    let inner = Strict::default();
    let reserved = Arc::clone(&inner.reserved);
    let mut service = layer.layer(inner);
    let service = ServiceExt::<Request<String>>::ready(&mut service).await;
    let asking = service.unwrap().call(request("a"));
    assert_eq!(reserved.load(Ordering::SeqCst), 1);
    drop(asking);
    assert_eq!(reserved.load(Ordering::SeqCst), 0, "the client has hung up");
}

#[tokio::test]
async fn it_works_with_buffers_load_shedding_and_concurrency_limits() {
    for layer in layers(&Wire::new(), 20) {
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        let inner = service_fn(move |_: Request<String>| {
            counted.fetch_add(1, Ordering::SeqCst);
            async {
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(Response::new(String::new()))
            }
        });
        let service = ServiceBuilder::new()
            .buffer(64)
            .load_shed()
            .layer(layer)
            .concurrency_limit(2)
            .buffer(4)
            .service(inner);
        let tasks: Vec<_> = (0..40)
            .map(|_| tokio::spawn(service.clone().oneshot(request("a"))))
            .collect();
        let mut passed = 0;
        for task in tasks {
            // Some may be shed, but nothing hangs.
            let answer = tokio::time::timeout(Duration::from_secs(20), task).await;
            let passes = |status| status == StatusCode::OK;
            passed += u64::from(answer.unwrap().unwrap().is_ok_and(|r| passes(r.status())));
        }
        assert_eq!(calls.load(Ordering::SeqCst), passed);
        assert!((1..=20).contains(&passed), "{passed}");
    }
}

#[tokio::test]
async fn what_memory_knows_is_answered_without_waiting() {
    let wire = Wire::new();
    let rule = Rule::new(1_000, MINUTE).leased();
    let layer = RateLimitLayer::new(wire.limiter(rule)).key(KEY);
    let mut service = layer.layer(Strict::default());
    // The client is known after some requests, and permits are fetched ahead.
    for _ in 0..30 {
        wire.wait(50);
        status(&mut service).await;
        tokio::task::yield_now().await;
    }
    let calls = wire.calls();
    let service = ServiceExt::<Request<String>>::ready(&mut service)
        .await
        .unwrap();
    let answer = now(service.call(request("a")));
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
    assert_eq!(wire.calls(), calls);
}

/// The result of a future that waits for nothing.
fn now<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn without_a_runtime_the_response_waits_for_what_is_left_to_do() {
    let wire = Wire::new();
    let rule = Rule::new(100_000, MINUTE).leased();
    let layer = RateLimitLayer::new(wire.limiter(rule))
        .key(KEY)
        .refund_on(StatusCode::is_server_error);
    let mut service = layer.layer(Strict::default());
    for _ in 0..100 {
        wire.wait(2);
        assert_eq!(now(status(&mut service)), StatusCode::OK);
    }
    assert!(wire.calls() <= 20, "{} calls", wire.calls());

    let exact = wire.limiter(Rule::new(2, MINUTE).named("exact"));
    let layer = RateLimitLayer::new(exact.clone())
        .key(KEY)
        .refund_on(|_| true);
    let mut service = layer.layer(Strict::default());
    for _ in 0..10 {
        assert_eq!(now(status(&mut service)), StatusCode::OK);
    }
    assert_eq!(now(exact.peek("a")).unwrap().remaining, 2);
}

#[test]
fn any_thread_may_use_it() {
    const fn any_thread<T: Send + Sync + Clone + 'static>() {}
    any_thread::<RateLimitLayer>();
    any_thread::<RateLimit<Strict>>();
    const fn moves<T: Send>(_: &T) {}
    let [layer, _] = layers(&Wire::new(), 1);
    moves(&layer.layer(Strict::default()).oneshot(request("a")));
}

#[tokio::test]
async fn it_shows_its_limits_and_no_functions() {
    let [layer, _] = layers(&Wire::new(), 1);
    let layer = layer.and(
        RateLimiter::local(Wire::new(), Rule::new(7, MINUTE).named("other")),
        KEY,
    );
    let shown = format!("{layer:?} {:?}", layer.layer(()));
    assert!(
        shown.contains("other") && shown.contains("Draft10"),
        "{shown}"
    );
    let answer = ask(layer.layer(Strict::default()), request("a")).await;
    assert!(answer.is_ok());
}
