//! HTTP messages as the limiter and the cache see them: heads whose fields are read by name, bodies
//! as a shell holds them, the gate's own answers, and the request to the origin.

pub mod answer;
pub mod body;
pub mod forward;
pub mod head;
pub mod outbound;

pub use answer::{Answer, Content};
pub use body::{Body, BodyError};
pub use forward::{AsForwarded, Failure, Fetch};
pub use head::{Head, OriginHead};
pub use outbound::{Outbound, OutboundPlan};
