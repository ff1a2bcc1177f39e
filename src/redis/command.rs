//! A command, written as JSON while it is built.

use std::fmt;

use super::arg::Arg;
use super::wire;

/// One Redis command: its name and its arguments.
///
/// ```
/// use omnitrade_edge::redis::Command;
///
/// let set = Command::new("SET").arg("key").arg(5).arg("PX").arg(60_000);
/// assert!(!set.is_idempotent());
/// assert!(Command::new("mget").args(["a", "b"]).is_idempotent());
/// assert_eq!(format!("{set:?}"), r#"Command { name: "SET", args: 4, idempotent: false }"#);
/// ```
#[derive(Clone)]
pub struct Command {
    /// The JSON array, without its closing bracket.
    open_json: Vec<u8>,
    name: Box<str>,
    args: usize,
    idempotent: bool,
}

impl Command {
    /// A command without arguments.
    ///
    /// It counts as idempotent, and may be sent again after a failure, if it only reads: `GET`,
    /// `MGET`, `EXISTS`, `TTL`, `TIME`, `PING` and similar commands. `SET` is not idempotent in
    /// this sense: a repeat may overwrite what another client has written in between. See
    /// [`Command::idempotent`].
    pub fn new(name: &str) -> Self {
        let mut open_json = Vec::with_capacity(64);
        open_json.push(b'[');
        wire::push_str(&mut open_json, name);
        Self {
            open_json,
            name: name.into(),
            args: 0,
            idempotent: only_reads(name),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg<'a>(mut self, arg: impl Into<Arg<'a>>) -> Self {
        self.open_json.push(b',');
        wire::push_arg(&mut self.open_json, arg.into());
        self.args += 1;
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<'a>(self, args: impl IntoIterator<Item: Into<Arg<'a>>>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// Sets whether the command may run twice without harm, overriding the built-in list.
    #[must_use]
    pub const fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// Whether the command may be sent again if it may have run already.
    pub const fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// The command's name, as given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name and the arguments, as Redis's own protocol takes them. For a
    /// [`Client`](super::Client) of your own.
    ///
    /// ```
    /// use omnitrade_edge::redis::Command;
    ///
    /// let words = Command::new("SET").arg("naïve \"key\"").arg(5).words();
    /// assert_eq!(words, ["SET", "naïve \"key\"", "5"]);
    /// ```
    pub fn words(&self) -> Vec<String> {
        wire::words(&self.open_json)
    }

    /// The JSON array, without its closing bracket.
    pub(super) fn open_json(&self) -> &[u8] {
        &self.open_json
    }
}

/// Shows the name and the number of the arguments, not the arguments.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("name", &self.name)
            .field("args", &self.args)
            .field("idempotent", &self.idempotent)
            .finish()
    }
}

/// Whether the command with this name only reads, so that it may run twice.
pub fn only_reads(name: &str) -> bool {
    ONLY_READ
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

/// Commands that change nothing and do not wait.
#[rustfmt::skip]
const ONLY_READ: &[&str] = &[
    "GET", "MGET", "EXISTS", "TTL", "PTTL", "TIME", "PING",
    "BITCOUNT", "BITFIELD_RO", "BITPOS", "DBSIZE", "DUMP", "ECHO", "EVALSHA_RO", "EVAL_RO",
    "EXPIRETIME", "GEODIST", "GEOHASH", "GEOPOS", "GEOSEARCH", "GETBIT", "GETRANGE",
    "HEXISTS", "HGET", "HGETALL", "HKEYS", "HLEN", "HMGET", "HRANDFIELD", "HSCAN", "HSTRLEN", "HVALS",
    "JSON.ARRLEN", "JSON.GET", "JSON.MGET", "JSON.OBJKEYS", "JSON.OBJLEN", "JSON.STRLEN", "JSON.TYPE",
    "KEYS", "LCS", "LINDEX", "LLEN", "LPOS", "LRANGE", "PEXPIRETIME", "PFCOUNT", "RANDOMKEY",
    "SCAN", "SCARD", "SDIFF", "SINTER", "SINTERCARD", "SISMEMBER", "SMEMBERS", "SMISMEMBER",
    "SRANDMEMBER", "SSCAN", "STRLEN", "SUBSTR", "SUNION", "TYPE",
    "XLEN", "XPENDING", "XRANGE", "XREVRANGE",
    "ZCARD", "ZCOUNT", "ZDIFF", "ZINTER", "ZINTERCARD", "ZLEXCOUNT", "ZMSCORE", "ZRANDMEMBER",
    "ZRANGE", "ZRANGEBYLEX", "ZRANGEBYSCORE", "ZRANK", "ZREVRANGE", "ZREVRANGEBYLEX",
    "ZREVRANGEBYSCORE", "ZREVRANK", "ZSCAN", "ZSCORE", "ZUNION",
];
