//! What a gate counts of its own work: plain data that a shell reports to, and the text in which
//! Prometheus reads it.

mod counters;

pub use counters::Counters;
