//! A server of axum behind the layer, which says of each request when it was admitted.
//!
//! ```sh
//! export UPSTASH_REDIS_REST_URL=… UPSTASH_REDIS_REST_TOKEN=…
//! QUOTA=100 WINDOW_MS=1000 STRATEGY=lease limited-axum
//! ```
#![allow(clippy::disallowed_methods, reason = "it runs natively")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Extension, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::redis::RestClient;
use omnitrade_edge::tower::{Header, RateLimitLayer};
use tokio::net::TcpListener;

/// When a request came to the layer, in microseconds of Unix time.
#[derive(Clone, Copy)]
struct Came(u128);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number = |name: &str| -> Result<u64, Box<dyn std::error::Error>> {
        Ok(std::env::var(name)?.parse()?)
    };
    let window = Duration::from_millis(number("WINDOW_MS")?);
    let rule = Rule::new(number("QUOTA")?, window).named("bench");
    let rule = match std::env::var("STRATEGY")?.as_str() {
        "lease" => rule.leased(),
        _ => rule,
    };
    let limiter = RateLimiter::new(RestClient::from_env()?, rule);
    let app = Router::new()
        .route("/", get(admitted))
        .layer(RateLimitLayer::new(limiter).key(Header("x-api-key")))
        .layer(from_fn(came));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn came(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Came(now()));
    next.run(request).await
}

/// Says when the request came, and when it was let through.
async fn admitted(Extension(Came(came)): Extension<Came>) -> String {
    format!("{came} {}", now())
}

fn now() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_micros()
}
