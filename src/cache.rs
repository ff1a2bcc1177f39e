//! The cache, as a state machine for one request. It does no I/O.
//!
//! The machine applies the rules of RFC 9111 ([`engine::http_cache`](crate::engine::http_cache)) to
//! what this isolate remembers ([`CacheMemory`]) and to what the store replies. [`Phase`] shows the
//! phases that a request passes:
//!
//! 1. [`CacheRequest`] is what the request asks for; [`CachePlan`] is what its route allows.
//! 2. [`Lookup`] is what is known of the response so far: `recall` looks into the isolate, `ask`
//!    builds the query to the store, `decided` takes the store's reply, and `serve` gives an answer
//!    or a [`Miss`].
//! 3. [`Miss::join`] says whether the request goes to the origin or waits for another one that does
//!    ([`Place`]).
//! 4. [`Fetching`] is a request that has gone to the origin. `received` takes the head of the
//!    origin's answer and says what the client gets. If the response is to be stored, that includes
//!    a [`Fill`].
//! 5. [`Fill::finish`] stores the entry in the isolate and returns what to write to the store.

mod collapse;
mod failures;
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
mod refreshes;
mod request;
mod saves;
mod serve;
mod share;
mod single_flight;

pub use collapse::Place;
pub use failures::Failures;
pub use fetching::{Fetching, Miss};
pub use fill::Fill;
pub use insert::{InsertOptions, Inserted};
pub use lookup::{Epochs, Hit, Lookup};
pub use memory::CacheMemory;
pub use phase::Phase;
pub use plan::CachePlan;
pub use purge::{Purge, Purged};
pub use received::{IfKept, Received, Site};
pub use refreshes::{Calls, Turn};
pub use request::{CacheRequest, Change};
pub use serve::{DATA_AGE, Serve};
pub use share::InPlace;
pub use single_flight::{LONGEST_WAIT, NotStored};
