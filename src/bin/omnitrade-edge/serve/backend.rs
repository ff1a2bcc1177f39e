//! The Redis behind the server: runs commands on the connection that all requests share, and logs
//! what happens to it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::redis::tcp::connection::{Event, Settings, SharedConnection};
use omnitrade_edge::redis::tcp::endpoint::Endpoint;
use omnitrade_edge::redis::tcp::replies::Replies;
use omnitrade_edge::redis::tcp::{Reply, transaction};
use redis::Pipeline;
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::wire::Command;

/// How long a request waits for a connection, whether it makes the connection itself or another
/// request does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The shared connection, and how long a request may take.
pub struct Backend {
    connection: SharedConnection,
    timeout: Duration,
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

impl Backend {
    /// A backend that is not connected yet. `timeout` is how long Redis may take to answer one
    /// request.
    pub fn new(endpoint: Endpoint, timeout: Duration) -> Self {
        let settings = Settings {
            connect_timeout: CONNECT_TIMEOUT,
            patience: timeout,
            // What Redis gives it is passed on, whatever its length.
            max_reply_bytes: usize::MAX,
        };
        let why_down = Mutex::new(None);
        let connection = SharedConnection::new(endpoint, settings, move |event| {
            let mut last = why_down.lock().unwrap_or_else(PoisonError::into_inner);
            log(&event, &mut last);
        });
        Self {
            connection,
            timeout,
        }
    }

    /// Tries to connect before the first request. The log says whether it could, and what to do if
    /// this Redis is clustered, a replica, or evicts keys.
    ///
    /// # Errors
    ///
    /// What is wrong and what to do, if Redis refuses the settings of the endpoint.
    pub async fn warm_up(&self) -> Result<(), String> {
        if let Err(error) = self.connection.link().await {
            return match is_refusal(&error) {
                true => Err(error.detail().to_owned()),
                false => Ok(()),
            };
        }
        let info = ["cluster", "replication", "memory"];
        let info = info.map(|section| vec![b"INFO".to_vec(), section.into()]);
        // If Redis does not answer, or the user may not run INFO, nothing is known yet; requests
        // will show it.
        let told = timeout(CONNECT_TIMEOUT, self.run(&info)).await;
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
        let replies = self.send(&pipeline).await?;
        Ok(replies.into_iter().map(Reply::from).collect())
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
        match transaction::outcome(self.send(&pipeline).await?) {
            Some(Ok(replies)) => {
                let replies = replies.into_iter().map(Reply::from);
                Ok(Transaction::Executed(replies.collect()))
            }
            Some(Err(discarded)) => Ok(Transaction::Discarded(discarded)),
            None => Err(Outage::Garbled),
        }
    }

    async fn send(&self, pipeline: &Pipeline) -> Result<Vec<redis::Value>, Outage> {
        let link = self.connection.link().await;
        let mut link = link.map_err(|error| not_sent(&error))?;
        let beats = link.beats();
        match timeout(self.timeout, link.run_all(pipeline)).await {
            Ok(replies) => replies.map_err(|error| {
                warn!("{}", error.detail());
                match error.kind() {
                    ErrorKind::Protocol => Outage::Garbled,
                    _ => Outage::Broken,
                }
            }),
            Err(_) => {
                warn!("no answer from Redis in time");
                link.abandon_if_silent_since(beats);
                Err(Outage::TimedOut)
            }
        }
    }

    /// A new connection that is not shared.
    pub async fn separate(&self) -> Result<Replies, Outage> {
        let replies = self.connection.separate().await;
        replies.map_err(|error| not_sent(&error))
    }
}

/// What a client is told if there is no connection.
fn not_sent(error: &Error) -> Outage {
    match is_refusal(error) {
        true => Outage::Refused(with_code(error.detail().to_owned())),
        false => Outage::Unreachable,
    }
}

/// Whether Redis serves nobody by these settings.
fn is_refusal(error: &Error) -> bool {
    error.kind().is_lasting()
}

/// Logs what happens to the connection; why there is none only if it is not the reason for which
/// there was none before.
fn log(event: &Event<'_>, why_down: &mut Option<Error>) {
    match event {
        Event::Made { warning } => {
            if let Some(warning) = warning {
                warn!("Redis is there and does not serve yet: {warning}");
            }
            info!("connected to Redis");
            *why_down = None;
        }
        Event::Failed(why) if why_down.as_ref() == Some(*why) => {}
        Event::Failed(why) => {
            match is_refusal(why) {
                true => error!("Redis refuses to serve: {}", why.detail()),
                false => warn!("cannot connect to Redis: {}", why.detail()),
            }
            *why_down = Some((*why).clone());
        }
        Event::Lost => warn!("the connection to Redis is gone"),
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
