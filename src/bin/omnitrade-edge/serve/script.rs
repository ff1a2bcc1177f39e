//! Runs scripts that were written for Upstash on a plain Redis.
//!
//! The flag in `#!lua flags=allow-key-locking` exists only on Upstash, and Redis rejects a script
//! that has it. So it is removed before Redis sees the script. This changes the script's digest,
//! which the client must not notice: the digest of the script as it was sent keeps working.
//!
//! Only the pairs of digests are remembered; only Redis knows whether a script is loaded.

use omnitrade_edge::redis::tcp::Reply;
use omnitrade_edge::redis::tcp::guard::{subcommand_is, upper};
use quick_cache::sync::Cache;
use sha1::{Digest as _, Sha1};

use super::wire::Command;

/// How many rewritten scripts are remembered. If one is forgotten, Redis answers NOSCRIPT, and the
/// client sends the script again.
const REMEMBERED: usize = 4096;

const FLAG: &str = "allow-key-locking";

/// The digests of the scripts that were rewritten.
pub struct Scripts {
    rewritten: Cache<Digest, Digest>,
}

/// The digests to replace in a reply, so that the client finds its own digest there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restore {
    original: Digest,
    rewritten: Digest,
}

type Digest = [u8; 20];

impl Scripts {
    /// Remembers no script yet.
    pub fn new() -> Self {
        Self {
            rewritten: Cache::new(REMEMBERED),
        }
    }

    /// Changes `command` into the one for Redis.
    pub fn prepare(&self, command: &mut Command) -> Option<Restore> {
        let name = upper(command.first()?);
        match name.as_str() {
            "EVAL" | "EVAL_RO" => self.rewrite(command.get_mut(1)?),
            "EVALSHA" | "EVALSHA_RO" => self.translate(command.get_mut(1)?),
            "SCRIPT" if subcommand_is(command, "LOAD") => self.rewrite(command.get_mut(2)?),
            "SCRIPT" if subcommand_is(command, "EXISTS") => {
                for digest in command.iter_mut().skip(2) {
                    self.translate(digest);
                }
                None
            }
            "SCRIPT" if subcommand_is(command, "FLUSH") => {
                self.rewritten.clear();
                None
            }
            _ => None,
        }
    }

    fn rewrite(&self, script: &mut Vec<u8>) -> Option<Restore> {
        let text = without_flag(script)?;
        let restore = Restore {
            original: Sha1::digest(&script).into(),
            rewritten: Sha1::digest(&text).into(),
        };
        self.rewritten.insert(restore.original, restore.rewritten);
        *script = text;
        Some(restore)
    }

    fn translate(&self, digest: &mut Vec<u8>) -> Option<Restore> {
        let original = parse_hex(digest)?;
        let rewritten = self.rewritten.get(&original)?;
        *digest = hex(&rewritten).into_bytes();
        Some(Restore {
            original,
            rewritten,
        })
    }
}

impl Restore {
    /// Replaces Redis's digest by the client's: in the reply to SCRIPT LOAD, and in the text of an
    /// error.
    pub fn apply(&self, reply: Reply) -> Reply {
        match reply {
            Reply::Bulk(bytes) if bytes == hex(&self.rewritten).as_bytes() => {
                Reply::Bulk(hex(&self.original).into_bytes())
            }
            Reply::Error(text) => {
                Reply::Error(text.replace(&hex(&self.rewritten), &hex(&self.original)))
            }
            other => other,
        }
    }
}

/// The script without Upstash's flag; `None` if it has none. The numbers of its lines do not
/// change.
fn without_flag(script: &[u8]) -> Option<Vec<u8>> {
    let end = script
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(script.len());
    let (line, rest) = script.split_at_checked(end)?;
    let line = std::str::from_utf8(line).ok()?;
    if !line.starts_with("#!lua") {
        return None;
    }
    let mut found = false;
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        let Some(flags) = word.strip_prefix("flags=") else {
            words.push(word.to_owned());
            continue;
        };
        let kept: Vec<&str> = flags.split(',').filter(|flag| *flag != FLAG).collect();
        found |= kept.len() < flags.split(',').count();
        if !kept.is_empty() {
            words.push(format!("flags={}", kept.join(",")));
        }
    }
    if !found {
        return None;
    }
    // A line that names only the engine is removed completely, so that Redis before version 7,
    // which does not know such lines, can run the script too. The line break stays in what follows.
    let mut text = match words.as_slice() {
        [_engine] => Vec::new(),
        words => words.join(" ").into_bytes(),
    };
    text.extend_from_slice(rest);
    Some(text)
}

fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse_hex(text: &[u8]) -> Option<Digest> {
    let mut digest = Digest::default();
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != digest.len() {
        return None;
    }
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        *byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCRIPT: &str = "#!lua flags=allow-key-locking\nreturn 1";

    fn command(items: &[&str]) -> Command {
        items.iter().map(|item| item.as_bytes().to_vec()).collect()
    }

    fn rewritten(script: &str) -> Option<String> {
        without_flag(script.as_bytes()).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn only_the_flag_goes_and_every_line_stays() {
        assert_eq!(rewritten(SCRIPT).unwrap(), "\nreturn 1");
        assert_eq!(
            rewritten("#!lua flags=no-writes,allow-key-locking\r\nreturn 1").unwrap(),
            "#!lua flags=no-writes\nreturn 1"
        );
        assert_eq!(
            rewritten("#!lua name=x flags=allow-key-locking\n").unwrap(),
            "#!lua name=x\n"
        );
        assert_eq!(rewritten("#!lua flags=allow-key-locking").unwrap(), "");
        for script in [
            "return 1",
            "#!lua\nreturn 1",
            "#!lua flags=no-writes\n-- flags=allow-key-locking",
            "",
        ] {
            assert_eq!(rewritten(script), None, "{script}");
        }
    }

    #[test]
    fn the_digest_of_the_script_as_sent_goes_on_working() {
        let scripts = Scripts::new();
        let original = hex(&Sha1::digest(SCRIPT).into());
        let inner = hex(&Sha1::digest("\nreturn 1").into());

        let mut before = command(&["EVALSHA", &original, "0"]);
        assert_eq!(scripts.prepare(&mut before), None);
        assert_eq!(before, command(&["EVALSHA", &original, "0"]));

        let mut eval = command(&["eval", SCRIPT, "0"]);
        let restore = scripts.prepare(&mut eval).unwrap();
        assert_eq!(eval, command(&["eval", "\nreturn 1", "0"]));
        assert_eq!(
            restore.apply(Reply::Error(format!("ERR x script: {inner}, on @user"))),
            Reply::Error(format!("ERR x script: {original}, on @user"))
        );

        let mut after = command(&["EvalSha", &original.to_uppercase(), "0"]);
        assert_eq!(scripts.prepare(&mut after), Some(restore));
        assert_eq!(after, command(&["EvalSha", &inner, "0"]));

        let mut exists = command(&["SCRIPT", "exists", &original, "no"]);
        assert_eq!(scripts.prepare(&mut exists), None);
        assert_eq!(exists, command(&["SCRIPT", "exists", &inner, "no"]));

        let mut load = command(&["script", "LOAD", SCRIPT]);
        let restore = scripts.prepare(&mut load).unwrap();
        assert_eq!(
            restore.apply(Reply::Bulk(inner.into_bytes())),
            Reply::Bulk(original.clone().into_bytes())
        );

        scripts.prepare(&mut command(&["SCRIPT", "FLUSH"]));
        let mut flushed = command(&["EVALSHA", &original, "0"]);
        assert_eq!(scripts.prepare(&mut flushed), None);
    }

    proptest! {
        #[test]
        fn any_command_is_prepared(command in prop::collection::vec(any::<Vec<u8>>(), 0..4)) {
            let mut command = command;
            let _ = Scripts::new().prepare(&mut command);
        }

        #[test]
        fn any_shebang_keeps_the_number_of_lines(line in "#!lua( [a-z=,\r-]*| flags=allow-key-locking)*", body: String) {
            let script = format!("{line}\n{body}");
            if let Some(text) = without_flag(script.as_bytes()) {
                let lines = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
                prop_assert_eq!(lines(&text), lines(script.as_bytes()));
                prop_assert!(text.ends_with(body.as_bytes()));
            }
        }
    }
}
