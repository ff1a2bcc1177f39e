//! Sliding-window rate limits over Redis, reached through Upstash's REST protocol, with local
//! limits whenever Redis fails; a cache of values over the same store; and the client of that
//! protocol by itself.
//!
//! The same engine is a Cloudflare Worker that stands in front of an HTTP API, limits its clients
//! and caches its responses. The [repository](https://github.com/omnitrade/omnitrade-edge)
//! describes the Worker; this page is for programs that use the crate.
//!
//! # Limit
//!
//! A [`RateLimiter`](limiter::RateLimiter) holds any number of subjects to one
//! [`Rule`](limiter::Rule). As long as the store decides, no window of the rule's length
//! admits more than the quota, over all processes together.
//! [`limit`](limiter::RateLimiter::limit) never fails: while the store does, the process limits by
//! itself, and the result says so.
//!
#![cfg_attr(feature = "reqwest", doc = "```")]
#![cfg_attr(not(feature = "reqwest"), doc = "```ignore")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), omnitrade_edge::error::Error> {
//! use std::time::Duration;
//!
//! use omnitrade_edge::limiter::{RateLimiter, Reason, Rule};
//! use omnitrade_edge::redis::{Options, RestClient};
//! use omnitrade_edge::shell::ReqwestTransport;
//!
//! // Nothing listens there. With a store's own address and token, the store decides.
//! let options = Options::new("http://127.0.0.1:1", "token");
//! let redis = RestClient::new(ReqwestTransport::new()?, options)?;
//! let rule = Rule::new(100, Duration::from_secs(60)).named("per-user");
//! let limiter = RateLimiter::new(redis, rule);
//!
//! let limited = limiter.limit("user-7", 1).await;
//! assert!(limited.success);
//! assert_eq!(limited.reason, Some(Reason::Timeout));
//! # Ok(())
//! # }
//! ```
//!
//! # Limit a server
//!
//! With the feature `tower` or `axum`, `tower::RateLimitLayer` limits the clients of axum, tonic,
//! hyper and other servers of that kind in three lines.
//!
//! # Values
//!
//! A [`ValueCache`](values::ValueCache) keeps values of any type that serde can write as JSON, and
//! octets, in memory and in a store. A value that is missing is loaded by one caller for all, in
//! this process and in all others. Stale values bridge its way, and failures, for as long as the
//! caller allows. The npm package reads and writes the same values.
//!
#![cfg_attr(feature = "reqwest", doc = "```")]
#![cfg_attr(not(feature = "reqwest"), doc = "```ignore")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use omnitrade_edge::shell::ReqwestTransport;
//! use omnitrade_edge::values::{Entry, ValueCache};
//!
//! // Without a store. `ValueCache::new` takes one.
//! let cache = ValueCache::local(ReqwestTransport::new()?);
//! let half_a_minute = Duration::from_secs(30);
//! let entry = Entry::ttl(half_a_minute).stale_while_revalidate(half_a_minute * 10);
//!
//! let load = || async { std::fs::read_to_string("Cargo.toml") };
//! let text: String = cache.get_or_set("manifest", &entry, load).await?;
//! assert!(text.contains("[package]"));
//! # Ok(())
//! # }
//! ```
//!
//! # Ask Redis
//!
//! A [`RestClient`](redis::RestClient) sends commands, pipelines, transactions and scripts over any
//! [`Transport`](transport::Transport). One deadline bounds a whole call, a command is repeated
//! only if it may run twice, and an [`Error`](error::Error) says what the caller can do and holds
//! no secret. Replies are read as [types of Rust](redis::FromValue). A transport is one HTTP
//! exchange, so a test can answer without a network:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), omnitrade_edge::error::Error> {
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use omnitrade_edge::clock::Timestamp;
//! use omnitrade_edge::redis::{Command, Options, RestClient};
//! use omnitrade_edge::transport::{Transport, TransportError};
//!
//! struct Canned(&'static str);
//!
//! impl Transport for Canned {
//!     async fn send(
//!         &self,
//!         _request: Request<Bytes>,
//!         _timeout: Duration,
//!         _max_bytes: usize,
//!     ) -> Result<Response<Bytes>, TransportError> {
//!         Ok(Response::new(Bytes::from_static(self.0.as_bytes())))
//!     }
//!
//!     fn now(&self) -> Timestamp {
//!         Timestamp::from_millis(0)
//!     }
//!
//!     async fn sleep(&self, _duration: Duration) {}
//!
//!     fn random(&self) -> f64 {
//!         0.5
//!     }
//! }
//!
//! let options = Options::new("https://example.upstash.io", "token");
//! let redis = RestClient::new(Canned(r#"{"result":"7"}"#), options)?;
//! let counter: Option<u64> = redis.command_as(&Command::new("GET").arg("counter")).await?;
//! assert_eq!(counter, Some(7));
//! # Ok(())
//! # }
//! ```
//!
//! A server beside its Redis needs no REST: with the feature `redis-tcp`, `redis::TcpClient` makes
//! the same promises over TCP, TLS or a Unix socket, and a limiter takes either. Limiters of one
//! name count together, however they reach the same Redis.
//!
#![cfg_attr(feature = "redis-tcp", doc = "```")]
#![cfg_attr(not(feature = "redis-tcp"), doc = "```ignore")]
//! # fn main() -> Result<(), omnitrade_edge::error::Error> {
//! use std::time::Duration;
//!
//! use omnitrade_edge::limiter::{RateLimiter, Rule};
//! use omnitrade_edge::redis::TcpClient;
//!
//! // It connects when it is first asked, so a server can start before its Redis.
//! let redis = TcpClient::connect("redis://127.0.0.1:6379")?;
//! let limiter = RateLimiter::new(redis, Rule::new(100, Duration::from_secs(60)));
//! # Ok(())
//! # }
//! ```
//!
//! # Add jobs
//!
//! With the feature `queue`, `queue::Queue` adds jobs to [BullMQ](https://docs.bullmq.io)'s queues
//! as its own `Queue.add` does, in one call of the store. Ordinary workers of BullMQ run them.
//!
//! # Check a configuration
//!
//! A [`Config`](config::Config) is what the Worker runs by: the `[vars.EDGE]` of its
//! `wrangler.toml`. Parsing it reports all that is wrong at once, and
//! [`Config::schema`](config::Config::schema) is the JSON Schema for editors.
//!
//! ```
//! use omnitrade_edge::config::Config;
//!
//! let wrong = r#"{
//!     "origin": "https://api.example.com",
//!     "limits": { "per-ip": { "by": "ip", "window": "60", "quota": 10 } },
//!     "default_limits": ["per-ip"]
//! }"#;
//! let error = wrong.parse::<Config>().unwrap_err();
//! assert!(error.problems().iter().any(|problem| problem.path == "limits.per-ip.window"));
//! ```
//!
//! # Trace
//!
//! With the feature `tracing`, each call of the store is a span `redis` of the target
//! `omnitrade_edge::redis`, and each further attempt an event in it. Its fields are those of
//! OpenTelemetry's [semantic conventions for Redis][conventions]:
//!
//! | field | what it holds |
//! |---|---|
//! | `db.system.name` | `redis` |
//! | `db.operation.name`, `otel.name` | the command; `PIPELINE` or `MULTI`, and what is run so |
//! | `db.operation.batch.size` | how many commands go together |
//! | `db.stored_procedure.name` | the digest of a script |
//! | `error.type` | the [code](error::ErrorKind::code) of an error |
//! | `db.response.status_code` | Redis's code, such as `WRONGTYPE` |
//! | `omnitrade_edge.attempts` | how many requests were sent |
//! | `omnitrade_edge.outcome` | `ok`, or the code of the error |
//! | `omnitrade_edge.may_have_run` | [`Error::may_have_run`](error::Error::may_have_run) |
//! | `omnitrade_edge.attempt` | of an event: which attempt failed |
//! | `omnitrade_edge.wait` | of an event: after how many seconds the next one follows |
//!
//! Events of `redis::TcpClient` tell when its connection is made, cannot be made, or is gone.
//!
//! Neither spans nor events hold an address, a token, a key, an argument, a value or the text of
//! an error.
//!
//! [conventions]: https://opentelemetry.io/docs/specs/semconv/db/redis/
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `reqwest` (default) | `shell::ReqwestTransport`; nothing on wasm32 |
//! | `fetch` (default) | `shell::FetchTransport`, over the platform's `fetch`; on wasm32 only |
//! | `redis-tcp` | `redis::TcpClient`, a client of any Redis or Valkey; nothing on wasm32 |
//! | `queue` | `queue::Queue`: jobs for BullMQ's workers, added over REST |
//! | `tower` | `tower::RateLimitLayer`: the limiter as a layer for axum, tonic, hyper and others |
//! | `axum` | `tower`, which finds the address of the client where axum puts it |
//! | `tracing` | a span for each call of the store, and what is worth a look |
//! | `tokio` (by `reqwest`) | tasks of tokio do what no request waits for; nothing on wasm32 |
//! | `cli` | the command line, for `cargo install omnitrade-edge --features cli` |
//! | `worker` | what the Worker is built from, on wasm32 only; not for other programs |
//!
//! # Versions
//!
//! Semantic versioning covers what these pages show. The crate makes some more items public for its
//! own command line, Worker, tests and benches; those are hidden here and can change in any
//! release. Types that will grow are `#[non_exhaustive]`. The oldest Rust that compiles the crate
//! is the `rust-version` of its manifest; raising it is no breaking change.

#![cfg_attr(docsrs, feature(doc_cfg))]
// Hidden are the modules below that only our own programs use. A feature for them would have to be
// on in every test, bench and build of ours, and would leave code without a caller when it is off.

// The layers from the top: each uses only those below it (tests/layering.rs). `limiter`,
// `cache` and `identity` do not know each other; `gateway` asks them in turn. `values` is for
// programs, as are `limiter::RateLimiter` and `queue::Queue`.

pub mod shell;

#[doc(hidden)]
pub mod gateway;

#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub mod tower;

#[doc(hidden)]
pub mod cache;
#[doc(hidden)]
pub mod identity;
pub mod limiter;
#[cfg(feature = "queue")]
#[cfg_attr(docsrs, doc(cfg(feature = "queue")))]
pub mod queue;
pub mod values;

#[doc(hidden)]
pub mod store;

#[doc(hidden)]
pub mod ops;

pub mod config;

#[doc(hidden)]
pub mod message;

#[doc(hidden)]
pub mod engine;

pub mod clock;
pub mod error;
pub mod redis;
mod trace;
pub mod transport;
