//! `ValueCache`, the cache of values for Rust programs, on a store that is the script's model, and
//! on a real Redis.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds nothing there should fail"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/model.rs"]
mod model;
#[path = "../admit/random.rs"]
mod random;

mod failures;
mod loaders;
mod no_runtime;
mod properties;
mod purges;
#[cfg(all(feature = "cli", feature = "reqwest"))]
mod real_redis;
mod single_flight;
#[cfg(all(feature = "cli", feature = "tracing"))]
mod spans;
mod stale;
mod stored;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use omnitrade_edge::values::Entry;

const MINUTE: Duration = Duration::from_secs(60);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn minute() -> Entry {
    Entry::ttl(MINUTE)
}

/// An error that cannot be copied.
#[derive(Debug, PartialEq, Eq)]
struct Down(u32);

/// Counts loads, and numbers them from 1.
#[derive(Clone, Default)]
struct Loads(Arc<AtomicU32>);

impl Loads {
    fn next(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    /// A loader that takes this long, and returns its number.
    fn take(
        &self,
        time: Duration,
    ) -> impl FnOnce() -> std::pin::Pin<Box<dyn Future<Output = Result<u32, Down>> + Send>>
    + Send
    + 'static {
        let loads = self.clone();
        move || {
            Box::pin(async move {
                let number = loads.next();
                tokio::time::sleep(time).await;
                Ok(number)
            })
        }
    }

    /// A loader that fails after this time.
    fn fail(
        &self,
        time: Duration,
    ) -> impl FnOnce() -> std::pin::Pin<Box<dyn Future<Output = Result<u32, Down>> + Send>>
    + Send
    + 'static {
        let loads = self.clone();
        move || {
            Box::pin(async move {
                let number = loads.next();
                tokio::time::sleep(time).await;
                Err(Down(number))
            })
        }
    }
}
