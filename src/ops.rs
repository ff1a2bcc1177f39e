//! What one isolate knows of its own work: counters, what happened of late, and what changed. It is
//! plain data that the gate reports to; nothing here asks the store.

mod alerts;
mod calls;
mod counts;
mod events;
mod fleet;
mod histogram;
mod labels;
mod page;
mod points;
mod prometheus;
mod recent;
mod refused;
mod report;
mod stats;
mod store_seen;

pub use alerts::{Alert, is_webhook};
pub use calls::Waits;
pub use counts::Counts;
pub use events::{Event, Events};
pub use fleet::{Fleet, Present};
pub use labels::{CallResult, Decision, Labels, OriginClass, Outcome, Purpose, StoreOp, UNCLAIMED};
pub use page::Page;
pub use points::{Point, Points};
pub use prometheus::Gauges;
pub use report::{LimitSeen, Ops, Tally};
pub use store_seen::StoreSeen;
