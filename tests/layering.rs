//! Imports point one way, between layers and between files. This test holds the code to the order
//! that is written here.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should fail"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each layer, and the other layers that it may import.
const LAYERS: [(&str, &[&str]); 18] = [
    ("clock", &[]),
    ("transport", &["clock"]),
    ("error", &["transport"]),
    ("trace", &["error"]),
    ("engine", &["clock"]),
    ("config", &["clock", "engine"]),
    ("redis", &["clock", "error", "trace", "transport"]),
    ("message", &["clock", "engine"]),
    ("store", &["clock", "engine", "error", "redis"]),
    (
        "limiter",
        &["clock", "engine", "error", "redis", "store", "transport"],
    ),
    (
        "cache",
        &["clock", "config", "engine", "message", "redis", "store"],
    ),
    ("identity", &["clock", "config", "engine", "message"]),
    (
        "values",
        &[
            "clock",
            "engine",
            "error",
            "redis",
            "store",
            "trace",
            "transport",
        ],
    ),
    ("queue", &["clock", "engine", "error", "message", "redis"]),
    ("ops", &["clock", "engine", "error", "store"]),
    ("tower", &["clock", "engine", "limiter", "transport"]),
    (
        "gateway",
        &[
            "cache", "clock", "config", "engine", "error", "identity", "limiter", "message", "ops",
            "queue", "redis", "store",
        ],
    ),
    (
        "shell",
        &[
            "cache",
            "clock",
            "config",
            "engine",
            "error",
            "gateway",
            "identity",
            "limiter",
            "message",
            "ops",
            "queue",
            "redis",
            "store",
            "transport",
        ],
    ),
];

#[test]
fn layers_point_one_way() {
    let library = Library::read();
    let mut wrong = Vec::new();
    for (layer, _) in LAYERS {
        let exists = library.modules.contains_key(&vec![layer.to_owned()]);
        assert!(exists, "there is no layer {layer}");
    }
    for (module, file) in &library.modules {
        let Some((layer, allowed)) = LAYERS
            .iter()
            .find(|(name, _)| module.first().is_some_and(|first| first == name))
        else {
            assert!(module.is_empty(), "{} is in no layer", file.path);
            continue;
        };
        for used in &file.uses {
            let known = used
                .first()
                .filter(|first| LAYERS.iter().any(|(name, _)| name == first));
            if let Some(known) = known
                && known != layer
                && !allowed.contains(&known.as_str())
            {
                wrong.push(format!("{} uses {known}", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let library = Library::read();
    let circles = circles(&library.imports());
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn an_import_is_found_however_it_is_written() {
    let text = "
        use crate::redis::{Value, wire::{self, Reply}};
        pub use super::limit::Quota as Limit;
        let x = crate::shell::X; // crate::comment::Y
        fn f(a: super::super::error::Error) {}
        #[cfg(test)]
        mod tests { use crate::never::X; }
    ";
    let module = ["engine", "cache"].map(str::to_owned);
    let found: BTreeSet<String> = uses(text, &module)
        .into_iter()
        .map(|p| p.join("::"))
        .collect();
    let expected = [
        "redis::Value",
        "redis::wire",
        "redis::wire::Reply",
        "engine::limit::Quota",
        "shell::X",
        "error::Error",
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
}

#[test]
fn a_circle_is_found_and_a_chain_is_none() {
    let edges = |pairs: &[(&str, &str)]| {
        let mut edges = BTreeMap::<String, BTreeSet<String>>::new();
        for (from, to) in pairs {
            edges
                .entry((*from).to_owned())
                .or_default()
                .insert((*to).to_owned());
        }
        edges
    };
    assert_eq!(
        circles(&edges(&[("a", "b"), ("b", "c"), ("a", "c")])),
        Vec::<Vec<String>>::new()
    );
    assert_eq!(
        circles(&edges(&[("a", "b"), ("b", "c"), ("c", "b")])),
        [["b", "c"]]
    );
}

/// The files of the library, by the path of their module.
struct Library {
    modules: BTreeMap<Vec<String>, File>,
}

struct File {
    /// The path below `src`.
    path: String,
    /// The paths that the file names, from the crate's root, as far as they can be told.
    uses: BTreeSet<Vec<String>>,
}

impl Library {
    /// Reads all files except tests and programs.
    fn read() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut modules = BTreeMap::new();
        let mut folders = vec![source.clone()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).unwrap();
            let paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
            for path in paths {
                let name = path.file_name().unwrap().to_str().unwrap();
                if path.is_dir() {
                    if !["bin", "tests"].contains(&name) {
                        folders.push(path);
                    }
                    continue;
                }
                let Some(stem) = name.strip_suffix(".rs").filter(|stem| *stem != "tests") else {
                    continue;
                };
                let below = path.strip_prefix(&source).unwrap();
                let parts = below.parent().unwrap().iter();
                let mut module: Vec<String> = parts
                    .map(|part| part.to_str().unwrap().to_owned())
                    .collect();
                if !(module.is_empty() && stem == "lib") {
                    module.push(stem.to_owned());
                }
                let text = fs::read_to_string(&path).unwrap();
                let uses = uses(&text, &module);
                let path = below.to_str().unwrap().to_owned();
                modules.insert(module, File { path, uses });
            }
        }
        Self { modules }
    }

    /// Which file imports from which. A path belongs to the file of its innermost module.
    fn imports(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut imports = BTreeMap::<String, BTreeSet<String>>::new();
        for file in self.modules.values() {
            for used in &file.uses {
                let found = (1..=used.len())
                    .rev()
                    .find_map(|n| self.modules.get(used.get(..n)?));
                if let Some(found) = found.filter(|found| found.path != file.path) {
                    let from = imports.entry(file.path.clone()).or_default();
                    from.insert(found.path.clone());
                }
            }
        }
        imports
    }
}

/// The groups of names that reach each other, each sorted.
fn circles(edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached = |start: &String| {
        let mut reached = BTreeSet::new();
        let mut open = vec![start];
        while let Some(next) = open.pop() {
            for to in edges.get(next).into_iter().flatten() {
                if reached.insert(to.clone()) {
                    open.push(to);
                }
            }
        }
        reached
    };
    let reach: BTreeMap<&String, BTreeSet<String>> =
        edges.keys().map(|name| (name, reached(name))).collect();
    let circle = |name: &String| -> Vec<String> {
        let mates = reach[name]
            .iter()
            .filter(|mate| reach.get(mate).is_some_and(|back| back.contains(name)));
        mates.cloned().collect()
    };
    let circles: BTreeSet<Vec<String>> = reach.keys().map(|name| circle(name)).collect();
    circles
        .into_iter()
        .filter(|circle| !circle.is_empty())
        .collect()
}

/// The paths that a module's text names, from the crate's root: those that begin with `crate`,
/// `self` or `super`, and those in a `use` that begin with a module beside or below it. Comments
/// and tests are left out.
fn uses(text: &str, module: &[String]) -> BTreeSet<Vec<String>> {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let text = without_tests(text);
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    // `self` and the names of a module's children are below it: a parent may use its children.
    let below = text.match_indices("use ").filter_map(|(at, word)| {
        let rest = &text[at + word.len()..];
        let own = rest.starts_with(|c: char| c.is_ascii_lowercase());
        let outside = ["crate::", "super::", "std::", "core::", "self::"];
        (own && !outside.iter().any(|prefix| rest.starts_with(prefix))).then_some(rest)
    });
    for rest in below {
        expand(rest, module.to_vec(), &mut found);
    }
    // The children that a parent names without a `use`.
    for (at, word) in text.match_indices("mod ") {
        let rest = &text[at + word.len()..];
        let Some((child, _)) = rest.split_once(';').filter(|(name, _)| is_word(name)) else {
            continue;
        };
        let path = format!("{child}::");
        let named = text
            .match_indices(&path)
            .any(|(at, _)| !text[..at].ends_with(|c: char| is_word_char(c) || c == ':'));
        if named {
            found.insert(module.iter().cloned().chain([child.to_owned()]).collect());
        }
    }
    for (at, word) in text.match_indices("self::") {
        expand(&text[at + word.len()..], module.to_vec(), &mut found);
    }
    for (at, word) in text.match_indices("crate::") {
        expand(&text[at + word.len()..], Vec::new(), &mut found);
    }
    for (at, word) in text.match_indices("super::") {
        if text[..at].ends_with("super::") || text[..at].ends_with("in ") {
            continue;
        }
        let mut rest = &text[at + word.len()..];
        let mut base = module.to_vec();
        base.pop();
        while let Some(further) = rest.strip_prefix("super::") {
            base.pop();
            rest = further;
        }
        expand(rest, base, &mut found);
    }
    found
}

/// The text before its module of tests, if it has one.
fn without_tests(text: &str) -> &str {
    let is_module = |rest: &str| {
        let mut lines = rest.lines().skip(1).map(str::trim);
        let first = lines.find(|line| !line.starts_with("#["));
        first.is_some_and(|line| line.starts_with("mod "))
    };
    let marks = text.match_indices("#[cfg(").map(|(at, _)| &text[at..]);
    let mut tests = marks.filter(|rest| {
        let condition = rest.lines().next().unwrap_or_default();
        condition.contains("test") && is_module(rest)
    });
    let end = tests.next().map_or(0, str::len);
    &text[..text.len() - end]
}

/// Adds the paths at the beginning of `text`, below `base`. Groups in braces are taken apart.
fn expand(text: &str, base: Vec<String>, found: &mut BTreeSet<Vec<String>>) {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        let mut depth = 0;
        let mut start = 0;
        for (at, char) in group.char_indices() {
            match char {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    let member = group[start..at].trim();
                    if !member.is_empty() {
                        expand(member, base.clone(), found);
                    }
                    start = at + 1;
                    if char == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let end = text.find(|c: char| !is_word_char(c));
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    let mut path = base;
    if !word.is_empty() && word != "self" {
        path.push(word.to_owned());
    }
    match rest.strip_prefix("::") {
        Some(rest) if !word.is_empty() => expand(rest, path, found),
        _ => drop(found.insert(path)),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word_char)
}

fn is_word_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}
