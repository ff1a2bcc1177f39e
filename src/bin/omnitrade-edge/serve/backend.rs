//! The one connection to Redis that all requests share, and its renewal.
//!
//! A connection is made if a request needs one, so the first request after an outage is served
//! again; there is no back-off. A broken connection is noticed at once, even while it is idle,
//! because its driver ends with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{AsyncConnectionConfig, ErrorKind, Pipeline, RedisError};
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::endpoint::Endpoint;
use super::lines::CleanLines;
use super::reply::Reply;
use super::wire::Command;

/// How long a request waits for a connection, whether it makes the connection itself or another
/// request does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The shared connection and what is needed to renew it.
pub struct Backend {
    endpoint: Endpoint,
    timeout: Duration,
    link: Mutex<Option<Link>>,
    /// Whether the last attempt to connect failed, so that an outage is logged once.
    down: AtomicBool,
}

/// Why Redis gave no replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// There is no connection: the commands were not sent.
    #[error("ERR Redis cannot be reached")]
    Unreachable,
    /// The connection broke: the commands may have run.
    #[error("ERR the connection to Redis broke, the command may have run")]
    Broken,
    /// Redis did not answer in time: the commands may have run, or may still run.
    #[error("ERR Redis did not answer in time, the command may have run")]
    TimedOut,
    /// The reply was not valid RESP.
    #[error("ERR Redis answered with what is not RESP")]
    Garbled,
}

/// The result of a transaction.
#[derive(Debug)]
pub enum Transaction {
    /// It ran; one reply for each command.
    Executed(Vec<Reply>),
    /// None of it ran; holds the error.
    Discarded(String),
}

#[derive(Clone)]
struct Link {
    connection: MultiplexedConnection,
    alive: Arc<AtomicBool>,
}

impl Backend {
    /// A backend that is not connected yet. `timeout` is how long Redis may take to answer one
    /// request.
    pub fn new(endpoint: Endpoint, timeout: Duration) -> Self {
        Self {
            endpoint,
            timeout,
            link: Mutex::new(None),
            down: AtomicBool::new(false),
        }
    }

    /// Tries to connect before the first request. The log says whether it could, and what to do if
    /// Redis is clustered.
    pub async fn warm_up(&self) {
        if self.link().await.is_err() {
            return;
        }
        let info = [vec![b"INFO".to_vec(), b"cluster".to_vec()]];
        // If Redis does not answer, or the user may not run INFO, nothing is known yet; requests
        // will show it.
        let told = tokio::time::timeout(CONNECT_TIMEOUT, self.run(&info)).await;
        if let Ok(Ok(replies)) = told
            && replies.iter().any(says_clustered)
        {
            warn!(
                "this Redis is clustered: it refuses scripts with keys of several slots (CROSSSLOT). \
                 Put the gate's `redis.key_prefix` in braces, `key_prefix = \"{{ot}}\"`: all its keys \
                 then lie in one slot. Serve the node that holds it, or what leads to all nodes"
            );
        }
    }

    /// Runs `commands` in order and returns one reply for each. Other requests' commands may run in
    /// between.
    pub async fn run(&self, commands: &[Command]) -> Result<Vec<Reply>, Outage> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(commands.len());
        append(&mut pipeline, commands);
        self.send(&pipeline).await
    }

    /// Runs `commands` as one transaction, with nothing in between.
    ///
    /// They are written to the connection in one piece with their MULTI and EXEC, so that no other
    /// request's commands can come between them.
    pub async fn transaction(&self, commands: &[Command]) -> Result<Transaction, Outage> {
        let mut pipeline = Pipeline::with_capacity(commands.len() + 2);
        pipeline.cmd("MULTI");
        append(&mut pipeline, commands);
        pipeline.cmd("EXEC");
        let mut replies = self.send(&pipeline).await?;
        match replies.pop() {
            Some(Reply::Array(replies)) if replies.len() == commands.len() => {
                Ok(Transaction::Executed(replies))
            }
            Some(Reply::Error(exec)) => Ok(Transaction::Discarded(discarded(&replies, exec))),
            _ => Err(Outage::Garbled),
        }
    }

    async fn send(&self, pipeline: &Pipeline) -> Result<Vec<Reply>, Outage> {
        let mut link = self.link().await?;
        let sent = link
            .connection
            .req_packed_commands(pipeline, 0, pipeline.len())
            .await;
        match sent {
            Ok(values) if values.len() == pipeline.len() => {
                Ok(values.into_iter().map(Reply::from).collect())
            }
            Ok(_) => {
                link.abandon();
                Err(Outage::Garbled)
            }
            Err(error) => {
                link.abandon();
                Err(outage(&error))
            }
        }
    }

    /// The connection; makes a new one if none works.
    async fn link(&self) -> Result<Link, Outage> {
        let link = async {
            let mut slot = self.link.lock().await;
            if let Some(link) = slot.as_ref().filter(|link| link.is_alive()) {
                return Ok(link.clone());
            }
            let link = self.connect().await.map_err(|error| error.to_string())?;
            Ok(slot.insert(link).clone())
        };
        let outcome = tokio::time::timeout(CONNECT_TIMEOUT, link).await;
        match outcome.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(link) => {
                self.down.store(false, Ordering::Relaxed);
                Ok(link)
            }
            Err(reason) => {
                if !self.down.swap(true, Ordering::Relaxed) {
                    warn!("cannot connect to Redis: {reason}");
                }
                Err(Outage::Unreachable)
            }
        }
    }

    async fn connect(&self) -> Result<Link, RedisError> {
        let stream = CleanLines::new(self.endpoint.connect().await?);
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(self.timeout));
        let (connection, driver) =
            MultiplexedConnection::new_with_config(self.endpoint.settings(), stream, config)
                .await?;
        let alive = Arc::new(AtomicBool::new(true));
        tokio::spawn({
            let alive = Arc::clone(&alive);
            async move {
                driver.await;
                if alive.swap(false, Ordering::Relaxed) {
                    warn!("the connection to Redis is gone");
                }
            }
        });
        info!("connected to Redis");
        Ok(Link { connection, alive })
    }
}

impl Link {
    fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    /// Drops the connection for later requests. Requests in flight on it keep their own handle.
    fn abandon(&self) {
        self.alive.store(false, Ordering::Relaxed);
    }
}

/// Whether `info`, the reply to `INFO cluster`, is that of a clustered Redis.
fn says_clustered(info: &Reply) -> bool {
    let Reply::Bulk(text) = info else {
        return false;
    };
    text.split(|b| *b == b'\n')
        .any(|line| line.trim_ascii() == b"cluster_enabled:1")
}

fn append(pipeline: &mut Pipeline, commands: &[Command]) {
    for command in commands {
        let mut packed = redis::Cmd::new();
        for argument in command {
            packed.arg(argument.as_slice());
        }
        pipeline.add_command(packed);
    }
}

/// Maps the driver's error, and logs its text unless that may quote data.
fn outage(error: &RedisError) -> Outage {
    if error.is_timeout() {
        warn!("no answer from Redis in time");
        Outage::TimedOut
    } else if error.kind() == ErrorKind::Parse {
        warn!("Redis answered with what is not RESP");
        Outage::Garbled
    } else {
        warn!("the connection to Redis broke: {error}");
        Outage::Broken
    }
}

/// EXEC's error. If it only says that there were previous errors, the first of these is added.
fn discarded(queued: &[Reply], exec: String) -> String {
    let reason = queued.iter().find_map(|reply| match reply {
        Reply::Error(text) => Some(text),
        _ => None,
    });
    match reason {
        Some(reason) if exec.contains("previous errors") => {
            format!("EXECABORT Transaction discarded because of: {reason}")
        }
        _ => exec,
    }
}
