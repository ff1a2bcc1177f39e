//! The place where a response says how new it is, as the configuration writes it:
//! `"json:timestamp"`, `"header:x-sequence"`.

use std::sync::Arc;

use serde::de::{Deserialize as _, Deserializer, Error as _};

use crate::engine::http_cache::VersionSource;

/// For `#[serde(deserialize_with)]` of an `Option`.
pub(super) fn optional<'de, D>(deserializer: D) -> Result<Option<Arc<VersionSource>>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    match VersionSource::parse(&text) {
        Some(source) => Ok(Some(Arc::new(source))),
        None => Err(D::Error::custom(
            "expected a version such as \"json:timestamp\"",
        )),
    }
}
