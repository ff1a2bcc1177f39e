//! What integration tests share: a real Redis, and `serve-redis` in front of it.
//!
//! Every server that is started here listens on a free port of the loopback interface, keeps its
//! files in its own directory, and ends when its value is dropped.

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

/// The longest wait for anything. It is long, because it is reached only if a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Calls `probe` again and again until it returns a value.
///
/// # Panics
///
/// If `probe` returns no value within [`PATIENCE`].
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

/// A directory that is removed when this value is dropped.
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

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // If the removal fails, the rest in the system's temporary directory does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
