//! The pure engine. It performs no I/O, uses no futures and reads neither a clock nor the store:
//! callers pass in everything that it needs to know.

pub mod breaker;
pub mod cors;
pub mod http_cache;
#[cfg(feature = "queue")]
pub mod job_id;
pub mod jwt;
pub mod limit;
pub mod limit_fields;
pub mod limit_problem;
pub mod location;
pub mod popular;
pub mod proxy_names;
pub mod recent;
pub mod registry;
pub mod route;
pub mod router;
pub mod sort;
pub mod subject;
pub mod url;
pub mod value;
