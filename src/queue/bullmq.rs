//! The versions of BullMQ, and their scripts.

use std::sync::LazyLock;

use crate::redis::Script;

/// Which major versions of BullMQ work on a queue.
///
/// The scripts of 5.81.3 are safe with the workers of 5 and of 6. Those of 6.7.0 are not safe with
/// 5: while a queue of 5 is paused they put jobs where its `resume` deletes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Bullmq {
    /// 5, 6, or both: jobs are stored as 5.81.3 stores them.
    #[default]
    Any,
    /// Only 5: jobs are stored as 5.81.3 stores them.
    V5,
    /// Only 6: jobs are stored as 6.7.0 stores them.
    V6,
}

/// How a job begins, which decides what script adds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Standard,
    Delayed,
    Prioritized,
}

impl Kind {
    /// The names of the keys that its script is given, in order.
    pub(crate) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Standard => &[
                "wait",
                "paused",
                "meta",
                "id",
                "completed",
                "delayed",
                "active",
                "events",
                "marker",
            ],
            Self::Delayed => &["marker", "meta", "id", "delayed", "completed", "events"],
            Self::Prioritized => &[
                "marker",
                "meta",
                "id",
                "prioritized",
                "delayed",
                "completed",
                "active",
                "events",
                "pc",
            ],
        }
    }
}

impl Bullmq {
    /// The script that adds a job of this kind.
    pub(crate) fn script(self, kind: Kind) -> &'static Script {
        match (self, kind) {
            (Self::Any | Self::V5, Kind::Standard) => &STANDARD_5,
            (Self::Any | Self::V5, Kind::Delayed) => &DELAYED_5,
            (Self::Any | Self::V5, Kind::Prioritized) => &PRIORITIZED_5,
            (Self::V6, Kind::Standard) => &STANDARD_6,
            (Self::V6, Kind::Delayed) => &DELAYED_6,
            (Self::V6, Kind::Prioritized) => &PRIORITIZED_6,
        }
    }
}

/// A script of BullMQ's, as `scripts/queue-scripts.mjs` made it.
macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| {
            Script::new(include_str!($file))
                .without_key_locking()
                .repeatable()
        })
    };
}

static STANDARD_5: LazyLock<Script> = script!("lua/bullmq-5/standard.lua");
static DELAYED_5: LazyLock<Script> = script!("lua/bullmq-5/delayed.lua");
static PRIORITIZED_5: LazyLock<Script> = script!("lua/bullmq-5/prioritized.lua");
static STANDARD_6: LazyLock<Script> = script!("lua/bullmq-6/standard.lua");
static DELAYED_6: LazyLock<Script> = script!("lua/bullmq-6/delayed.lua");
static PRIORITIZED_6: LazyLock<Script> = script!("lua/bullmq-6/prioritized.lua");
