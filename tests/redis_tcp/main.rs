//! The client of a Redis without REST, on a real Redis and on a real Valkey.
#![cfg(feature = "redis-tcp")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds nothing there should fail"
)]

#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "tracing")]
#[path = "../common/recorder.rs"]
mod recorder;

mod calls;
mod limiter;
mod outages;
mod own_client;
mod scripts;
mod secrets;
mod tls;
#[cfg(feature = "tracing")]
mod traces;

use std::time::Duration;

use omnitrade_edge::redis::{Command, TcpClient, TcpOptions};

use crate::common::PATIENCE;
use crate::common::redis::{RedisServer, SERVERS};

/// A server of each kind.
fn servers() -> impl Iterator<Item = RedisServer> {
    SERVERS
        .map(|program| RedisServer::start_program(program, &[]))
        .into_iter()
}

/// A client that waits as long as a test does.
fn client(server: &RedisServer) -> TcpClient {
    TcpClient::new(options(server).timeout(PATIENCE)).unwrap()
}

fn options(server: &RedisServer) -> TcpOptions {
    TcpOptions::new(server.url())
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn get(key: &str) -> Command {
    Command::new("GET").arg(key)
}

fn set(key: &str, value: &str) -> Command {
    Command::new("SET").arg(key).arg(value)
}

fn incr(key: &str) -> Command {
    Command::new("INCR").arg(key)
}
