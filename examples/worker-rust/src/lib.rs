//! A Worker written with the crate `worker` that limits its clients with omnitrade-edge.
//!
//! The gate itself does without that crate: it needs a request's head and a response, and takes
//! them from the platform as they are. A Worker of your own has routes, bindings and pages: for
//! these the crate is good.

#![cfg(target_arch = "wasm32")]

use std::cell::OnceCell;
use std::time::Duration;

use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::redis::{Options, RestClient};
use omnitrade_edge::shell::FetchTransport;
use worker::{Context, Env, Error, Request, Response, Result, event};

thread_local! {
    /// One for all requests of the isolate, because it remembers permits and refusals.
    static LIMITER: OnceCell<RateLimiter> = const { OnceCell::new() };
}

/// Answers 200 to a hundred requests a minute of each address, and 429 to the others.
#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    let limiter = limiter(&env)?;
    let address = request.headers().get("cf-connecting-ip")?;
    let limited = limiter
        .limit(address.as_deref().unwrap_or("unknown"), 1)
        .await;
    if let Some(pending) = limited.pending {
        context.wait_until(async move { limiter.finish(pending).await });
    }
    let mut response = match limited.success {
        true => Response::ok("Hello\n")?,
        false => Response::error("Too many requests", 429)?,
    };
    let headers = response.headers_mut();
    headers.set("x-ratelimit-remaining", &limited.remaining.to_string())?;
    if !limited.success {
        let seconds = limited.retry_after.as_millis().div_ceil(1_000);
        headers.set("retry-after", &seconds.to_string())?;
    }
    Ok(response)
}

fn limiter(env: &Env) -> Result<RateLimiter> {
    LIMITER.with(|limiter| {
        if let Some(limiter) = limiter.get() {
            return Ok(limiter.clone());
        }
        let url = env.secret("UPSTASH_REDIS_REST_URL")?.to_string();
        let token = env.secret("UPSTASH_REDIS_REST_TOKEN")?.to_string();
        let redis = RestClient::new(FetchTransport::new(), Options::new(url, token))
            .map_err(|error| Error::RustError(error.to_string()))?;
        let rule = Rule::new(100, Duration::from_secs(60)).leased();
        let new = RateLimiter::new(redis, rule);
        Ok(limiter.get_or_init(|| new).clone())
    })
}
