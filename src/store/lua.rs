//! The scripts as they are sent: without comments and indentation, which would only make them
//! longer.
//!
//! This is done when the crate is compiled, for whole lines only: a line is left out if it is empty
//! or begins with `--`. So the sources have no comment at the end of a line, and no text or comment
//! over several lines (`[[ … ]]`), whose lines could look like either.

/// A script beside this file, as it is sent.
macro_rules! script {
    ($file:literal) => {{
        const SOURCE: &[u8] = include_bytes!($file);
        const SENT: [u8; $crate::store::lua::length(SOURCE)] = $crate::store::lua::sent(SOURCE);
        const TEXT: &str = match std::str::from_utf8(&SENT) {
            Ok(text) => text,
            Err(_) => "",
        };
        TEXT
    }};
}
pub(super) use script;

/// The length of a source as it is sent.
pub(super) const fn length(source: &[u8]) -> usize {
    copy(source, &mut [])
}

/// A source as it is sent, which has this [`length`].
pub(super) const fn sent<const LENGTH: usize>(source: &[u8]) -> [u8; LENGTH] {
    let mut sent = [0; LENGTH];
    copy(source, &mut sent);
    sent
}

/// Copies a source as it is sent, as far as there is room. Returns its length.
#[expect(
    clippy::indexing_slicing,
    reason = "it runs in the compiler, which has no other access; a wrong index ends the build"
)]
const fn copy(source: &[u8], room: &mut [u8]) -> usize {
    let (mut at, mut length) = (0, 0);
    while at < source.len() {
        while at < source.len() && source[at].is_ascii_whitespace() {
            at += 1;
        }
        let is_comment = at + 1 < source.len() && source[at] == b'-' && source[at + 1] == b'-';
        while at < source.len() {
            if !is_comment {
                if length < room.len() {
                    room[length] = source[at];
                }
                length += 1;
            }
            at += 1;
            if source[at - 1] == b'\n' {
                break;
            }
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::super::{ADMIT, KEEP};

    #[test]
    fn the_scripts_are_sent_without_comments() {
        for (script, source) in [
            (&ADMIT, include_str!("admit.lua")),
            (&KEEP, include_str!("keep.lua")),
        ] {
            let lines = source.lines().map(str::trim_start);
            let code = lines.filter(|line| !line.is_empty() && !line.starts_with("--"));
            let code: String = code.flat_map(|line| [line, "\n"]).collect();
            assert_eq!(script.lua(), code);
            // What is left out line by line must not be able to be in a text.
            for never in ["[[", "]]", "[=", "--", "\\\n"] {
                assert!(!code.contains(never), "{never:?}");
            }
            assert!(source.len() > code.len() && code.len() > 1_000.min(source.len() / 4));
        }
    }
}
