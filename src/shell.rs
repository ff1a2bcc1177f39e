//! The shells connect the engine to a platform. All input and output happens here.

#[cfg(feature = "reqwest")]
mod reqwest;

#[cfg(feature = "reqwest")]
pub use self::reqwest::ReqwestTransport;

#[cfg(all(target_arch = "wasm32", feature = "worker"))]
#[doc(hidden)]
pub mod web;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
#[doc(hidden)]
pub mod worker;
