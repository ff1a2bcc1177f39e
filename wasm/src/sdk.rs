//! The exports of the npm package's entry `.`: the limiter, the cache and the Redis client.

use wasm_bindgen::prelude::*;

/// The version of the package that this module was built for.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
