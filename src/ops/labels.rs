//! The labels of metrics: fixed words, and names that the configuration gives.

use crate::engine::limit::Source;
use crate::error::ErrorKind;

/// Declares an enum whose variants are words of a label.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$of])* $variant,)* }

        impl $name {
            /// The words, in the order of the variants.
            pub const WORDS: [&'static str; [$($word),*].len()] = [$($word),*];

            /// Its place among the words.
            pub const fn place(self) -> usize {
                self as usize
            }
        }
    };
}

words! {
    /// How a request ended.
    Outcome {
        /// With an answer.
        Served = "served",
        /// A limit or the origin's quota refused it.
        Refused = "refused",
        /// Its client is held off, because it went on after refusals.
        Held = "held",
        /// With an answer, without the store or in place of an origin that failed.
        Degraded = "degraded",
        /// With a failure of the gate's own: the origin or the store failed.
        Error = "error",
    }
}

words! {
    /// What a limit decided.
    Decision {
        /// The request may pass.
        Admitted = "admitted",
        /// It is refused.
        Refused = "refused",
        /// It would be refused if the limit were enforced.
        ShadowRefused = "shadow_refused",
    }
}

words! {
    /// What a call of the store is for.
    StoreOp {
        /// A request's limits and entry, in one call of the script.
        Admit = "admit",
        /// Permits that are fetched ahead or come back, and costs that are corrected.
        Lease = "lease",
        /// An entry with a version is written.
        Keep = "keep",
        /// An entry is written.
        Set = "set",
        /// Entries or refresh leases are deleted.
        Delete = "del",
        /// A purge.
        Purge = "purge",
        /// A job is added to a queue.
        Job = "job",
    }
}

words! {
    /// The result of a call of the store.
    CallResult {
        /// A reply.
        Ok = "ok",
        /// None in time.
        Timeout = "timeout",
        /// No connection, or a server that cannot serve.
        Network = "network",
        /// The token is wrong, or lacks a right.
        Unauthorised = "unauthorised",
        /// The plan is used up.
        Quota = "quota",
        /// A reply that is none, or a command that Redis rejected.
        Protocol = "protocol",
    }
}

words! {
    /// What commands of the store were spent on.
    Purpose {
        /// Limits of requests.
        Limit = "limit",
        /// Entries of the cache.
        Cache = "cache",
        /// Permits that are fetched ahead or come back.
        Lease = "lease",
        /// Purges.
        Purge = "purge",
        /// Jobs that are added to queues.
        Queue = "queue",
    }
}

words! {
    /// The result of a request to the origin.
    OriginClass {
        /// A switch to another protocol.
        Informational = "1xx",
        /// Success.
        Success = "2xx",
        /// A redirection, or `304`.
        Redirection = "3xx",
        /// A client's fault.
        ClientError = "4xx",
        /// A fault of the origin's own.
        ServerError = "5xx",
        /// No answer.
        Failed = "failed",
        /// No answer in time.
        TimedOut = "timed_out",
    }
}

impl CallResult {
    /// That of a call that failed so.
    pub const fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::Unreachable | ErrorKind::Server => Self::Network,
            ErrorKind::Unauthorised | ErrorKind::Forbidden => Self::Unauthorised,
            ErrorKind::QuotaExhausted => Self::Quota,
            _ => Self::Protocol,
        }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS.get(self.place()).copied().unwrap_or_default()
    }
}

impl OriginClass {
    /// That of an answer with this status.
    pub const fn of(status: u16) -> Self {
        match status {
            0..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

/// The words of [`Source`], in the order of [`source_place`].
pub const SOURCES: [&str; 5] = ["redis", "lease", "local", "blocked", "none"];

/// The place of a source among [`SOURCES`].
pub const fn source_place(source: Source) -> usize {
    match source {
        Source::Redis => 0,
        Source::Lease => 1,
        Source::Local => 2,
        Source::Blocked => 3,
        Source::None => 4,
    }
}

/// The names of routes and limits, which metrics give as labels. Routes and limits are numbered by
/// their places here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// The paths of the routes; the first one stands for requests that no route claims.
    pub routes: Vec<String>,
    /// The names of the limits.
    pub limits: Vec<String>,
}

/// The label of requests that no route claims.
pub const UNCLAIMED: &str = "default";
