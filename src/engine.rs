//! The pure engine: no future, no clock, no store. What it needs to know it is told.

pub mod breaker;
pub mod http_cache;
pub mod limit;
pub mod proxy_names;
pub mod registry;
pub mod route;
pub mod subject;
pub mod url;
