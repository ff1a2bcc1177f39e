//! What integration tests share: a real Redis, and `serve-redis` in front of it.
//!
//! Everything started here listens on a free port of the loopback interface, keeps its files in a
//! directory of its own, and is gone when the value that stands for it is dropped.

#![allow(dead_code, reason = "every test binary uses its own part of this")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests run natively, and a helper that fails should stop the test"
)]

pub mod redis;
#[cfg(feature = "cli")]
pub mod rest;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything is waited for. Generous: it is reached only when a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks `probe` over and over until it gives a value.
///
/// # Panics
///
/// When it gives none for [`PATIENCE`].
#[track_caller]
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A directory that goes with this value.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// A new, empty directory.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "omnitrade-edge-test-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a directory for the test's files");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // What is left behind in the system's temporary directory does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
