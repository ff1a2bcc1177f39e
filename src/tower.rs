//! A layer that limits a service of the tower ecosystem: axum, tonic, hyper and others.
//!
//! # axum
//!
//! Three lines limit an axum application, in all of its processes together: a client of the store,
//! a limiter, a layer. With the feature `axum`, [`PeerIp`] finds the address of the client where
//! axum puts it.
//!
#![cfg_attr(all(feature = "axum", feature = "reqwest"), doc = "```no_run")]
#![cfg_attr(not(all(feature = "axum", feature = "reqwest")), doc = "```ignore")]
//! use std::net::SocketAddr;
//! use std::time::Duration;
//!
//! use axum::{Router, routing::get};
//! use http::StatusCode;
//! use omnitrade_edge::limiter::{RateLimiter, Rule};
//! use omnitrade_edge::redis::RestClient;
//! use omnitrade_edge::tower::{Header, PeerIp, RateLimitLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! const MINUTE: Duration = Duration::from_secs(60);
//!
//! let redis = RestClient::from_env()?;
//! let per_user = RateLimiter::new(redis, Rule::new(100, MINUTE).named("per-user").leased());
//! let app = Router::new().route("/book", get(async || "a book")).layer(
//!     RateLimitLayer::new(per_user)
//!         .key(Header("x-api-key").or(PeerIp::v6_prefix(64)))
//!         .refund_on(StatusCode::is_server_error),
//! );
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # tonic
//!
//! A call of gRPC that is refused gets the status `RESOURCE_EXHAUSTED`, and the limits as metadata.
//! tonic puts the address of the client into a type of its own:
//!
//! ```
//! # use omnitrade_edge::limiter::RateLimiter;
//! # fn example(per_user: RateLimiter) {
//! use omnitrade_edge::tower::{PeerIp, RateLimitLayer};
//! use tonic::transport::Server;
//! use tonic::transport::server::TcpConnectInfo;
//!
//! let peer = PeerIp::v6_prefix(64)
//!     .from_extension(|info: &TcpConnectInfo| Some(info.remote_addr()?.ip()));
//! let server = Server::builder().layer(RateLimitLayer::new(per_user).key(peer));
//! # }
//! ```
//!
//! # hyper and others
//!
//! [`RateLimitLayer`] wraps any `tower::Service` of `http::Request` whose responses are
//! `http::Response`, whatever the body: [`Body`] is that of the service or that of a refusal. For
//! [`PeerIp`], put the address of the peer, a `SocketAddr`, into the extensions of each request.
//!
//! # What a request may rely on
//!
//! - It never fails because of the limits: while the store does, they are local, and
//!   [`Rule::on_failure`](crate::limiter::Rule::on_failure) says what else can happen. A request
//!   without a key shares one quota with all others that have none.
//! - It waits for the store at most as long as the store's client allows, and not at all if memory
//!   suffices: if permits were fetched ahead ([`Rule::leased`](crate::limiter::Rule::leased)), or
//!   if an earlier refusal still applies.
//! - What is left to do after it, a task does, if tokio runs; else its response waits for that.
mod body;
mod fields;
mod future;
mod key;
mod layer;
mod peer_ip;
mod refusal;
mod service;
mod settings;
mod warning;

pub use body::Body;
pub use future::ResponseFuture;
pub use key::{FromExtension, Header, Key, Or};
pub use layer::RateLimitLayer;
pub use peer_ip::PeerIp;
pub use refusal::Refusal;
pub use service::RateLimit;

// A type of the signatures above, from a module that is hidden.
#[doc(inline)]
pub use crate::engine::limit_fields::Style;
