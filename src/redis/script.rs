//! A Lua script, called by its digest, in one of two variants.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::arg::Arg;
use super::wire;

/// A Lua script. Its SHA-1 digests are computed when it is made, so make it once and keep it.
///
/// Upstash locks the whole database while a script runs, unless the script's first line asks for
/// locks on its `KEYS` only: `#!lua flags=allow-key-locking`. A plain Redis rejects that line. So a
/// script has two variants, and [`RestClient::script`](super::RestClient::script) finds out which
/// one the store accepts:
///
/// - the plain one, the source as given: [`lua`](Self::lua), [`sha`](Self::sha);
/// - the locking one, with that line before it: [`locking_lua`](Self::locking_lua),
///   [`locking_sha`](Self::locking_sha). Its errors name line numbers that are one higher.
///
/// With key locking, a script must touch no keys other than those in `KEYS`.
///
/// ```
/// use omnitrade_edge::redis::Script;
///
/// let script = Script::new("return 1");
/// assert_eq!(script.sha(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
/// assert_eq!(script.locking_lua(), "#!lua flags=allow-key-locking\nreturn 1");
/// ```
#[derive(Clone)]
pub struct Script {
    plain: Source,
    /// `None` if the source has a `#!` line of its own.
    locking: Option<Source>,
    repeatable: bool,
}

/// One variant of a script.
#[derive(Clone)]
pub(super) struct Source {
    lua: Cow<'static, str>,
    sha: Box<str>,
}

impl Script {
    /// A script with this source, given without Upstash's line.
    ///
    /// A source that begins with a `#!` line of its own is left as it is and has no locking
    /// variant.
    pub fn new(lua: impl Into<Cow<'static, str>>) -> Self {
        let plain = Source::new(lua.into());
        let has_own_line = plain.lua.starts_with("#!");
        let locking =
            (!has_own_line).then(|| Source::new(format!("{LOCKING}{}", plain.lua).into()));
        Self {
            plain,
            locking,
            repeatable: false,
        }
    }

    /// Declares that the script recognises its own repeats, so that it may be sent again.
    ///
    /// [`RestClient::script`](super::RestClient::script) then retries it like an
    /// [idempotent](super::Command::idempotent) command, and puts one more argument after all
    /// others: `"0"` as long as no earlier attempt of the same call may have run, `"1"` once one
    /// may have. A caller that sends the script by other means has to add this argument too.
    ///
    /// `"1"` does not prove that an earlier attempt ran. An attempt with `"0"` that was delayed may
    /// even arrive after the one with `"1"`. So a script that must not act twice recognises a
    /// repeat by an id among its arguments, whichever attempt comes first.
    #[must_use]
    pub const fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// The same script without the locking variant, for one that touches keys besides those in
    /// `KEYS`: Upstash locks the whole database while it runs.
    ///
    /// ```
    /// use omnitrade_edge::redis::Script;
    ///
    /// let script = Script::new("return redis.call('GET', ARGV[1] .. ':7')").without_key_locking();
    /// assert_eq!(script.locking_lua(), script.lua());
    /// ```
    #[must_use]
    pub fn without_key_locking(mut self) -> Self {
        self.locking = None;
        self
    }

    /// Whether the script [recognises its own repeats](Self::repeatable).
    pub const fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// The SHA-1 of the plain source, 40 hexadecimal digits.
    pub fn sha(&self) -> &str {
        &self.plain.sha
    }

    /// The plain source, as given.
    pub fn lua(&self) -> &str {
        &self.plain.lua
    }

    /// The SHA-1 of the locking source, 40 hexadecimal digits; of the plain one if there is no
    /// other.
    pub fn locking_sha(&self) -> &str {
        &self.locking().unwrap_or(&self.plain).sha
    }

    /// The locking source; the plain one if there is no other.
    pub fn locking_lua(&self) -> &str {
        &self.locking().unwrap_or(&self.plain).lua
    }

    pub(super) const fn plain(&self) -> &Source {
        &self.plain
    }

    pub(super) const fn locking(&self) -> Option<&Source> {
        self.locking.as_ref()
    }
}

impl Source {
    fn new(lua: Cow<'static, str>) -> Self {
        let digest = Sha1::digest(lua.as_bytes());
        let sha = digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
            .into();
        Self { lua, sha }
    }

    #[cfg(all(not(target_arch = "wasm32"), feature = "redis-tcp"))]
    pub(super) fn sha(&self) -> &str {
        &self.sha
    }

    #[cfg(all(not(target_arch = "wasm32"), feature = "redis-tcp"))]
    pub(super) fn lua(&self) -> &str {
        &self.lua
    }
}

/// Shows the digests, not the source.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("sha", &self.plain.sha)
            .field("locking_sha", &self.locking_sha())
            .field("repeatable", &self.repeatable)
            .finish_non_exhaustive()
    }
}

/// The JSON of a script's call: a head that names the script by digest or by source, then `tail`,
/// which does not depend on that name.
pub(super) struct Call {
    tail: Vec<u8>,
    repeatable: bool,
}

impl Call {
    pub(super) fn new<'a>(
        script: &Script,
        keys: &[impl AsRef<str>],
        args: impl IntoIterator<Item: Into<Arg<'a>>>,
    ) -> Self {
        let mut tail = Vec::with_capacity(256);
        tail.push(b',');
        // A slice is never longer than `isize::MAX`, so the cast loses nothing.
        wire::push_arg(&mut tail, Arg::Uint(keys.len() as u64));
        for key in keys {
            tail.push(b',');
            wire::push_str(&mut tail, key.as_ref());
        }
        for arg in args {
            tail.push(b',');
            wire::push_arg(&mut tail, arg.into());
        }
        Self {
            tail,
            repeatable: script.repeatable,
        }
    }

    /// `["EVALSHA", sha, …]`; `is_repeat` says that an earlier attempt may have run.
    pub(super) fn by_digest(&self, source: &Source, is_repeat: bool) -> Bytes {
        self.named("EVALSHA", &source.sha, is_repeat)
    }

    /// `["EVAL", source, …]`; `is_repeat` says that an earlier attempt may have run.
    pub(super) fn by_source(&self, source: &Source, is_repeat: bool) -> Bytes {
        self.named("EVAL", &source.lua, is_repeat)
    }

    fn named(&self, command: &str, script: &str, is_repeat: bool) -> Bytes {
        let mut json = Vec::with_capacity(script.len() + self.tail.len() + 20);
        json.push(b'[');
        wire::push_str(&mut json, command);
        json.push(b',');
        wire::push_str(&mut json, script);
        json.extend_from_slice(&self.tail);
        if self.repeatable {
            json.push(b',');
            wire::push_str(&mut json, if is_repeat { "1" } else { "0" });
        }
        json.push(b']');
        Bytes::from(json)
    }
}

/// The first line by which Upstash locks a script's keys instead of the whole database.
const LOCKING: &str = "#!lua flags=allow-key-locking\n";
