//! What the layer for axum, tonic and hyper can do: the examples of `docs/rust.md` as a program.
//!
//! ```sh
//! UPSTASH_REDIS_REST_URL=… UPSTASH_REDIS_REST_TOKEN=… cargo run --example layer --features axum
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use http::{Response, StatusCode, response};
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::redis::RestClient;
use omnitrade_edge::tower::{FromExtension, Header, PeerIp, RateLimitLayer, Style};
use tokio::net::TcpListener;

const MINUTE: Duration = Duration::from_secs(60);

/// Whom a layer outside of this one has authenticated.
#[derive(Clone)]
struct User {
    id: String,
    quota: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let redis = RestClient::from_env()?;
    let per_user = RateLimiter::new(
        redis.clone(),
        Rule::new(100, MINUTE).named("per-user").leased(),
    );
    let per_ip = RateLimiter::new(
        redis.clone(),
        Rule::new(300, MINUTE).named("per-ip").leased(),
    );
    let tokens = RateLimiter::new(redis, Rule::new(50_000, MINUTE).named("tokens"));

    let user = FromExtension::new(|user: &User| user.id.clone());
    let peer = PeerIp::v6_prefix(64).behind_proxies(1);
    let layer = RateLimitLayer::new(per_user)
        .key(user.or(Header("x-api-key")).or(peer.clone()))
        .quota(|request| Some(request.extensions.get::<User>()?.quota))
        .and(per_ip, peer.clone())
        .refund_on(StatusCode::is_server_error)
        .skip(|request| request.uri.path() == "/health")
        .headers(Style::Draft10);

    let used = |response: &response::Parts| {
        let used = response.headers.get("x-tokens-used")?;
        used.to_str().ok()?.parse().ok()
    };
    let chat = RateLimitLayer::new(tokens)
        .key(Header("x-api-key").or(peer))
        .cost(|_| 500)
        .cost_from_response(used)
        .refuse_with(|refusal| {
            let wait = refusal.retry_after().as_secs();
            let mut response = Response::new(format!("Out of tokens. Come back in {wait} s."));
            *response.status_mut() = refusal.status();
            response
        });

    let app = Router::new()
        .route(
            "/chat",
            post(async || ([("x-tokens-used", "1234")], "hello")).layer(chat),
        )
        .route("/health", get(async || "fine"))
        .layer(layer);
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}
