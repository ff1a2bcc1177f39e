//! A Worker written with the crate `worker` that limits its clients with omnitrade-edge, and caches
//! a value.
//!
//! The gate itself does without that crate: it needs a request's head and a response, and takes
//! them from the platform as they are. A Worker of your own has routes, bindings and pages: for
//! these the crate is good.

#![cfg(target_arch = "wasm32")]

use std::cell::OnceCell;
use std::time::Duration;

use omnitrade_edge::limiter::{Limited, RateLimiter, Rule};
use omnitrade_edge::redis::{Options, RestClient};
use omnitrade_edge::shell::FetchTransport;
use omnitrade_edge::values::{Entry, ValueCache};
use worker::{
    Context, Date, Delay, Env, Error, Request, Response, Result, RouteContext, Router, event,
};

thread_local! {
    /// One for all requests of the isolate, because it remembers permits and refusals.
    static LIMITER: OnceCell<RateLimiter> = const { OnceCell::new() };
    /// The same, because it remembers values.
    static CACHE: OnceCell<ValueCache> = const { OnceCell::new() };
}

/// Greets each address a hundred times a minute, and tells it how often it still may ask.
#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    Router::with_data(context)
        .get("/health", |_, _| Response::ok("ok\n"))
        .get_async("/quota", quota)
        .get_async("/report", report)
        .get_async("/hello/:name", hello)
        .run(request, env)
        .await
}

/// Takes a permit, and refuses with 429 if none is left.
async fn hello(request: Request, route: RouteContext<Context>) -> Result<Response> {
    let limiter = limiter(&route.env)?;
    let mut limited = limiter.limit(&address(&request)?, 1).await;
    if let Some(pending) = limited.pending.take() {
        let work = async move { limiter.finish(pending).await };
        route.data.wait_until(work);
    }
    let response = match (limited.success, route.param("name")) {
        (true, name) => Response::ok(format!("Hello, {}\n", name.map_or("you", String::as_str)))?,
        (false, _) => Response::error("Too many requests", 429)?,
    };
    with_limit(response, &limited)
}

/// Says what is left, and takes nothing.
async fn quota(request: Request, route: RouteContext<Context>) -> Result<Response> {
    let limiter = limiter(&route.env)?;
    let limited = limiter.peek(&address(&request)?).await.map_err(failed)?;
    let text = format!("{} of {} left\n", limited.remaining, limited.limit);
    with_limit(Response::ok(text)?, &limited)
}

/// A report that takes its time. It is made once for all who ask, and anew in the background.
async fn report(_: Request, route: RouteContext<Context>) -> Result<Response> {
    let (cache, context) = (cache(&route.env)?, route.data);
    // The platform goes on with it after the response, and if the client hangs up.
    let cache = cache.on_work(move |work| context.wait_until(work));
    let entry = Entry::ttl(Duration::from_secs(2)).stale_while_revalidate(Duration::from_secs(60));
    let report: String = cache.get_or_set("report", &entry, make_report).await?;
    Response::ok(report)
}

async fn make_report() -> Result<String> {
    Delay::from(Duration::from_millis(500)).await;
    Ok(format!("made at {}\n", Date::now().as_millis()))
}

/// Adds the headers by which a client learns of its limit.
fn with_limit(mut response: Response, limited: &Limited) -> Result<Response> {
    let headers = response.headers_mut();
    headers.set("x-ratelimit-remaining", &limited.remaining.to_string())?;
    if !limited.success {
        let seconds = limited.retry_after.as_millis().div_ceil(1_000);
        headers.set("retry-after", &seconds.to_string())?;
    }
    Ok(response)
}

fn address(request: &Request) -> Result<String> {
    let address = request.headers().get("cf-connecting-ip")?;
    Ok(address.unwrap_or_else(|| "unknown".to_owned()))
}

fn limiter(env: &Env) -> Result<RateLimiter> {
    LIMITER.with(|limiter| {
        if let Some(limiter) = limiter.get() {
            return Ok(limiter.clone());
        }
        let rule = Rule::new(100, Duration::from_secs(60)).leased();
        let new = RateLimiter::new(redis(env)?, rule);
        Ok(limiter.get_or_init(|| new).clone())
    })
}

fn cache(env: &Env) -> Result<ValueCache> {
    CACHE.with(|cache| {
        if let Some(cache) = cache.get() {
            return Ok(cache.clone());
        }
        let new = ValueCache::new(redis(env)?);
        Ok(cache.get_or_init(|| new).clone())
    })
}

fn redis(env: &Env) -> Result<RestClient<FetchTransport>> {
    let secret = |name: &str| Some(env.secret(name).ok()?.to_string());
    let options = Options::from_vars(secret).map_err(failed)?;
    RestClient::new(FetchTransport::new(), options).map_err(failed)
}

/// An error of the store or its settings, which holds no secret.
fn failed(error: omnitrade_edge::error::Error) -> Error {
    Error::RustError(error.to_string())
}
