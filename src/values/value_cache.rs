//! The cache of values for Rust programs.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::value::{Content, Use};
use crate::error::{Error, ErrorKind};
use crate::redis::{Client, Place};
use crate::transport::{AnyThread, BoxFuture, Movable, SendTransport};

use super::codec::{self, Codec};
use super::common::{Common, OnError};
use super::entry::{Cached, Entry};
use super::get_or_set::{Call, GetOrSet};
use super::leader::{Load, Loader};
use super::loading::Loading;
use super::machine::Values;
use super::spawner::Hook;

/// A cache of values, in memory and in a store that processes share.
///
/// Any number of threads may use it at once, and it is cheap to clone: a clone is the same cache.
///
/// ```
/// use std::time::Duration;
/// use omnitrade_edge::values::{Entry, ValueCache};
/// # use omnitrade_edge::redis::Client;
/// # async fn fetch(id: &str) -> Result<String, std::io::Error> { Ok(id.to_owned()) }
///
/// # async fn example(redis: impl Client) -> Result<(), Box<dyn std::error::Error>> {
/// let cache = ValueCache::new(redis);
/// let entry = Entry::ttl(Duration::from_secs(30))
///     .stale_while_revalidate(Duration::from_secs(300))
///     .stale_if_error(Duration::from_secs(3600))
///     .tags(["profiles"]);
/// let profile: String = cache
///     .get_or_set("profile:7", &entry, || fetch("7"))
///     .await?;
/// cache.purge_tags(["profiles"]).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ValueCache {
    common: Arc<Common>,
    hook: Option<Hook>,
}

impl ValueCache {
    /// A cache over a store, with the settings of [`Builder`]'s defaults.
    pub fn new(redis: impl Client) -> Self {
        Builder::default().over(redis)
    }

    /// A cache in this process alone. Of `clock` only the time is used.
    pub fn local(clock: impl SendTransport) -> Self {
        Builder::default().local(clock)
    }

    /// Settings other than the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The same cache, whose work is handed to `spawn`: loads, and what no caller waits for.
    /// `spawn` must see to it that each future that it gets is polled to its end.
    ///
    /// It is not needed under tokio, which does that work without being asked. Elsewhere, unless
    /// this is set, callers do it themselves: they wait while a stale value is loaded anew, and
    /// until a new one is written.
    ///
    /// In a Worker, give each request such a cache, so that the platform goes on with the work when
    /// the response is sent or the client hangs up:
    ///
    /// ```text
    /// let cache = cache.on_work(move |work| context.wait_until(work));
    /// ```
    #[must_use]
    pub fn on_work(&self, spawn: impl Fn(BoxFuture<'static, ()>) + AnyThread + 'static) -> Self {
        Self {
            common: Arc::clone(&self.common),
            hook: Some(Arc::new(spawn)),
        }
    }

    /// The value under a key. If it is neither in memory nor in the store, it is loaded: by one
    /// caller for all, in this process and in all others over the same store. It is kept as `entry`
    /// says.
    ///
    /// A stale value is returned while it is loaded anew, and if it cannot be loaded, as long as
    /// `entry` allows. The store holds JSON. A stored value that is not of the type `T` is loaded
    /// anew; a value that has no JSON is returned and not kept.
    ///
    /// The load goes on if the caller is dropped. After [`load_timeout`](Builder::load_timeout)
    /// nobody but its caller waits for it, and what it brings is not kept; one that no caller waits
    /// for is dropped. It has no deadline otherwise: put one into it, for which its error has a
    /// word.
    ///
    /// # Errors
    ///
    /// Those of this caller's loader, unchanged; with [`share_errors`](GetOrSet::share_errors)
    /// also those of the caller who loads for all. A failure of the store is none.
    ///
    /// # Panics
    ///
    /// If the loader does.
    pub fn get_or_set<'a, T, E, F>(
        &'a self,
        key: &'a str,
        entry: &'a Entry,
        load: impl FnOnce() -> F + Movable + 'static,
    ) -> GetOrSet<'a, T, E>
    where
        T: Serialize + DeserializeOwned + Movable + 'static,
        E: Movable + 'static,
        F: Future<Output = Result<T, E>> + Movable + 'static,
    {
        let load: Load<T, E> = Box::new(|_| Box::pin(async { load().await }));
        self.sought(key, entry, Codec::JSON, load)
    }

    /// The same with a loader that is told of the stale value, and says how the new one is kept.
    ///
    /// # Errors
    ///
    /// As [`get_or_set`](Self::get_or_set).
    pub fn get_or_set_with<'a, T, E, F>(
        &'a self,
        key: &'a str,
        entry: &'a Entry,
        load: impl FnOnce(Loading<T>) -> F + Movable + 'static,
    ) -> GetOrSet<'a, T, E>
    where
        T: Serialize + DeserializeOwned + Movable + 'static,
        E: Movable + 'static,
        F: Future<Output = Result<T, E>> + Movable + 'static,
    {
        let load: Load<T, E> = Box::new(|loading| Box::pin(async { load(loading).await }));
        self.sought(key, entry, Codec::JSON, load)
    }

    /// The same for octets: a `Vec<u8>` or [`Bytes`], which are not JSON. The store holds them in
    /// base64; in memory, callers share them.
    ///
    /// # Errors
    ///
    /// As [`get_or_set`](Self::get_or_set).
    pub fn get_or_set_bytes<'a, B, E, F>(
        &'a self,
        key: &'a str,
        entry: &'a Entry,
        load: impl FnOnce(Loading<Bytes>) -> F + Movable + 'static,
    ) -> GetOrSet<'a, Bytes, E>
    where
        B: Into<Bytes>,
        E: Movable + 'static,
        F: Future<Output = Result<B, E>> + Movable + 'static,
    {
        let load: Load<Bytes, E> =
            Box::new(|loading| Box::pin(async { load(loading).await.map(Into::into) }));
        self.sought(key, entry, Codec::OCTETS, load)
    }

    fn sought<'a, T, E>(
        &'a self,
        key: &'a str,
        entry: &'a Entry,
        codec: Codec<T>,
        load: Load<T, E>,
    ) -> GetOrSet<'a, T, E> {
        let call = Call {
            common: &self.common,
            hook: self.hook.as_ref(),
            key,
            entry,
            codec,
        };
        GetOrSet::new(call, Loader { load, copy: None })
    }

    /// The value under a key, if there is one of the type `T` that is fresh, or stale and still of
    /// use. While the store fails, memory decides.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Option<Cached<T>> {
        self.found(key, codec::from_json).await
    }

    /// The same for octets.
    pub async fn get_bytes(&self, key: &str) -> Option<Cached<Bytes>> {
        self.found(key, codec::octets).await
    }

    async fn found<T>(&self, key: &str, decode: fn(&Content) -> Option<T>) -> Option<Cached<T>> {
        let common = &self.common;
        let mut found = common.recall(key);
        if found.is_none() && common.client().is_some() {
            found = common.read(key).await.unwrap_or_else(|memory| memory.found);
        }
        let found = found?;
        Some(Cached {
            value: decode(&found.entry.content)?,
            age: found.age,
            fresh: found.usable == Use::Fresh,
        })
    }

    /// Sets the value under a key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the value has no JSON or its tags are not allowed, else those of
    /// [`Client::command`]: then it is unknown whether the store has it.
    pub async fn set<T: Serialize + ?Sized>(
        &self,
        key: &str,
        value: &T,
        entry: &Entry,
    ) -> Result<(), Error> {
        let Some(content) = codec::to_json(value) else {
            let detail = "value: expected one that JSON can hold";
            return Err(Error::new(ErrorKind::Config, false, detail));
        };
        self.put(key, content, entry).await
    }

    /// The same for octets.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn set_bytes(&self, key: &str, value: &[u8], entry: &Entry) -> Result<(), Error> {
        self.put(key, codec::of_octets(value), entry).await
    }

    async fn put(&self, key: &str, content: Content, entry: &Entry) -> Result<(), Error> {
        let (common, rules) = (&self.common, entry.rules()?);
        let origin = common.origin(key, &rules.tags).await?;
        let now = common.now();
        let write = common.values().keep(key, content, &rules, origin, now);
        common.flights.purge(&[], &[key.to_owned()]);
        common.write(write).await
    }

    /// Forgets the value under a key: [`purge_keys`](Self::purge_keys) of one.
    ///
    /// # Errors
    ///
    /// As [`purge_keys`](Self::purge_keys).
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        self.purge_keys([key]).await
    }

    /// Forgets the values under these keys: here at once, in other processes within a second of the
    /// store's confirmation. What is loaded meanwhile, and was begun before, is not kept.
    ///
    /// # Errors
    ///
    /// Those of [`Client::pipeline`]: then other processes may still use the values.
    pub async fn purge_keys(
        &self,
        keys: impl IntoIterator<Item: Into<String>>,
    ) -> Result<(), Error> {
        let keys: Vec<_> = keys.into_iter().map(Into::into).collect();
        self.purge(&[], &keys).await
    }

    /// Forgets the values with at least one of these tags, in the same way.
    ///
    /// # Errors
    ///
    /// As [`purge_keys`](Self::purge_keys).
    pub async fn purge_tags(
        &self,
        tags: impl IntoIterator<Item: Into<String>>,
    ) -> Result<(), Error> {
        let tags: Vec<_> = tags.into_iter().map(Into::into).collect();
        self.purge(&tags, &[]).await
    }

    async fn purge(&self, tags: &[String], keys: &[String]) -> Result<(), Error> {
        let common = &self.common;
        let (number, writes) = common.values().purge(tags, keys);
        common.flights.purge(tags, keys);
        let _purging = Purging { common, number };
        common.write(writes).await
    }
}

/// A purge under way. It is over when this is dropped, even if nobody waits for it any more.
struct Purging<'a> {
    common: &'a Common,
    number: u64,
}

impl Drop for Purging<'_> {
    fn drop(&mut self) {
        self.common.values().purged(self.number);
    }
}

impl fmt::Debug for ValueCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueCache")
            .field("load_timeout", &self.common.load_timeout)
            .finish_non_exhaustive()
    }
}

/// The settings of a [`ValueCache`].
///
/// ```
/// use std::time::Duration;
/// use omnitrade_edge::values::ValueCache;
/// # use omnitrade_edge::redis::Client;
///
/// # fn example(redis: impl Client) {
/// let cache = ValueCache::builder()
///     .prefixed("shop")
///     .memory(64 << 20)
///     .load_timeout(Duration::from_secs(5))
///     .on_error(|error| eprintln!("the cache's store: {error}"))
///     .over(redis);
/// # }
/// ```
#[must_use]
pub struct Builder {
    prefix: String,
    memory: u64,
    load_timeout: Duration,
    on_error: Option<OnError>,
}

impl Builder {
    /// Sets the prefix of all key names in Redis; the default is `ot`. Caches of one prefix over
    /// one Redis share their values, also with those of the npm package.
    pub fn prefixed(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how many bytes values may take in memory; the default is 16 MiB. If there are more,
    /// those that are seldom used are forgotten. One that would take more than a quarter is not
    /// remembered.
    pub const fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// Sets how long a load is waited for, in this process and in others; the default is ten
    /// seconds, the least a millisecond.
    pub fn load_timeout(mut self, timeout: Duration) -> Self {
        self.load_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// Sets a function that is told of failures of the store, which fail no
    /// [`get_or_set`](ValueCache::get_or_set).
    pub fn on_error(mut self, tell: impl Fn(&Error) + AnyThread + 'static) -> Self {
        self.on_error = Some(Box::new(tell));
        self
    }

    /// The cache over a store.
    pub fn over(self, redis: impl Client) -> ValueCache {
        let timeout = redis.timeout();
        let seed = redis.random().to_bits() ^ redis.now().as_millis();
        self.at(Place::store(redis), Some(timeout), seed)
    }

    /// The cache in this process alone. Of `clock` only the time is used.
    pub fn local(self, clock: impl SendTransport) -> ValueCache {
        self.at(Place::process(clock), None, 0)
    }

    #[cfg_attr(
        target_arch = "wasm32",
        expect(clippy::arc_with_non_send_sync, reason = "there is one thread")
    )]
    fn at(self, place: Place, timeout: Option<Duration>, seed: u64) -> ValueCache {
        let Self {
            prefix,
            memory,
            load_timeout,
            on_error,
        } = self;
        let values = Values::new(&prefix, memory, timeout, load_timeout, seed)
            .reading_octets(codec::from_base64);
        ValueCache {
            common: Arc::new(Common::new(place, values, load_timeout, on_error)),
            hook: None,
        }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            prefix: "ot".to_owned(),
            memory: 16 << 20,
            load_timeout: Duration::from_secs(10),
            on_error: None,
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("prefix", &self.prefix)
            .field("memory", &self.memory)
            .field("load_timeout", &self.load_timeout)
            .finish_non_exhaustive()
    }
}
