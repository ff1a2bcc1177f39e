//! The cache: one request's way through it, as a machine without I/O.
//!
//! It decides by the rules of [`engine::http_cache`](crate::engine::http_cache) (RFC 9111), with what
//! this isolate remembers ([`CacheMemory`]) and what the store says. [`Phase`] draws the way of a
//! request:
//!
//! 1. [`CacheRequest`] is what is asked, [`CachePlan`] what the route says about it.
//! 2. [`Lookup`] is what is known of the response: `recall` looks into the isolate, `ask` fills a call
//!    of the store and `decided` takes its reply, `serve` answers or gives a [`Miss`].
//! 3. [`Miss::join`] says whether to go to the origin or to wait for another request that does
//!    ([`Place`]).
//! 4. [`Fetching`] is at the origin. `received` takes the head of the answer and gives what the client
//!    gets, and perhaps a [`Fill`].
//! 5. [`Fill::finish`] stores the entry and gives what to write to the store.

mod collapse;
mod fetching;
mod fill;
mod insert;
mod lookup;
mod memory;
mod phase;
mod plan;
mod purge;
mod received;
mod refresh;
mod request;
mod serve;
mod single_flight;

pub use collapse::Place;
pub use fetching::{Fetching, Miss};
pub use fill::Fill;
pub use insert::{InsertOptions, Inserted};
pub use lookup::{Epochs, Hit, Lookup};
pub use memory::CacheMemory;
pub use phase::Phase;
pub use plan::CachePlan;
pub use purge::{Purge, Purged};
pub use received::{IfKept, Received, Site};
pub use request::{CacheRequest, Change};
pub use serve::{DATA_AGE, Serve};
pub use single_flight::{LONGEST_WAIT, NotStored};
