//! Random traces. A trace that breaks a promise is printed with its seed, and `SEED=… cargo test …`
//! repeats it. `TIMES=20` runs twenty times as many.

use std::hash::{BuildHasher as _, RandomState};

use proptest::prelude::*;
use proptest::test_runner::{
    Config, FileFailurePersistence, RngAlgorithm, TestCaseResult, TestRng, TestRunner,
};

/// Asserts that a promise holds for `cases` random values.
#[track_caller]
pub fn assert_holds<S: Strategy>(
    cases: u32,
    values: &S,
    promise: impl Fn(S::Value) -> TestCaseResult,
) {
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let seed = number("SEED").unwrap_or_else(|| RandomState::new().hash_one(cases));
    let times = u32::try_from(number("TIMES").unwrap_or(1)).unwrap();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config {
        cases: cases * times,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        // Each try runs a trace on a real Redis.
        max_shrink_iters: 5_000,
        ..Config::default()
    };
    let outcome = TestRunner::new_with_rng(config, rng).run(values, promise);
    outcome.unwrap_or_else(|failure| panic!("SEED={seed}: {failure}"));
}
