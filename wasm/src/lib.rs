//! The JavaScript interface of `omnitrade-edge`: the exports of the WebAssembly module, and nothing
//! else.

#[cfg(all(target_arch = "wasm32", feature = "worker"))]
mod worker;
