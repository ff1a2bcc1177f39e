//! The index's information about a registered key that is not in its record, for people.

use serde::{Deserialize, Serialize};

/// One value of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The owner of the key. It is printable, because terminals show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it was first registered, in milliseconds since 1970.
    pub added: u64,
    /// When the registration ends, in milliseconds since 1970.
    pub until: u64,
    /// The key's digest without a secret, sealed with the secret in its digest
    /// ([`seal`](super::seal::seal)); `None` if there is no secret in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

impl Entry {
    /// Reads an entry; `None` if it is invalid or its name is not printable: others may write
    /// there.
    pub fn parse(text: &str) -> Option<Self> {
        let entry: Self = serde_json::from_str(text).ok()?;
        let fit = |name: &String| is_printable(name);
        entry.name.as_ref().is_none_or(fit).then_some(entry)
    }

    /// Writes the entry; `None` if it cannot be written, which does not happen.
    pub fn to_text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}

/// For clap: a name, without surrounding white space.
pub fn name(text: &str) -> Result<String, &'static str> {
    let name = text.trim();
    match is_printable(name) {
        true => Ok(name.to_owned()),
        false => Err("expected 1 to 64 printable characters"),
    }
}

/// Whether the text is one line of 1 to 64 characters without effects on a terminal.
fn is_printable(text: &str) -> bool {
    // Rust's escaping of a text affects the characters that do not print: control characters, marks
    // of writing direction, invisible characters, and spaces of other widths. It also escapes
    // quotes and backslashes, which do print.
    let is_quote = |c: char| matches!(c, '\'' | '"' | '\\');
    let plain: String = text.chars().filter(|c| !is_quote(*c)).collect();
    let is_trimmed = text.trim().len() == text.len();
    is_trimmed && (1..=64).contains(&text.chars().count()) && plain.escape_debug().eq(plain.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_languages_are_fit() {
        for text in [
            "Acme Ltd",
            "O'Neill \"x\" \\ Söhne & Co. <a@b.example>",
            "株式会社",
            "नमस्ते",
            "שלום",
            "🚀",
            &"ü".repeat(64),
        ] {
            assert_eq!(name(text).as_deref(), Ok(text));
        }
        assert_eq!(name("  Acme \n").as_deref(), Ok("Acme"));
    }

    #[test]
    fn what_could_deceive_on_a_terminal_is_no_name() {
        for text in [
            "",
            "  ",
            "a\nb",
            "a\tb",
            "a\rb",
            "a\0b",
            "a\x1b[2Jb",
            "a\x7fb",
            "a\u{9b}2Jb",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{200b}b",
            "a\u{2028}b",
            "a\u{a0}b",
            "a\u{feff}b",
            "a\u{e000}b",
            &"x".repeat(65),
        ] {
            assert!(name(text).is_err(), "{text:?}");
            let entry = serde_json::json!({ "name": text, "added": 1, "until": 2 });
            assert_eq!(Entry::parse(&entry.to_string()), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for name in [None, Some("Acme \"Ltd\"".to_owned())] {
            let entry = Entry {
                sealed: name.clone(),
                name,
                added: 1,
                until: u64::MAX,
            };
            assert_eq!(Entry::parse(&entry.to_text().unwrap()), Some(entry));
        }
    }
}
