//! The shells connect the engine to a platform. All input and output happens here.

#[cfg(all(not(target_arch = "wasm32"), feature = "reqwest"))]
mod reqwest;

#[cfg(all(not(target_arch = "wasm32"), feature = "reqwest"))]
pub use self::reqwest::ReqwestTransport;

#[cfg(all(target_arch = "wasm32", feature = "fetch"))]
mod callback;
#[cfg(all(target_arch = "wasm32", feature = "fetch"))]
mod fetch;

#[cfg(all(target_arch = "wasm32", feature = "fetch"))]
pub use self::fetch::FetchTransport;

#[cfg(all(target_arch = "wasm32", feature = "worker"))]
#[doc(hidden)]
pub mod web;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
#[doc(hidden)]
pub mod worker;
