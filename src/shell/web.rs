//! The gate over the Fetch API, for any JavaScript runtime. Requests and responses are the
//! platform's own objects, and are touched as little as possible.

mod body;
mod examine;
mod head;
mod lines;
mod ops;
mod origin;
mod pipe;
mod platform;
mod prepared;
mod respond;
mod run;
mod task;
mod token;
mod told;

pub use ops::Outlets;
pub use platform::ExecutionContext;
pub use respond::respond;
pub use run::{Isolate, Store};
