//! What the layer costs per request, beside `tower_governor`: `npm run bench -- tower`.
//!
//! Every contestant answers the same request with the same service of a few nanoseconds, and has
//! permits for all of them. Permits that ours fetches ahead come from the Redis that `REDIS_URL`
//! names; a task fetches them meanwhile.
#![allow(missing_docs, reason = "criterion's macros make functions")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement that cannot go on should fail"
)]

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderValue, Request, Response, StatusCode};
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::redis::TcpClient;
use omnitrade_edge::shell::ReqwestTransport;
use omnitrade_edge::tower::{Header, RateLimitLayer, Style};
use tokio::runtime::Runtime;
use tower::{Layer as _, Service, ServiceExt, service_fn};
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};

/// How many clients take turns.
const CLIENTS: [usize; 2] = [1, 1_000];

fn request(key: &HeaderValue) -> Request<String> {
    let mut request = Request::new(String::new());
    request.headers_mut().insert("x-api-key", key.clone());
    request
}

/// The service of all contestants.
fn hello()
-> impl Service<Request<String>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone
{
    service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(Body::empty())))
}

/// The key of `tower_governor`: the same header.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ApiKey;

impl KeyExtractor for ApiKey {
    type Key = String;

    fn extract<B>(&self, request: &Request<B>) -> Result<String, GovernorError> {
        let key = request.headers().get("x-api-key");
        let key = key.and_then(|key| key.to_str().ok());
        key.map(str::to_owned)
            .ok_or(GovernorError::UnableToExtractKey)
    }
}

fn measure<S, B>(criterion: &mut Criterion, runtime: &Runtime, name: &str, service: &S)
where
    S: Service<Request<String>, Response = Response<B>, Error: std::fmt::Debug> + Clone,
{
    let mut group = criterion.benchmark_group(name);
    for clients in CLIENTS {
        let keys = (0..clients).map(|n| HeaderValue::try_from(format!("client-{n}")));
        let keys: Vec<_> = keys.collect::<Result<_, _>>().unwrap();
        let mut service = service.clone();
        let mut next = keys.iter().cycle();
        // Permits are fetched ahead for clients that are known.
        for key in keys.iter().cycle().take(20 * clients) {
            runtime.block_on(ask(&mut service, key));
        }
        group.bench_function(BenchmarkId::from_parameter(clients), |bencher| {
            bencher.iter(|| {
                let key = next.next().unwrap();
                runtime.block_on(ask(&mut service, key));
            });
        });
    }
    group.finish();
}

async fn ask<S, B>(service: &mut S, key: &HeaderValue)
where
    S: Service<Request<String>, Response = Response<B>, Error: std::fmt::Debug>,
{
    let service = service.ready().await.unwrap();
    let response = service.call(request(key)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

fn contestants(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let runtime = &runtime;
    let _entered = runtime.enter();

    measure(criterion, runtime, "none", &hello());

    let url = std::env::var("REDIS_URL").expect("REDIS_URL");
    let redis = TcpClient::connect(&url).unwrap();
    let rule = Rule::new(10_000_000_000, Duration::from_secs(60));
    let leased = RateLimiter::new(redis, rule.clone().named("layer").leased());
    let layer = || RateLimitLayer::new(leased.clone()).key(Header("x-api-key"));
    measure(criterion, runtime, "leased", &layer().layer(hello()));
    let silent = layer().headers(Style::None);
    measure(criterion, runtime, "leased-silent", &silent.layer(hello()));
    let refunds = layer().refund_on(StatusCode::is_server_error);
    measure(
        criterion,
        runtime,
        "leased-refunds",
        &refunds.layer(hello()),
    );

    let clock = ReqwestTransport::new().unwrap();
    let local = RateLimitLayer::new(RateLimiter::local(clock, rule)).key(Header("x-api-key"));
    measure(criterion, runtime, "local", &local.layer(hello()));

    let mut governor = GovernorConfigBuilder::default().key_extractor(ApiKey);
    governor.per_nanosecond(1).burst_size(u32::MAX);
    let silent = GovernorLayer::new(governor.finish().unwrap());
    measure(
        criterion,
        runtime,
        "governor-silent",
        &silent.layer(hello()),
    );
    let told = GovernorLayer::new(governor.use_headers().finish().unwrap());
    measure(criterion, runtime, "governor", &told.layer(hello()));
}

criterion_group! {
    name = layer;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .without_plots();
    targets = contestants
}
criterion_main!(layer);
