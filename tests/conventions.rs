//! Conventions for all sources, in every layer: the names of tests and of files, and the width of
//! comments.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

use std::fs;
use std::path::{Path, PathBuf};

/// The folders of the project's own sources.
const FOLDERS: [&str; 8] = [
    "bench", "examples", "pkg/src", "scripts", "src", "tests", "tools", "wasm",
];

/// The longest name of a test, in characters.
const LONGEST_NAME: usize = 70;

/// The longest line of a comment, in characters.
const WIDEST_COMMENT: usize = 100;

/// Names that do not say what a file contains.
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
fn comment_lines_have_at_most_100_columns() {
    let mut seen = 0;
    let mut wide = Vec::new();
    for path in sources() {
        let marker = match path.extension().and_then(|end| end.to_str()) {
            Some("rs" | "mjs" | "js") => "//",
            Some("lua") => "--",
            _ => continue,
        };
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in comment_lines(&text, marker) {
            seen += 1;
            let width = line.chars().count();
            if width > WIDEST_COMMENT {
                wide.push(format!("{width} in {}:{number}", path.display()));
            }
        }
    }
    assert!(seen > 1_000, "only {seen} lines of comments were found");
    assert!(wide.is_empty(), "{wide:#?}");
}

#[test]
fn a_comment_line_is_found_in_every_language() {
    let numbers = |text: &str, marker| -> Vec<usize> {
        let lines = comment_lines(text, marker);
        lines.into_iter().map(|(number, _)| number).collect()
    };
    let text = "//! a\n\nuse b; // c\n  /// d\n  fn e() {}\n// f";
    assert_eq!(numbers(text, "//"), [1, 4, 6]);

    let text = "/** a */\nb;\n/**\n * c\n d\n */\n  /** @type {e} */ (f);\n * g";
    assert_eq!(numbers(text, "//"), [1, 3, 4, 5, 6]);

    assert_eq!(numbers("-- a\nlocal b -- c\n  -- d", "--"), [1, 3]);
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

/// All files in [`FOLDERS`], except installed packages.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|name| root.join(name)).collect();
    // The published crate does not have all of them.
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

/// The lines of `text` that hold only a comment, with their numbers. `marker` begins a comment that
/// ends with its line; `/*` begins a block.
fn comment_lines<'a>(text: &'a str, marker: &str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (number, line) in (1..).zip(text.lines()) {
        let start = line.trim_start();
        let is_block = in_block || start.starts_with("/*");
        let closed = start.split_once("*/");
        // Code may follow a block, such as the expression of a cast.
        let is_code = !in_block && closed.is_some_and(|(_, code)| !code.trim().is_empty());
        if start.starts_with(marker) || is_block && !is_code {
            found.push((number, line));
        }
        in_block = is_block && closed.is_none();
    }
    found
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

/// The titles of the tests in a file of JavaScript, as far as they are literal: the insertions of a
/// template are omitted.
fn titles(text: &str) -> Vec<String> {
    let mut titles = Vec::new();
    for call in ["test(", "it(", "describe("] {
        for (at, _) in text.match_indices(call) {
            let before = &text[..at];
            let is_call = match before.strip_suffix('.') {
                // A method of a test's context, not of a regular expression.
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

/// Whether a word begins after `before`.
fn begins_word(before: &str) -> bool {
    !before.ends_with(|last: char| last.is_alphanumeric() || "_$.".contains(last))
}

/// The string at the beginning of `text`, without its insertions.
fn literal(text: &str) -> String {
    let mut characters = text.chars();
    let quote = characters.next().unwrap();
    let mut found = String::new();
    // The depth of the braces of an insertion; strings inside it are not parsed.
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
