//! Conventions for all sources, in every layer: the names of tests and of files.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

use std::fs;
use std::path::{Path, PathBuf};

/// Where the project's own sources are.
const FOLDERS: [&str; 5] = ["bench", "examples", "scripts", "src", "tests"];

/// The largest number of characters in the name of a test.
const LONGEST_NAME: usize = 70;

/// Names that do not say what a file holds.
const EMPTY_NAMES: [&str; 10] = [
    "helper", "helpers", "misc", "new", "old", "stuff", "temp", "tmp", "util", "utils",
];

#[test]
fn tests_are_named_in_70_characters() {
    let mut seen = 0;
    let mut long = Vec::new();
    for path in sources() {
        let names = match path.extension().and_then(|end| end.to_str()) {
            Some("rs") => functions(&fs::read_to_string(&path).unwrap()),
            Some("mjs" | "js") => titles(&fs::read_to_string(&path).unwrap()),
            _ => continue,
        };
        seen += names.len();
        for name in names {
            let length = name.chars().count();
            if length > LONGEST_NAME {
                long.push(format!("{length} in {}: {name}", path.display()));
            }
        }
    }
    assert!(seen > 500, "only {seen} tests were found");
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn files_are_named_after_what_they_have() {
    let empty: Vec<PathBuf> = sources()
        .into_iter()
        .filter(|path| {
            let relative = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
            relative.iter().any(|part| {
                let name = part.to_str().unwrap().split('.').next();
                EMPTY_NAMES.contains(&name.unwrap())
            })
        })
        .collect();
    assert!(empty.is_empty(), "{empty:#?}");
}

#[test]
fn a_name_is_found_however_it_is_written() {
    let text = "#[test]\nfn one() {}\n#[tokio::test(start_paused = true)]\n#[cfg(unix)]\n\
        async fn two() {}\nfn none() {}\nproptest! {\n    #[test]\n    fn three(x: u8) {}\n}";
    assert_eq!(functions(text), ["one", "two", "three"]);

    let text = r#"test("a \"b\"", f); test(`c ${d(`${e}`)}f`, f);
        await t.test(
          'g', f); it("h"); describe("i"); /j/.test("k"); latest("l"); test(name, f);"#;
    assert_eq!(titles(text), [r#"a "b""#, "c f", "g", "h", "i"]);
}

/// All files in [`FOLDERS`] except installed packages.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|name| root.join(name)).collect();
    // The published crate does not contain all of them.
    folders.retain(|folder| folder.exists());
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true if path.ends_with("node_modules") => {}
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files
}

/// The names of the test functions in a file of Rust.
fn functions(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        marked |= line == "#[test]" || line.starts_with("#[tokio::test");
        let declaration = line.strip_prefix("pub ").unwrap_or(line);
        let declaration = declaration.strip_prefix("async ").unwrap_or(declaration);
        if let Some(rest) = declaration.strip_prefix("fn ").filter(|_| marked) {
            let name = rest.split(['(', '<']).next();
            names.push(name.unwrap().to_owned());
            marked = false;
        }
    }
    names
}

/// The titles of the tests in a file of JavaScript, as far as they are literal: insertions of a
/// template are left out.
fn titles(text: &str) -> Vec<String> {
    let mut titles = Vec::new();
    for call in ["test(", "it(", "describe("] {
        for (at, _) in text.match_indices(call) {
            let before = &text[..at];
            let is_call = match before.strip_suffix('.') {
                // The call belongs to a test's context, and not to a regular expression.
                Some(subject) => subject.strip_suffix('t').is_some_and(begins_word),
                None => begins_word(before),
            };
            let argument = text[at + call.len()..].trim_start();
            if is_call && argument.starts_with(['"', '\'', '`']) {
                titles.push((at, literal(argument)));
            }
        }
    }
    titles.sort_unstable();
    titles.into_iter().map(|(_, title)| title).collect()
}

/// Whether a new word begins after `before`.
fn begins_word(before: &str) -> bool {
    !before.ends_with(|last: char| last.is_alphanumeric() || "_$.".contains(last))
}

/// The string literal at the beginning of `text`, without its insertions.
fn literal(text: &str) -> String {
    let mut characters = text.chars();
    let quote = characters.next().unwrap();
    let mut found = String::new();
    // The depth of an insertion's braces. Strings inside an insertion are not parsed.
    let mut depth = 0;
    let mut last = quote;
    while let Some(character) = characters.next() {
        match character {
            '{' if depth > 0 || (quote == '`' && last == '$') => {
                if depth == 0 {
                    found.pop();
                }
                depth += 1;
            }
            '}' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            '\\' => found.extend(characters.next()),
            _ if character == quote => break,
            _ => found.push(character),
        }
        last = character;
    }
    found
}
