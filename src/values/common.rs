//! What all clones of a cache have in common: what the process remembers, and the calls of the
//! store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::value::Rules;
use crate::error::Error;
use crate::redis::{Client, Command, Place, Value};
use crate::store::{ADMIT, Write};

use super::flights::Flights;
use super::machine::{Answer, Found, Origin, Peeked, Values};

/// One cache.
pub(super) struct Common {
    pub(super) place: Place,
    pub(super) flights: Arc<Flights>,
    /// How long a load is waited for.
    pub(super) load_timeout: Duration,
    on_error: Option<OnError>,
    /// It is never locked while a call waits.
    values: Mutex<Values>,
}

/// What is told of failures of the store.
#[cfg(not(target_arch = "wasm32"))]
pub(super) type OnError = Box<dyn Fn(&Error) + Send + Sync>;
#[cfg(target_arch = "wasm32")]
pub(super) type OnError = Box<dyn Fn(&Error)>;

/// How late a timer may be.
const GRACE: Duration = Duration::from_millis(100);

/// The most commands that are sent at once.
const MOST_AT_ONCE: usize = 1_000;

impl Common {
    pub(super) fn new(
        place: Place,
        values: Values,
        load_timeout: Duration,
        on_error: Option<OnError>,
    ) -> Self {
        Self {
            place,
            flights: Arc::default(),
            load_timeout,
            on_error,
            values: Mutex::new(values),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.place.now()
    }

    pub(super) fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when a load that begins now is waited for. The leader has told by then, unless it was
    /// stopped.
    pub(super) fn deadline(&self) -> Timestamp {
        let calls = self
            .client()
            .map_or(Duration::ZERO, |client| client.timeout() * 2);
        self.now() + self.load_timeout + calls + GRACE
    }

    /// What memory knows about a value, unless the store has to be asked.
    pub(super) fn recall(&self, key: &str) -> Option<Found> {
        let now = self.now();
        self.values().recall(key, now)
    }

    /// Asks the store about a value, and who is to load it: if `is_wanted`, even one that is fresh.
    /// With the answer comes the time at which the store was asked, if it has told.
    pub(super) async fn ask(
        &self,
        key: &str,
        tags: &[String],
        is_wanted: bool,
    ) -> (Answer, Option<Timestamp>) {
        let at = self.now();
        let asking = self.values().ask(key, tags, is_wanted, at);
        let (Some(client), Some(asking)) = (self.client(), asking) else {
            return (self.values().unasked(key, at), None);
        };
        let (keys, args) = (&asking.ask.keys, &asking.ask.args);
        let reply = client.script(&ADMIT, keys, args).await;
        if let Err(error) = &reply {
            self.failed(error);
        }
        let at = reply.is_ok().then_some(at);
        let now = self.now();
        (self.values().answered(&asking, reply, now), at)
    }

    /// Reads a value whatever its tags.
    ///
    /// # Errors
    ///
    /// What memory knows, if the store fails.
    pub(super) async fn read(&self, key: &str) -> Result<Option<Found>, Answer> {
        if let Some(found) = self.look(key).await {
            return Ok(found);
        }
        let now = self.now();
        Err(self.values().unasked(key, now))
    }

    /// `None` if the store fails.
    async fn look(&self, key: &str) -> Option<Option<Found>> {
        let now = self.now();
        let (keys, since) = {
            let mut values = self.values();
            if !values.allows(now) {
                return None;
            }
            (values.read(key), values.count())
        };
        let read = self.values_under(&keys).await.ok()?;
        let [text, own] = read.as_slice() else {
            return Some(None);
        };
        let peek = |of_tags: Option<&[Value]>| {
            let now = self.now();
            self.values().peeked(key, text, own, of_tags, since, now)
        };
        let keys = match peek(None) {
            Peeked::Tags(keys) => keys,
            Peeked::Found(found) => return Some(Some(found)),
            Peeked::Nothing => return Some(None),
        };
        let of_tags = self.values_under(&keys).await.ok()?;
        match peek(Some(&of_tags)) {
            Peeked::Found(found) => Some(Some(found)),
            Peeked::Tags(_) | Peeked::Nothing => Some(None),
        }
    }

    /// What is known of a value that is about to be made with these tags.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub(super) async fn origin(&self, key: &str, tags: &[String]) -> Result<Origin, Error> {
        let at = self.now();
        let (keys, since) = {
            let values = self.values();
            (values.epoch_keys(key, tags), values.count())
        };
        let mut epochs = None;
        if self.client().is_some() {
            epochs = Some(self.values_under(&keys).await?);
        }
        Ok(self.values().origin(epochs.as_deref(), tags, since, at))
    }

    /// The same while a value is made: if the store fails, the epochs are not known.
    pub(super) async fn late_origin(&self, key: &str, rules: &Rules) -> Origin {
        let at = self.now();
        match self.origin(key, &rules.tags).await {
            Ok(origin) => origin,
            Err(_) => self.values().origin(None, &rules.tags, 0, at),
        }
    }

    /// Carries out what was left to be written.
    ///
    /// # Errors
    ///
    /// The first one of the store.
    pub(super) async fn write(&self, writes: impl IntoIterator<Item = Write>) -> Result<(), Error> {
        let commands: Vec<_> = writes.into_iter().filter_map(command).collect();
        let mut outcome = Ok(());
        for some in commands.chunks(MOST_AT_ONCE) {
            let sent = self.send(some).await;
            if let Err(error) = &sent {
                self.failed(error);
            }
            let now = self.now();
            self.values().heard(sent.as_ref().err(), now);
            outcome = outcome.and(sent);
        }
        outcome
    }

    /// The same for who does not wait for it. Its failure is told.
    pub(super) async fn write_quietly(&self, write: Option<Write>) {
        let _ = self.write(write).await;
    }

    async fn send(&self, commands: &[Command]) -> Result<(), Error> {
        let Some(client) = self.client() else {
            return Ok(());
        };
        if let [command] = commands {
            return client.command(command).await.map(drop);
        }
        let replies = client.pipeline(commands).await?;
        replies.into_iter().try_for_each(|reply| reply.map(drop))
    }

    /// What lies under some keys.
    async fn values_under(&self, keys: &[String]) -> Result<Vec<Value>, Error> {
        let Some(client) = self.client() else {
            return Ok(Vec::new());
        };
        let reply = client.command(&Command::new("MGET").args(keys)).await;
        if let Err(error) = &reply {
            self.failed(error);
        }
        let now = self.now();
        self.values().heard(reply.as_ref().err(), now);
        Ok(reply?.into_array().unwrap_or_default())
    }

    pub(super) fn client(&self) -> Option<&dyn Client> {
        match &self.place {
            Place::Store(client) => Some(&**client),
            Place::Process(_) => None,
        }
    }

    pub(super) fn failed(&self, error: &Error) {
        if let Some(on_error) = &self.on_error {
            on_error(error);
        }
    }
}

fn command(write: Write) -> Option<Command> {
    match write {
        Write::Set { key, value, ttl_ms } => {
            let set = Command::new("SET").arg(&key).arg(&value);
            Some(set.arg("PX").arg(ttl_ms))
        }
        Write::Delete { keys } => Some(Command::new("DEL").args(&keys).idempotent(true)),
        // A cache of values has no others.
        Write::Keep { .. } => None,
    }
}
