//! Upstash's REST Redis protocol: a client over any [`Transport`](crate::transport::Transport).
//!
//! - [`Command`], [`Script`] and [`Arg`] describe a call, [`Value`] is its reply.
//! - [`RestClient`] sends calls. It has one deadline for a whole call, retries only what may run
//!   twice, bounds the size of replies, and its errors hold no secret and tell the caller what to
//!   do ([`ErrorKind`](crate::error::ErrorKind)).
//! - [`FromValue`] reads replies as types of Rust: `command_as`, `pipeline_as` and the like.
//! - [`Client`] is what a limiter or a cache needs of a store, over whatever it is reached.
//! - [`Options`] hold the store's address, given or from the environment, and the settings of a
//!   call.

mod arg;
mod call;
mod client;
mod command;
mod failure;
mod from_value;
mod http;
mod options;
mod place;
mod rest_client;
mod retry;
mod script;
mod value;
mod wire;

pub use arg::Arg;
pub use client::{Client, Shared};
pub use command::Command;
#[doc(hidden)]
pub use command::only_reads;
#[doc(hidden)]
pub use failure::{
    from_status_and_text as meaning_of_status, from_text as meaning_of, is_first_line_refusal,
};
pub use from_value::FromValue;
#[cfg(all(target_arch = "wasm32", feature = "fetch"))]
pub(crate) use http::SYNC_TOKEN;
pub use options::{Options, Token};
pub(crate) use place::Place;
pub use rest_client::RestClient;
pub use retry::RetryPolicy;
pub use script::Script;
pub use value::Value;
