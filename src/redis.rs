//! Clients of Redis: over Upstash's REST protocol and any
//! [`Transport`](crate::transport::Transport), and, with the feature `redis-tcp`, over a connection
//! of Redis's own protocol.
//!
//! - [`Command`], [`Script`] and [`Arg`] describe a call, [`Value`] is its reply.
//! - [`RestClient`] sends calls. It has one deadline for a whole call, retries only what may run
//!   twice, bounds the size of replies, and its errors hold no secret and tell the caller what to
//!   do ([`ErrorKind`](crate::error::ErrorKind)).
//! - [`FromValue`] reads replies as types of Rust: `command_as`, `pipeline_as` and the like.
//! - `TcpClient` makes the same promises over a connection that all calls share. It connects when
//!   it is first asked, and anew after the connection broke.
//! - [`Client`] is what a limiter or a cache needs of a store, over whatever it is reached.
//! - [`Options`] hold the store's address, given or from the environment, and the settings of a
//!   call; those of a `TcpClient` are its `TcpOptions`.

mod arg;
mod call;
mod client;
mod command;
mod failure;
mod from_value;
mod http;
mod options;
mod place;
#[cfg(all(not(target_arch = "wasm32"), feature = "redis-tcp"))]
mod resp;
mod rest_client;
mod retry;
mod script;
#[cfg(all(not(target_arch = "wasm32"), feature = "redis-tcp"))]
#[doc(hidden)]
pub mod tcp;
#[cfg(all(not(target_arch = "wasm32"), feature = "redis-tcp"))]
mod tcp_client;
#[cfg(all(not(target_arch = "wasm32"), feature = "redis-tcp"))]
mod tcp_options;
mod value;
mod wire;

pub use arg::Arg;
pub use client::{Client, Shared};
pub use command::Command;
#[doc(hidden)]
pub use command::only_reads;
pub use failure::from_text as error_of_reply;
#[doc(hidden)]
pub use failure::{from_status_and_text as meaning_of_status, is_first_line_refusal};
pub use from_value::FromValue;
#[cfg(all(target_arch = "wasm32", feature = "fetch"))]
pub(crate) use http::SYNC_TOKEN;
pub use options::{Options, Token};
pub(crate) use place::Place;
pub use rest_client::RestClient;
pub use retry::RetryPolicy;
pub use script::Script;
#[cfg(all(not(target_arch = "wasm32"), feature = "redis-tcp"))]
pub use tcp_client::TcpClient;
#[cfg(all(not(target_arch = "wasm32"), feature = "redis-tcp"))]
pub use tcp_options::TcpOptions;
pub use value::Value;
