//! The one connection to Redis that all requests share, and its renewal.
//!
//! A connection is made if a request needs one, so the first request after an outage is served
//! again; there is no back-off. A broken connection is noticed at once, even while it is idle,
//! because its driver ends with it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{AsyncConnectionConfig, ErrorKind, Pipeline, RedisConnectionInfo, RedisError};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

use super::endpoint::Endpoint;
use super::greeting::{self, NoConnection};
use super::replies::Replies;
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
    /// Why the last attempt to connect failed, so that each reason is logged once while it lasts.
    why_down: std::sync::Mutex<Option<NoConnection>>,
}

/// Why Redis gave no replies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// There is no connection: the commands were not sent.
    #[error("ERR Redis cannot be reached")]
    Unreachable,
    /// There is no connection, because Redis refuses it: the commands were not sent. What is wrong
    /// and what to do, behind Redis's code or `ERR`.
    #[error("{0}")]
    Refused(String),
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
            why_down: std::sync::Mutex::new(None),
        }
    }

    /// Tries to connect before the first request. The log says whether it could, and what to do if
    /// this Redis is clustered, a replica, or evicts keys.
    ///
    /// # Errors
    ///
    /// What is wrong and what to do, if Redis refuses the settings of the endpoint.
    pub async fn warm_up(&self) -> Result<(), String> {
        match self.link().await {
            Ok(_) => {}
            Err(NoConnection::Refused(why)) => return Err(why),
            Err(why) => {
                self.log(Some(&why));
                return Ok(());
            }
        }
        let info = ["cluster", "replication", "memory"];
        let info = info.map(|section| vec![b"INFO".to_vec(), section.into()]);
        // If Redis does not answer, or the user may not run INFO, nothing is known yet; requests
        // will show it.
        let told = tokio::time::timeout(CONNECT_TIMEOUT, self.run(&info)).await;
        let told = told.ok().and_then(Result::ok).unwrap_or_default();
        let says = |line: &str| told.iter().any(|info| has_line(info, line));
        if says("cluster_enabled:1") {
            warn!(
                "this Redis is clustered: it refuses scripts with keys of several slots (CROSSSLOT). \
                 Put the gate's `redis.key_prefix` in braces, `key_prefix = \"{{ot}}\"`: all its keys \
                 then lie in one slot. Serve the node that holds it, or what leads to all nodes"
            );
        }
        if says("role:slave") {
            warn!("this Redis is a replica: it takes no writes (READONLY). Serve the primary");
        }
        if !says("maxmemory:0") && !told.is_empty() && !says("maxmemory_policy:noeviction") {
            warn!(
                "this Redis evicts keys when its memory is full, and a limit whose key is evicted counts \
                 from nothing. Set `maxmemory-policy noeviction`, and `maxmemory` high enough"
            );
        }
        Ok(())
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
        let mut link = self.link().await.map_err(|why| self.outage(why))?;
        let sent = link
            .connection
            .req_packed_commands(pipeline, 0, pipeline.len())
            .await;
        match sent {
            Ok(values) if values.len() == pipeline.len() => {
                let replies: Vec<_> = values.into_iter().map(Reply::from).collect();
                if replies.iter().any(is_of_a_replica) {
                    // After a failover this connection still leads to the former primary, and the
                    // address perhaps no longer does.
                    link.abandon();
                }
                Ok(replies)
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
    async fn link(&self) -> Result<Link, NoConnection> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let late = || NoConnection::Unreachable("no connection in time".into());
        let slot = timeout_at(deadline, self.link.lock()).await;
        let mut slot = slot.map_err(|_| late())?;
        if let Some(link) = slot.as_ref().filter(|link| link.is_alive()) {
            return Ok(link.clone());
        }
        let greeted = greeting::connect(&self.endpoint, deadline).await?;
        if let Some(warning) = greeted.warning {
            warn!("Redis is there and does not serve yet: {warning}");
        }
        let link = timeout_at(deadline, self.share(greeted.replies)).await;
        let link = link.ok().flatten().ok_or_else(late)?;
        self.log(None);
        Ok(slot.insert(link).clone())
    }

    /// A new connection that is not shared.
    pub async fn separate(&self) -> Result<Replies, Outage> {
        let greeted = greeting::connect(&self.endpoint, Instant::now() + CONNECT_TIMEOUT).await;
        Ok(greeted.map_err(|why| self.outage(why))?.replies)
    }

    /// Logs why there is no connection, and returns what a client is told.
    fn outage(&self, why: NoConnection) -> Outage {
        self.log(Some(&why));
        match why {
            NoConnection::Unreachable(_) => Outage::Unreachable,
            NoConnection::Refused(why) => Outage::Refused(with_code(why)),
        }
    }

    /// Logs why there is no connection, unless that was the reason the last time; `None`: there is
    /// one.
    fn log(&self, why: Option<&NoConnection>) {
        let mut last = self.why_down.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != why {
            match why {
                Some(NoConnection::Unreachable(why)) => warn!("cannot connect to Redis: {why}"),
                Some(NoConnection::Refused(why)) => error!("Redis refuses to serve: {why}"),
                None => {}
            }
            *last = why.cloned();
        }
    }

    /// Makes a connection one that requests can share. `None` if it has broken by now.
    async fn share(&self, replies: Replies) -> Option<Link> {
        let stream = replies.into_stream()?;
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(self.timeout));
        // User, password and database were sent.
        let settings = RedisConnectionInfo::default()
            .set_protocol(redis::ProtocolVersion::RESP2)
            .set_lib_name(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let made = MultiplexedConnection::new_with_config(&settings, stream, config).await;
        let (connection, driver) = made.ok()?;
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
        Some(Link { connection, alive })
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

/// Whether a section of `INFO` has this line.
fn has_line(info: &Reply, wanted: &str) -> bool {
    let Reply::Bulk(text) = info else {
        return false;
    };
    text.split(|b| *b == b'\n')
        .any(|line| line.trim_ascii() == wanted.as_bytes())
}

/// Whether a write was refused because this Redis is a replica.
fn is_of_a_replica(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with("READONLY"))
}

/// The text with `ERR` before it, unless it begins with a code of Redis's.
fn with_code(text: String) -> String {
    let word = text.split([' ', ',']).next().unwrap_or_default();
    match word.len() > 1 && word.bytes().all(|b| b.is_ascii_uppercase()) {
        true => text,
        false => format!("ERR {text}"),
    }
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
