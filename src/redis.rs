//! Upstash's REST Redis protocol: a client over any [`Transport`](crate::transport::Transport).
//!
//! - [`Command`], [`Script`] and [`Arg`] are what is asked, [`Value`] is what comes back.
//! - [`RestClient`] sends them: one deadline for a whole call, retries only of what may run twice,
//!   replies of bounded size, and errors that say what to do
//!   ([`ErrorKind`](crate::error::ErrorKind)) and hold no secret.
//! - [`Options`] say where and how.

mod arg;
mod client;
mod command;
mod failure;
mod options;
mod retry;
mod script;
mod value;
mod wire;

pub use arg::Arg;
pub use client::RestClient;
pub use command::Command;
pub use options::{Options, Token};
pub use retry::RetryPolicy;
pub use script::Script;
pub use value::Value;
