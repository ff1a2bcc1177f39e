//! The JavaScript interface of `omnitrade-edge`: the exports of the WebAssembly module, and nothing
//! else.

#[cfg(all(target_arch = "wasm32", feature = "panics"))]
#[allow(clippy::panic, reason = "that is what it is for")]
mod panics;
#[cfg(all(target_arch = "wasm32", feature = "sdk"))]
mod sdk;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
mod worker;

/// Of the npm package's smaller module. The standard library's would make it 3 kB larger.
#[cfg(all(target_arch = "wasm32", feature = "sdk"))]
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();
