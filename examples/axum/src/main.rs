//! A server whose clients may ask 20 times a minute, whichever of its processes they reach.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::redis::RestClient;
use omnitrade_edge::tower::{Header, PeerIp, RateLimitLayer};
use tokio::net::TcpListener;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let redis = RestClient::from_env()?;
    let per_user = RateLimiter::new(redis, Rule::new(20, MINUTE).named("per-user"));
    let app = Router::new().route("/book", get(book)).layer(
        RateLimitLayer::new(per_user)
            .key(Header("x-api-key").or(PeerIp::v6_prefix(64)))
            .refund_on(StatusCode::is_server_error),
    );

    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}

/// The order book.
async fn book() -> &'static str {
    "bids and asks\n"
}
