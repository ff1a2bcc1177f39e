//! A Lua script, called by its digest.

use std::borrow::Cow;
use std::fmt;

use sha1::{Digest, Sha1};

use super::{Arg, wire};

/// A Lua script. Its SHA-1 is computed once, so make it once and keep it.
///
/// ```
/// use omnitrade_edge::redis::Script;
///
/// let script = Script::new("return 1");
/// assert_eq!(script.sha(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
/// ```
#[derive(Clone)]
pub struct Script {
    lua: Cow<'static, str>,
    sha: Box<str>,
}

impl Script {
    /// A script with this source.
    pub fn new(lua: impl Into<Cow<'static, str>>) -> Self {
        let lua = lua.into();
        let digest = Sha1::digest(lua.as_bytes());
        let sha = digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
            .into();
        Self { lua, sha }
    }

    /// The SHA-1 of the source, 40 hexadecimal digits.
    pub fn sha(&self) -> &str {
        &self.sha
    }

    /// The source.
    pub fn lua(&self) -> &str {
        &self.lua
    }
}

/// Shows the digest, not the source.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("sha", &self.sha)
            .finish_non_exhaustive()
    }
}

/// The JSON of a script's call: how it is named, then `tail`, which is the same for both names.
pub(super) struct Call {
    tail: Vec<u8>,
}

impl Call {
    pub(super) fn new<'a>(
        keys: &[impl AsRef<str>],
        args: impl IntoIterator<Item: Into<Arg<'a>>>,
    ) -> Self {
        let mut tail = Vec::with_capacity(256);
        tail.push(b',');
        // A slice is never longer than `isize::MAX`, so nothing is lost.
        wire::push_arg(&mut tail, Arg::Uint(keys.len() as u64));
        for key in keys {
            tail.push(b',');
            wire::push_str(&mut tail, key.as_ref());
        }
        for arg in args {
            tail.push(b',');
            wire::push_arg(&mut tail, arg.into());
        }
        tail.push(b']');
        Self { tail }
    }

    /// `["EVALSHA", sha, …]`
    pub(super) fn by_digest(&self, script: &Script) -> Vec<u8> {
        self.named("EVALSHA", &script.sha)
    }

    /// `["EVAL", source, …]`
    pub(super) fn by_source(&self, script: &Script) -> Vec<u8> {
        self.named("EVAL", &script.lua)
    }

    fn named(&self, command: &str, script: &str) -> Vec<u8> {
        let mut json = Vec::with_capacity(script.len() + self.tail.len() + 16);
        json.push(b'[');
        wire::push_str(&mut json, command);
        json.push(b',');
        wire::push_str(&mut json, script);
        json.extend_from_slice(&self.tail);
        json
    }
}
