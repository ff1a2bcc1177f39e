//! The layer in axum, over sockets, with many threads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::tower::{Header, PeerIp, RateLimitLayer};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

use crate::rig::MINUTE;
use crate::wire::Wire;

/// Serves an application until the test ends, and returns its address.
async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(listener, app).await });
    url
}

/// Sends so many requests at once, `connections` at a time, and returns how many had which status.
async fn load(url: &str, key: Option<&str>, connections: usize, each: usize) -> [usize; 2] {
    let client = reqwest::Client::new();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let mut request = client.get(url);
            if let Some(key) = key {
                request = request.header("x-api-key", key);
            }
            tokio::spawn(async move {
                let mut counts = [0, 0];
                for _ in 0..each {
                    let answer = request.try_clone().unwrap().send().await.unwrap();
                    match answer.status() {
                        StatusCode::OK => counts[0] += 1,
                        StatusCode::TOO_MANY_REQUESTS => counts[1] += 1,
                        other => panic!("{other}"),
                    }
                    assert!(answer.headers().contains_key("ratelimit"));
                    answer.bytes().await.unwrap();
                }
                counts
            })
        })
        .collect();
    let mut all = [0, 0];
    for task in tasks {
        let counts = task.await.unwrap();
        all = [all[0] + counts[0], all[1] + counts[1]];
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_of_axum_count_together() {
    let wire = Wire::new();
    let rule = |name| Rule::new(100, MINUTE).named(name);
    for (exactly, limiter) in [
        (true, RateLimiter::local(wire.clone(), rule("local"))),
        (true, wire.limiter(rule("exact"))),
        (false, wire.limiter(rule("leased").leased())),
    ] {
        let calls = Arc::new(AtomicU64::new(0));
        let layer = RateLimitLayer::new(limiter.clone())
            .key(Header("x-api-key").or(PeerIp::v6_prefix(64)))
            .refund_on(StatusCode::is_server_error);
        let count = async |State(calls): State<Arc<AtomicU64>>| {
            calls.fetch_add(1, Ordering::SeqCst);
            "hello"
        };
        let app = Router::new()
            .route("/", get(count))
            .with_state(Arc::clone(&calls))
            .layer(layer);
        let url = serve(app).await;
        for key in [Some("client"), None] {
            let before = calls.load(Ordering::SeqCst);
            let [passed, refused] = load(&url, key, 16, 10).await;
            assert_eq!(passed + refused, 160);
            let called = calls.load(Ordering::SeqCst) - before;
            assert_eq!(called, u64::try_from(passed).unwrap());
            if exactly {
                assert_eq!(passed, 100, "{key:?}");
                // The address where axum has put it.
                let subject = key.unwrap_or("\n127.0.0.1");
                assert_eq!(limiter.peek(subject).await.unwrap().remaining, 0);
            } else {
                assert!((90..=100).contains(&passed), "{passed} of 100, {key:?}");
            }
        }
    }
}

#[tokio::test]
async fn it_stands_in_a_stack_of_layers_on_one_route_as_on_all() {
    let wire = Wire::new();
    let limiter = wire.limiter(Rule::new(4, MINUTE));
    let layer = || RateLimitLayer::new(limiter.clone()).refund_on(StatusCode::is_server_error);
    let stack = ServiceBuilder::new()
        .layer(layer())
        .concurrency_limit(8)
        .layer(layer());
    let broken = async || StatusCode::INTERNAL_SERVER_ERROR;
    let app = Router::new()
        .route("/one", get(async || "one").layer(layer()))
        .route("/twice", get(async || "twice").layer(stack))
        .route("/broken", get(broken).layer(layer()))
        .route("/free", get(async || "free"));
    let url = serve(app).await;
    let get = async |path: &str| reqwest::get(format!("{url}{path}")).await.unwrap();
    for (path, status, left) in [
        ("/broken", 500, 4),
        ("/free", 200, 4),
        ("/one", 200, 3),
        ("/twice", 200, 1),
        ("/nowhere", 404, 1),
        ("/one", 200, 0),
        ("/one", 429, 0),
        ("/broken", 429, 0),
        ("/free", 200, 0),
    ] {
        let answer = get(path).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
        // The refund is made by a task.
        let left_now = async || limiter.peek("127.0.0.1").await.unwrap().remaining;
        while left_now().await != left {
            tokio::task::yield_now().await;
        }
    }
}
