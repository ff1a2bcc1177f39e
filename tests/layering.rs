//! The layers point one way: who may use whom is written down here, and held against the code.

use std::fs;
use std::path::Path;

/// Each layer, and the other layers that it may name.
const LAYERS: [(&str, &[&str]); 9] = [
    ("clock", &[]),
    ("transport", &["clock"]),
    ("error", &["transport"]),
    ("engine", &["clock"]),
    ("config", &["clock", "engine"]),
    ("redis", &["clock", "error", "transport"]),
    (
        "limiter",
        &["clock", "engine", "error", "redis", "transport"],
    ),
    (
        "gateway",
        &["clock", "config", "engine", "error", "limiter", "redis"],
    ),
    (
        "shell",
        &[
            "clock",
            "config",
            "engine",
            "error",
            "gateway",
            "limiter",
            "redis",
            "transport",
        ],
    ),
];

#[test]
fn layers_point_one_way() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (layer, allowed) in LAYERS {
        let mut files = vec![source.join(format!("{layer}.rs")), source.join(layer)];
        assert!(
            files.iter().any(|path| path.exists()),
            "there is no layer {layer}"
        );
        while let Some(path) = files.pop() {
            if path.is_dir() {
                files.extend(
                    fs::read_dir(&path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
                continue;
            }
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            for used in names_after(&text, "crate::") {
                let known = LAYERS.iter().any(|(name, _)| *name == used);
                if known && used != layer && !allowed.contains(&used) {
                    wrong.push(format!("{} uses {used}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_layer_is_found_however_it_is_written() {
    let text = "use crate::redis::{Value};\nlet x = crate::shell::X;\nuse crate::{config, engine};";
    assert_eq!(
        names_after(text, "crate::"),
        ["redis", "shell", "config", "engine"]
    );
}

/// The first name of each path that follows `prefix`, groups in braces taken apart.
fn names_after<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        let rest = &text[at + prefix.len()..];
        let word = |text: &'a str| {
            let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            &text[..end.unwrap_or(text.len())]
        };
        match rest.strip_prefix('{') {
            Some(group) => {
                let group = group.split_once('}').map_or(group, |(group, _)| group);
                names.extend(group.split(',').map(|path| word(path.trim())));
            }
            None => names.push(word(rest)),
        }
    }
    names
}
