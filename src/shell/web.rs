//! The gate over the Fetch API, in whichever JavaScript runtime: requests and responses are the
//! platform's own objects, touched as little as may be.

mod body;
mod head;
mod origin;
mod pipe;
mod platform;
mod respond;
mod run;

pub use platform::ExecutionContext;
pub use respond::respond;
pub use run::{Isolate, Store};
