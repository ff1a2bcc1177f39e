//! Wildcards of other tools in the path of a route. Taken literally they would match no request, so
//! they are errors that say what to write instead.
//!
//! The rule: a character with which a router, a glob or a regular expression in wide use writes a
//! wildcard does not stand for itself in the path of a route. These are `* : $ ( ) [ ] < > ^ | \ ?`
//! anywhere in a segment, and a `+` that is a whole segment or follows a dot at the end of one. All
//! other characters that RFC 3986 §3.3 allows in a segment stand for themselves: `~ ! @ & ' , =`,
//! and a `+` in a longer segment (`/c++`).
//!
//! A `:` is an error in the middle of a segment, too, although Google's custom methods have one
//! there (`/v1/users:batchGet`): Express and URLPattern read `/v1/users:batchGet` as `users` and a
//! parameter `batchGet`. A limit that never counts does more harm than a `%3A`, which matches both
//! spellings of a request's path.

use std::fmt::Write as _;

use crate::engine::route::Pattern;

/// Characters that are wildcards in some tool and never stand for themselves here.
const SPECIAL: [char; 13] = [
    '*', ':', '$', '(', ')', '[', ']', '<', '>', '^', '|', '\\', '?',
];

/// Whether the path has a wildcard of another tool.
pub fn has_wildcard_of_others(path: &str) -> bool {
    let plain = without_modifier(path).trim_start_matches('^');
    let is_prefixed = plain.len() < path.len() && plain.starts_with('/');
    is_prefixed || parts(path).any(is_foreign)
}

/// What to write in place of a path with such a wildcard: the path with the gate's wildcards, and,
/// unless there are braces or a `?` in it, the path in which the characters stand for themselves.
/// `None` if the path has no such wildcard, or could not be a path without it either.
pub fn in_our_words(path: &str) -> Option<String> {
    if !has_wildcard_of_others(path) {
        return None;
    }
    let ours = translated(path)?;
    let mut advice =
        format!("{ours:?} (`{{name}}` stands for one segment, `{{*name}}` for the rest)");
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

/// The path without a modifier of nginx's `location`, nor scheme and host.
fn without_modifier(path: &str) -> &str {
    let path = path.trim_start();
    let mut modifiers = ["^~", "~*", "~", "="].into_iter();
    let rest = modifiers.find_map(|modifier| path.strip_prefix(modifier));
    let path = rest.unwrap_or(path).trim_start();
    let below_host = path.split_once("://").and_then(|(_, rest)| {
        let at = rest.find('/')?;
        rest.get(at..)
    });
    below_host.unwrap_or(path)
}

/// The path with the gate's wildcards in place of the others, if a route can have it: not with a
/// segment `.`, for instance.
fn translated(path: &str) -> Option<String> {
    let ours = with_our_wildcards(path);
    Pattern::parse(&ours).is_ok().then_some(ours)
}

fn with_our_wildcards(path: &str) -> String {
    let expression = without_modifier(path.trim());
    let is_prefix = expression.starts_with('^') || path.trim().starts_with("^~");
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
    // `:path*`, `:path+`, `{path}?`, `(…)?`: several segments, or perhaps none.
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

/// The name of the parameter in a segment.
fn name_in(part: &str) -> Option<String> {
    // Flask writes the type before the name, other tools write it after the name.
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
    // `[0-9]+` is a set of characters, and `json` in `*.json` an extension.
    let is_set = part.contains('[') && !after.starts_with(']') || part.contains("]+");
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (named && !is_set && !part.starts_with("*.")).then_some(name)
}

/// The path without its query. A `?` after a parameter, or at the end of a segment, marks an
/// optional part and begins no query.
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

/// The path with its special characters percent-encoded, and a clause that names them. `None` if a
/// segment with special characters has braces or a `?`, or if no route can have such a path: the
/// text does not begin with `/`, or has dot segments in its brackets.
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
    let clause = format!("{} {stand}", chars.join(" and "));
    Pattern::parse(&text).is_ok().then_some((text, clause))
}

#[cfg(test)]
mod tests;
