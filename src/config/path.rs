//! Wildcards of other tools in the path of a route: taken literally they would claim nothing, so they
//! are refused, with what to write in their place.
//!
//! The rule: a character by which a router, a glob or a regular expression in wide use writes "any" does
//! not stand for itself in the path of a route. Those are `* : $ ( ) [ ] < > ^ | \ ?` anywhere in a
//! segment, and a segment that is `+` or ends with `.+`. The other characters that RFC 3986 §3.3 allows
//! in a segment stay as they are, `~ ! @ & ' , =` and `+` in a longer segment (`/c++`) among them.
//!
//! A `:` is refused in the middle of a segment too, though Google's custom methods have it there
//! (`/v1/users:batchGet`): Express and URLPattern read that as `users` with a parameter `batchGet`, and a
//! limit that never counts is worse than three characters more. Written `%3A` it is what it says, and
//! matches requests in both spellings.

use std::fmt::Write as _;

/// What is a wildcard somewhere, and never stands for itself here.
const SPECIAL: [char; 13] = [
    '*', ':', '$', '(', ')', '[', ']', '<', '>', '^', '|', '\\', '?',
];

/// Whether the path has a wildcard, but none of ours.
pub fn has_wildcard_of_others(path: &str) -> bool {
    let plain = path.trim_start_matches([' ', '~', '=', '^']);
    let is_prefixed = plain.len() < path.len() && plain.starts_with('/');
    is_prefixed || parts(path).any(is_foreign)
}

/// What to write in place of a path with such a wildcard; `None` for one that has none.
///
/// Two texts: the path with our wildcards, and, unless braces are in the way, the one in which the
/// characters stand for themselves.
pub fn in_our_words(path: &str) -> Option<String> {
    if !has_wildcard_of_others(path) {
        return None;
    }
    let mut advice = format!(
        "{:?} (`{{name}}` stands for one segment, `{{*name}}` for the rest)",
        translated(path)
    );
    if let Some((literal, chars)) = literal(path) {
        let _ = write!(advice, ", or {literal:?} if {chars}");
    }
    Some(advice)
}

/// The segments of a path. One with a regular expression may hold a slash in its brackets.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    let split = move |c: char| {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' | '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == '/' && depth == 0
    };
    path.split(split).filter(|part| !part.is_empty())
}

fn is_foreign(part: &str) -> bool {
    let special = part.contains(SPECIAL) || part.contains(['{', '}']);
    !is_ours(part) && (special || part == "+" || part.ends_with(".+"))
}

/// `{name}` or `{*name}`.
fn is_ours(part: &str) -> bool {
    let inside = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
    inside.is_some_and(|name| is_word(name.strip_prefix('*').unwrap_or(name)))
}

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The path with our wildcards in place of the others.
fn translated(path: &str) -> String {
    let path = path.trim();
    let expression = path.trim_start_matches([' ', '~', '=']);
    let is_prefix = expression.starts_with('^');
    let expression = expression.trim_start_matches('^');
    let whole = match expression.strip_suffix('$') {
        Some(whole) if !whole.ends_with('/') || is_prefix => Some(whole),
        _ => None,
    };
    let path = without_query(whole.unwrap_or(expression));
    let mut text = String::new();
    let mut names = Vec::new();
    let mut named = |name: String| {
        let mut unique = name.clone();
        while names.contains(&unique) {
            unique = format!("{name}{}", names.len() + 1);
        }
        names.push(unique.clone());
        unique
    };
    let mut parts = parts(path).peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        if is_ours(part) && (is_last || !part.starts_with("{*")) {
            let _ = write!(text, "/{part}");
            continue;
        }
        match meant(part, is_last) {
            Meant::Literal => {
                let _ = write!(text, "/{part}");
            }
            Meant::One(name) => {
                let _ = write!(text, "/{{{}}}", named(name));
            }
            Meant::Rest(name) => {
                let _ = write!(text, "/{{*{}}}", named(name));
                return text;
            }
            Meant::End => {}
        }
    }
    if is_prefix && whole.is_none() {
        text.push_str("/{*rest}");
    }
    match text.as_str() {
        "" => "/".to_owned(),
        _ => text,
    }
}

/// What another tool means by a segment.
enum Meant {
    /// What it says.
    Literal,
    /// One segment; by this name.
    One(String),
    /// The rest of the path, which may be empty; by this name.
    Rest(String),
    /// That the path ends here.
    End,
}

fn meant(part: &str, is_last: bool) -> Meant {
    if part == "{$}" {
        return Meant::End;
    }
    if !is_foreign(part) && !is_ours(part) {
        return Meant::Literal;
    }
    let starts_group = part.starts_with([':', '{', '(']);
    // `:path*`, `:path+`, `{path}?`, `(…)?`: as often as it likes, or not at all.
    let repeats = starts_group && part.ends_with(['*', '+', '?']);
    let optional = part.ends_with("?}");
    let all = ["**", ".*", ".+", "...", "<path:"];
    let alone = part == "*" || part == "$" || part == "{*}";
    let splat = part.starts_with('*') && is_word(part.trim_start_matches('*'))
        || part.starts_with("{*")
        || part.starts_with("{+")
        || part.ends_with("*}");
    let glob = part.starts_with("*.");
    let is_rest = all.iter().any(|mark| part.contains(mark)) && !glob
        || (repeats || optional || alone) && is_last
        || splat;
    match is_rest {
        true => Meant::Rest(name_in(part).unwrap_or("rest".to_owned())),
        false => Meant::One(name_in(part).unwrap_or("id".to_owned())),
    }
}

/// The name that a segment gives to what stands there.
fn name_in(part: &str) -> Option<String> {
    // Flask writes the kind before the name, everybody else the name before the kind.
    let kinds = [
        "<int:", "<string:", "<float:", "<path:", "<uuid:", "<str:", "<slug:",
    ];
    let flask = kinds.iter().find_map(|kind| part.split_once(kind));
    let rest = flask.map(|(_, rest)| rest).or_else(|| {
        let at = part.find(['{', '<', '[', ':', '$', '*'])?;
        part.get(at..)
    })?;
    let rest = rest.trim_start_matches(['{', '<', '[', ':', '$', '*', '+', '.', '(', '?', 'P']);
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    let (name, after) = rest.split_at_checked(end)?;
    let name = name.trim_matches('-').replace('-', "_");
    // What is left of `*.json` is an extension, and of `[0-9]+` a set.
    let is_set = part.contains('[') && !after.starts_with(']') || part.contains("]+");
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (named && !is_set && !part.starts_with("*.")).then_some(name)
}

/// The path without the `?` and what follows it, where that is a query and no mark of the tool's.
fn without_query(path: &str) -> &str {
    match path.split_once('?') {
        Some((before, query))
            if !before.contains(['(', '{', '<', '[', ':'])
                && !query.is_empty()
                && !query.starts_with('/') =>
        {
            before
        }
        _ => path,
    }
}

/// The path with its special characters percent-encoded, and which these are; `None` where braces or a
/// query are among them, or where it is no path.
fn literal(path: &str) -> Option<(String, String)> {
    let mut text = String::new();
    let mut found: Vec<char> = Vec::new();
    if !path.starts_with('/') {
        return None;
    }
    for part in parts(path) {
        text.push('/');
        if !is_foreign(part) {
            text.push_str(part);
            continue;
        }
        if part.contains(['{', '}', '?']) {
            return None;
        }
        for c in part.chars() {
            if SPECIAL.contains(&c) || c == '+' {
                let _ = write!(text, "%{:02X}", u32::from(c));
                if !found.contains(&c) {
                    found.push(c);
                }
            } else {
                text.push(c);
            }
        }
    }
    let chars: Vec<_> = found.iter().map(|c| format!("`{c}`")).collect();
    let stand = match chars.len() {
        1 => "stands for itself",
        _ => "stand for themselves",
    };
    Some((text, format!("{} {stand}", chars.join(" and "))))
}

#[cfg(test)]
mod tests;
