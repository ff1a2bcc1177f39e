//! An edge gate for HTTP APIs: sliding-window rate limits and a shared cache over Redis, reached
//! through Upstash's REST protocol, and local limits whenever Redis is gone.
//!
//! # Layers
//!
//! Each uses only those below it (`tests/layering.rs` holds the code to that).
//!
//! | layer | what it is |
//! |---|---|
//! | [`shell`] | the platforms: the Cloudflare Worker, `reqwest`. All input and output happens here |
//! | [`gateway`] | the sequence of limits, cache, store and origin, as a machine without I/O |
//! | [`limiter`] | what a request is counted against, in the store or without it |
//! | [`config`] | the grammar of the configuration, parsed once into valid types |
//! | [`engine`] | pure decisions: limits, breaker, routes, the cache's policy (RFC 9111) |
//! | [`redis`] | a client of Upstash's REST protocol over any transport |
//! | [`transport`] | the seam to the network |
//! | [`error`] | what can go wrong with the store, and what a caller may do about it |
//! | [`clock`] | time, always a parameter |
//!
//! # Features
//!
//! - `reqwest` (default): the HTTP client under the REST client, natively and on wasm.
//! - `worker`: the Cloudflare Worker; compiles to nothing but on wasm32.
//! - `npm`: the gate over the Fetch API without the Worker, for other bindings; compiles to nothing
//!   but on wasm32.
//! - `cli`: the command line `omnitrade-edge`.

pub mod clock;
pub mod config;
pub mod engine;
pub mod error;
pub mod gateway;
pub mod limiter;
pub mod redis;
pub mod shell;
pub mod transport;
