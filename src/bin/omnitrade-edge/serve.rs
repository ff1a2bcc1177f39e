//! `serve-redis`: Upstash's REST protocol over any Redis.
//!
//! [`wire`] turns a request into commands, [`script`] adapts them, they run on the connection that
//! [`backend`] holds, and [`reply`] writes the result as JSON. [`mod@http`] calls these in turn.
//! [`events`] streams to a client what Redis sends unasked.

mod backend;
mod body;
mod events;
mod http;
mod reply;
mod script;
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use omnitrade_edge::redis::tcp::endpoint::Endpoint;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::Failure;
use backend::Backend;
use events::Streams;

/// How long requests may still take after the server was told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Serve Upstash's REST protocol over any Redis
///
/// Prints one line on stdout when it is ready: the address that it serves on. On SIGINT and
/// SIGTERM it finishes the requests in flight and stops. Ends with exit code 2 if Redis refuses
/// what --redis gives, such as the password; waits for a Redis that cannot be reached yet.
#[derive(clap::Args)]
pub struct Options {
    /// The Redis to serve: `redis://[user:password@]host[:port][/db]`, `rediss://…` for TLS, or
    /// `unix:///path`. Give a password through the environment, so that `ps` does not show it
    #[arg(
        long,
        env = "OMNITRADE_REDIS_URL",
        hide_env_values = true,
        default_value = "redis://127.0.0.1:6379"
    )]
    redis: String,
    /// Where to listen; port 0 takes a free one
    #[arg(long, env = "OMNITRADE_LISTEN", default_value = "127.0.0.1:8079", value_parser = host_and_port)]
    listen: String,
    /// The token that clients must send as `Authorization: Bearer …`. Better give it through the
    /// environment
    #[arg(long, env = "OMNITRADE_TOKEN", hide_env_values = true)]
    token: String,
    /// Seconds that one request may wait for Redis to answer
    #[arg(long, env = "OMNITRADE_REDIS_TIMEOUT", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    redis_timeout: u64,
    /// How many subscriptions and MONITORs may run at a time, each on a connection of its own to
    /// Redis
    #[arg(long, env = "OMNITRADE_MAX_STREAMS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    max_streams: u32,
}

/// Serves until it is told to stop.
pub fn run(options: Options) -> Result<(), Failure> {
    if options.token.is_empty() {
        return Err(Failure::Usage("--token must not be empty".into()));
    }
    let endpoint = Endpoint::parse(&options.redis)
        .map_err(|reason| Failure::Usage(format!("--redis: {reason}")))?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Runtime(format!("cannot start: {error}")))?
        .block_on(serve(options, endpoint))
}

async fn serve(options: Options, endpoint: Endpoint) -> Result<(), Failure> {
    let backend = Backend::new(endpoint, Duration::from_secs(options.redis_timeout));
    let cannot_listen =
        |error| Failure::Runtime(format!("cannot listen on {}: {error}", options.listen));
    let listener = TcpListener::bind(&options.listen)
        .await
        .map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    if !address.ip().is_loopback() {
        warn!("{address} is open to other machines, and this is plain HTTP: put TLS in front");
    }
    let stop = stop_signal();
    // The server starts even if Redis cannot be reached now: Redis may come up later. If Redis
    // refuses these settings, only the operator can change that, and an exit is noticed.
    backend
        .warm_up()
        .await
        .map_err(|why| Failure::Usage(format!("--redis: {why}")))?;
    announce(address);

    let streams = Streams::new(options.max_streams, stop.clone());
    let app = http::app(&options.token, backend, streams);
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            warn!("cannot set TCP_NODELAY: {error}");
        }
    });
    let server = axum::serve(listener, app).with_graceful_shutdown(stopped(stop.clone()));
    tokio::select! {
        result = server => {
            result.map_err(|error| Failure::Runtime(format!("the server failed: {error}")))
        }
        () = async { stopped(stop).await; tokio::time::sleep(GRACE).await } => {
            warn!("stopping with requests still in flight");
            Ok(())
        }
    }
}

/// Announces that the server is ready, in the only line that goes to stdout.
fn announce(address: SocketAddr) {
    let line = format!("serving Upstash's REST protocol on http://{address}\n");
    if let Err(error) = crate::print(&line) {
        warn!("cannot write to stdout: {error}; serving on http://{address}");
    }
}

/// Becomes true at the first SIGINT or SIGTERM.
fn stop_signal() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        terminated().await;
        info!("stopping");
        sender.send_replace(true);
        // The sender is kept, because a receiver would take its end for a signal.
        sender.closed().await;
    });
    receiver
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                () = interrupted() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(error) => {
            warn!("SIGTERM will not stop this gracefully: {error}");
            interrupted().await;
        }
    }
}

#[cfg(not(unix))]
async fn terminated() {
    interrupted().await;
}

async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        warn!("SIGINT will not stop this gracefully: {error}");
        std::future::pending::<()>().await;
    }
}

fn host_and_port(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(text.into()),
        _ => Err("expected host:port such as 127.0.0.1:8079".into()),
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("listen", &self.listen)
            .field("redis_timeout", &self.redis_timeout)
            .field("max_streams", &self.max_streams)
            .finish_non_exhaustive()
    }
}
