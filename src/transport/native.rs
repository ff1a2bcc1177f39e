//! The time and the randomness of native programs.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::clock::{Timestamp, millis};

/// The system's time.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place where native time is read"
)]
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(millis(since_epoch))
}

/// A number in `[0, 1)`. The standard library seeds each of its hashers at random, which is random
/// enough to spread retries.
pub(crate) fn random() -> f64 {
    const BITS: u32 = 53;
    let number = RandomState::new().hash_one(()) >> (u64::BITS - BITS);
    number as f64 / (1u64 << BITS) as f64
}
