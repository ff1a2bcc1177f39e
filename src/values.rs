//! A cache of values for programs, in memory and in a store that processes share.
//!
//! [`ValueCache`] is the cache. [`Entry`] says how long a value is used, [`Cached`] is a value that
//! was found, [`Loading`] a load under way.
//!
//! # Whose turn it is to load
//!
//! One caller loads a value for all who want it: in a process, the others wait for it; among
//! processes, the store lends a refresh lease to one, and the others ask again until the value is
//! there. Nobody is held by a caller that is gone:
//!
//! - **It hangs up**: the load goes on in a task of tokio, or where
//!   [`on_work`](ValueCache::on_work) says. Elsewhere it ends, and one of those who wait takes
//!   over.
//! - **Its load fails or panics**: one of those who wait tries next, and if that fails too, the
//!   others load, each by itself. With [`share_errors`](GetOrSet::share_errors) all get the error
//!   at once. A panic is passed on to the loader's own caller alone.
//! - **Its load takes too long**: after [`load_timeout`](Builder::load_timeout) those who wait
//!   load, each by itself. The caller still gets what its loader brings.
//! - **Its process ends**: other processes wait until the lease ends, which is as long.
//!
//! On wasm32, those who wait look for the value by timers of their own, because a Worker's request
//! must not be woken by another one.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use std::time::Duration;
//!
//! # use omnitrade_edge::transport::SendTransport;
//! use omnitrade_edge::values::{Entry, ValueCache};
//!
//! # async fn example(clock: impl SendTransport) {
//! let cache = ValueCache::local(clock);
//! let (entry, loads) = (Entry::ttl(Duration::from_secs(60)), Arc::new(AtomicU32::new(0)));
//! let call = || {
//!     let loads = Arc::clone(&loads);
//!     cache.get_or_set("answer", &entry, || async move {
//!         loads.fetch_add(1, Ordering::SeqCst);
//!         Ok::<u32, std::io::Error>(42)
//!     })
//! };
//! let (one, other) = tokio::join!(call(), call());
//! assert_eq!((one.unwrap(), other.unwrap()), (42, 42));
//! assert_eq!(loads.load(Ordering::SeqCst), 1);
//! # }
//! # #[cfg(feature = "reqwest")]
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! #     example(omnitrade_edge::shell::ReqwestTransport::new().unwrap()).await
//! # });
//! ```
//!
//! # How old a value may be
//!
//! ```text
//! loaded        ttl                                        ttl + stale_if_error
//!   │   fresh    │ stale_while_revalidate: returned at once,  │
//!   ├────────────┤ and loaded anew in the background          │ never returned
//!   │            │ later: returned if it cannot be loaded     │
//! ```
//!
//! # Purges
//!
//! A purge of [keys](ValueCache::purge_keys) or [tags](ValueCache::purge_tags) takes one `SET` for
//! each. What a process remembers it believes for a second before it asks the store again, so a
//! purge is everywhere within a second. A value whose load began before is not kept, and no call
//! that begins later gets it.
//!
//! # If the store fails
//!
//! Values are loaded and kept in memory, which is believed meanwhile;
//! [`on_error`](Builder::on_error) hears of it. [`set`](ValueCache::set) and purges fail.
//!
//! # What it costs
//!
//! A hit in memory takes no command, a look into Redis two (`EVALSHA` and the `MGET` in it), a load
//! two more (the lease and the `SET`). Redis holds digests of the keys, never the keys; the values
//! are those of the npm package, which reads them and whose values are read.

// - `machine` is the cache without input or output, which the npm package drives by itself;
//   `purges` are what it remembers of purges.
// - `GetOrSet` is one call. If memory does not suffice, it waits for a flight or leads one.
// - `leader` sees to a value for all who wait; `flights` are what they wait for.
// - `spawner` knows who does work that a caller should not do alone.
// - `common` is what clones of a cache share, and makes the calls of the store.
mod codec;
mod common;
mod entry;
mod flights;
mod get_or_set;
mod leader;
mod loading;
#[doc(hidden)]
pub mod machine;
mod purges;
mod spawner;
mod value_cache;

pub use entry::{Cached, Entry};
pub use get_or_set::GetOrSet;
pub use loading::Loading;
pub use value_cache::{Builder, ValueCache};
