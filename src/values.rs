//! A cache of values.

mod codec;
mod common;
mod entry;
mod flights;
mod get_or_set;
mod leader;
mod loading;
#[doc(hidden)]
pub mod machine;
mod spawner;
mod value_cache;

pub use entry::{Cached, Entry};
pub use get_or_set::GetOrSet;
pub use loading::Loading;
pub use value_cache::{Builder, ValueCache};
