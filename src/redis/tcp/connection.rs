//! The one connection that all calls share, and its renewal.
//!
//! A connection is made if a call needs one, so the first call after an outage is served again;
//! there is no back-off. A broken connection is noticed at once, even while it is idle, because its
//! driver ends with it. One that is silent is given up.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisConnectionInfo, RedisError, RedisResult};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::endpoint::Endpoint;
use super::greeting;
use super::lines::TooLong;
use super::pulse::Pulse;
use super::replies::Replies;
use crate::error::{Error, ErrorKind};

/// A connection that is made when it is needed, and made anew when it no longer works. Clones are
/// one.
#[derive(Clone)]
pub struct SharedConnection(Arc<Shared>);

/// How connections are made.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long it may take to make one.
    pub connect_timeout: Duration,
    /// How long one may be silent although something was sent.
    pub patience: Duration,
    /// The longest reply, in bytes.
    pub max_reply_bytes: usize,
}

/// What happens to the connection.
#[derive(Debug)]
pub enum Event<'a> {
    /// There is a new one. `warning` is what Redis says it cannot do at the moment.
    Made {
        /// Redis's words, translated.
        warning: Option<&'a str>,
    },
    /// None could be made.
    Failed(&'a Error),
    /// The one in use has ended.
    Lost,
}

struct Shared {
    endpoint: Endpoint,
    settings: Settings,
    tell: Box<dyn Fn(Event<'_>) + Send + Sync>,
    state: Mutex<State>,
}

/// What there is of a connection. The lock is never held while anything is waited for.
enum State {
    Absent,
    /// A task makes one, and tells its outcome to all who wait.
    Coming(watch::Receiver<Option<Result<Link, Error>>>),
    Ready(Link),
}

/// A connection in use.
#[derive(Clone)]
pub struct Link {
    connection: MultiplexedConnection,
    pulse: Pulse,
    /// Whether it may be used for further calls.
    alive: Arc<AtomicBool>,
    /// When the last clone is gone, nobody waits for a reply, and the driver ends.
    _driver: Arc<EndWithMe>,
}

struct EndWithMe(AbortHandle);

impl Drop for EndWithMe {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl SharedConnection {
    /// Nothing is connected yet. `tell` is called when something happens to the connection; it must
    /// not wait.
    pub fn new(
        endpoint: Endpoint,
        settings: Settings,
        tell: impl Fn(Event<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            endpoint,
            settings,
            tell: Box::new(tell),
            state: Mutex::new(State::Absent),
        }))
    }

    /// The connection; waits until there is one, if there is none that works. Whoever stops waiting
    /// keeps nobody else from getting it.
    ///
    /// # Errors
    ///
    /// Why none could be made. Nothing was carried out.
    pub async fn link(&self) -> Result<Link, Error> {
        let mut coming = {
            let mut state = self.0.state();
            match &*state {
                State::Ready(link) if link.serves(self.0.settings.patience) => {
                    return Ok(link.clone());
                }
                State::Coming(coming) if coming.has_changed().is_ok() => coming.clone(),
                _ => {
                    let (outcome, coming) = watch::channel(None);
                    *state = State::Coming(coming.clone());
                    tokio::spawn(Arc::clone(&self.0).make(outcome));
                    coming
                }
            }
        };
        // An error: the runtime has dropped the task.
        let outcome = coming.wait_for(Option::is_some).await;
        let outcome = outcome.ok().and_then(|outcome| outcome.clone());
        outcome.unwrap_or_else(|| {
            Err(Error::new(
                ErrorKind::Unreachable,
                false,
                "the connection was not made to the end",
            ))
        })
    }

    /// A new connection that is not shared.
    ///
    /// # Errors
    ///
    /// Why none could be made.
    pub async fn separate(&self) -> Result<Replies, Error> {
        let deadline = Instant::now() + self.0.settings.connect_timeout;
        let most = self.0.settings.max_reply_bytes;
        let greeted = greeting::connect(&self.0.endpoint, deadline, |stream| stream, most).await;
        if let Err(error) = &greeted {
            (self.0.tell)(Event::Failed(error));
        }
        Ok(greeted?.replies)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn make(self: Arc<Self>, outcome: watch::Sender<Option<Result<Link, Error>>>) {
        let link = self.connect().await;
        if let Err(error) = &link {
            (self.tell)(Event::Failed(error));
        }
        *self.state() = match &link {
            Ok(link) => State::Ready(link.clone()),
            Err(_) => State::Absent,
        };
        outcome.send_replace(Some(link));
    }

    async fn connect(self: &Arc<Self>) -> Result<Link, Error> {
        let deadline = Instant::now() + self.settings.connect_timeout;
        let pulse = Pulse::new();
        let watched = |stream| Box::new(pulse.watch(stream)) as _;
        let most = self.settings.max_reply_bytes;
        let greeted = greeting::connect(&self.endpoint, deadline, watched, most).await?;
        let link = timeout_at(deadline, self.share(greeted.replies, pulse)).await;
        let link = link.ok().flatten().ok_or_else(|| {
            let detail = "the connection ended while it was made";
            Error::new(ErrorKind::Unreachable, false, detail)
        })?;
        (self.tell)(Event::Made {
            warning: greeted.warning.as_deref(),
        });
        Ok(link)
    }

    /// Makes a connection one that calls can share. `None` if it has broken by now.
    async fn share(self: &Arc<Self>, replies: Replies, pulse: Pulse) -> Option<Link> {
        let stream = replies.into_stream()?;
        // Every call has a deadline of its own.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        // User, password and database were sent.
        let settings = RedisConnectionInfo::default()
            .set_protocol(redis::ProtocolVersion::RESP2)
            .set_lib_name(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let made = MultiplexedConnection::new_with_config(&settings, stream, config).await;
        let (connection, driver) = made.ok()?;
        let alive = Arc::new(AtomicBool::new(true));
        let ended = Ended {
            alive: Arc::clone(&alive),
            shared: Arc::downgrade(self),
        };
        let driver = tokio::spawn(async move {
            let _ended = ended;
            driver.await;
        });
        Some(Link {
            connection,
            pulse,
            alive,
            _driver: Arc::new(EndWithMe(driver.abort_handle())),
        })
    }
}

/// Goes with the driver of a connection, however that ends.
struct Ended {
    alive: Arc<AtomicBool>,
    shared: std::sync::Weak<Shared>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        // If it was given up before, that is known.
        let was_alive = self.alive.swap(false, Ordering::Relaxed);
        if let Some(shared) = self.shared.upgrade().filter(|_| was_alive) {
            (shared.tell)(Event::Lost);
        }
    }
}

impl Link {
    fn serves(&self, patience: Duration) -> bool {
        self.alive.load(Ordering::Relaxed) && self.pulse.silence() <= patience
    }

    /// Gives the connection up for later calls. Calls in flight on it go on.
    pub fn abandon(&self) {
        self.alive.store(false, Ordering::Relaxed);
    }

    /// How often something has come on the connection.
    pub fn beats(&self) -> u64 {
        self.pulse.beats()
    }

    /// Gives the connection up for later calls if nothing has come on it since there were so many
    /// [`beats`](Self::beats): for a call that has waited in vain.
    pub fn abandon_if_silent_since(&self, beats: u64) {
        if self.beats() == beats {
            self.abandon();
        }
    }

    /// Runs one command and returns its reply, which may be an error of Redis's.
    ///
    /// # Errors
    ///
    /// If there is no reply. The command may have run.
    pub async fn run(&mut self, command: &Cmd) -> Result<redis::Value, Error> {
        let reply = self.connection.send_packed_command(command).await;
        self.checked(reply, |reply| std::slice::from_ref(reply))
    }

    /// Runs commands in order, with none of others in between, and returns a reply for each.
    ///
    /// # Errors
    ///
    /// If there is not a reply for each. The commands may have run.
    pub async fn run_all(&mut self, commands: &Pipeline) -> Result<Vec<redis::Value>, Error> {
        let count = commands.len();
        let replies = self.connection.send_packed_commands(commands, 0, count);
        let replies = replies.await;
        let replies = self.checked(replies, Vec::as_slice)?;
        if replies.len() != count {
            self.abandon();
            return Err(Error::new(ErrorKind::Protocol, true, NOT_RESP));
        }
        Ok(replies)
    }

    fn checked<R>(
        &self,
        replies: RedisResult<R>,
        each: impl Fn(&R) -> &[redis::Value],
    ) -> Result<R, Error> {
        match replies {
            Ok(replies) => {
                if each(&replies).iter().any(is_of_a_replica) {
                    // After a failover this connection still leads to the former primary, and the
                    // address perhaps no longer does.
                    self.abandon();
                }
                Ok(replies)
            }
            Err(error) => {
                self.abandon();
                Err(failure(&error))
            }
        }
    }
}

/// Whether a write was refused because this Redis is a replica.
fn is_of_a_replica(reply: &redis::Value) -> bool {
    matches!(reply, redis::Value::ServerError(error) if error.code() == "READONLY")
}

/// What the driver's error means. Its own text may quote data.
fn failure(error: &RedisError) -> Error {
    if error.kind() == redis::ErrorKind::Parse {
        return Error::new(ErrorKind::Protocol, true, NOT_RESP);
    }
    // The driver keeps the stream's error within an `Arc`, which is an error too.
    let cause = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>())
        .and_then(|shared| shared.downcast_ref::<std::io::Error>())
        .and_then(std::io::Error::get_ref);
    if cause.is_some_and(|cause| cause.is::<TooLong>()) {
        let detail = "the reply is longer than `max_reply_bytes`";
        return Error::new(ErrorKind::TooLarge, true, detail);
    }
    let detail = "the connection broke before the reply was complete";
    Error::new(ErrorKind::Unreachable, true, detail)
}

const NOT_RESP: &str = "the reply is not RESP";

impl fmt::Debug for SharedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedConnection")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}
