//! One connection to Redis that all calls share, over TCP, TLS or a Unix socket: for
//! [`TcpClient`](super::TcpClient), and for `serve-redis`.
//!
//! [`endpoint`] reads the address and opens streams, [`greeting`] finds out whether Redis serves us
//! there, and [`connection`] holds what they have made, for as long as it works. Then the crate
//! `redis` sends commands and matches replies to them. Its connection manager is not used: it does
//! not tell a connection that could not be made, over which nothing was sent, from one that broke;
//! over RESP2 it notices only by a failed command that a connection has ended; it keeps a
//! connection that is silent, and one that was refused for its password it never makes again.

pub mod connection;
pub mod endpoint;
pub mod greeting;
pub mod guard;
mod lines;
mod pulse;
pub mod replies;
mod reply;
pub mod transaction;

pub use reply::{Reply, error_text};
