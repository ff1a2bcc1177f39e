//! The limiter as a crate, without the gate: the example of the README as a program.
//!
//! ```sh
//! UPSTASH_REDIS_REST_URL=… UPSTASH_REDIS_REST_TOKEN=… cargo run --example limiter
//! ```

use std::time::Duration;

use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::redis::{Options, RestClient};
use omnitrade_edge::shell::ReqwestTransport;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("UPSTASH_REDIS_REST_URL")?;
    let token = std::env::var("UPSTASH_REDIS_REST_TOKEN")?;

    let redis = RestClient::new(ReqwestTransport::new()?, Options::new(url, token))?;
    let limiter = RateLimiter::new(redis, Rule::new(100, Duration::from_secs(60)).leased());

    let limited = limiter.limit("user-7", 1).await;
    println!("{limited:?}");
    if let Some(pending) = limited.pending {
        limiter.finish(pending).await;
    }
    limiter.limit_many(&[("user-7", 1), ("acme", 1)]).await;
    limiter.peek("user-7").await?;
    limiter.refund("user-7", 1).await?;
    limiter.reset("user-7").await?;
    Ok(())
}
