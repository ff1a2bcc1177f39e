//! What is written to the store after a response.

use std::sync::LazyLock;

use crate::engine::http_cache::CacheKey;
use crate::redis::Script;

use super::lua::script;

/// Writes an entry unless a newer one is there ([`Write::Keep`]). The call may be sent again.
pub static KEEP: LazyLock<Script> = LazyLock::new(|| Script::new(script!("keep.lua")).repeatable());

/// A command that writes to the store after a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// `SET key value PX ttl_ms`: an entry, or the mark that there will be none.
    Set {
        /// Its key.
        key: String,
        /// Its value.
        value: String,
        /// How long it is kept, in milliseconds.
        ttl_ms: u64,
    },
    /// A call of [`KEEP`], with an entry that says how new it is. The result is to be reported.
    Keep {
        /// The key of the entry in the isolate.
        entry: CacheKey,
        /// KEYS.
        keys: Vec<String>,
        /// ARGV, except for the last one, which says whether this may be a repeat.
        args: Vec<String>,
    },
    /// `DEL key…`: entries that may be outdated, or leases that are given back.
    Delete {
        /// Their keys.
        keys: Vec<String>,
    },
}

impl Write {
    /// Gives the lease with this key back.
    pub fn give_back(lease: String) -> Self {
        Self::Delete { keys: vec![lease] }
    }
}
