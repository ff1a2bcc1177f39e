//! Routes: path patterns, and which of them handles a request. The most specific path wins.
//!
//! A path is matched by its meaning to servers, not by its spelling, so that no spelling evades a
//! limit: percent-escapes are decoded segment by segment, and letter case, repeated slashes, a
//! slash at the end and the parameters of a segment are ignored. [`segments`] gives the exact
//! rules.

use std::borrow::Cow;

/// A path pattern: literal segments, `{name}` for one segment, `{*name}` for the rest.
///
/// Patterns are ordered by specificity, the most specific first. They are compared segment by
/// segment: a literal comes before `{name}`, and `{name}` before `{*rest}`. Of two patterns that
/// agree so far, the one that ends first comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    pub(super) segments: Vec<Segment>,
}

/// A segment of a [`Pattern`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Segment {
    /// This text, as [`segments`] gives it.
    Literal(String),
    /// Any one segment.
    One,
    /// All segments from here on, or none.
    Rest,
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The text is not a path with names in braces.
    #[error("expected a path such as \"/v1/books/{{id}}\" or \"/files/{{*rest}}\"")]
    Malformed,
    /// The text contains a `;`, so the pattern could never match: no [segment](segments) of a
    /// request contains one.
    #[error("expected a path without `;`: what follows it is left off before a path is matched")]
    Parameter,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// If the text does not start with `/`, contains braces that are not a whole segment, an empty
    /// name, a broken percent-escape or a dot segment, has anything after `{*rest}`, or contains a
    /// `;`, also written as `%3B`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with('/') || text.contains(['?', '#']) {
            return Err(PatternError::Malformed);
        }
        if has_parameters(text) {
            return Err(PatternError::Parameter);
        }
        let mut segments = Vec::new();
        for part in text.split('/').filter(|part| !part.is_empty()) {
            if segments.last() == Some(&Segment::Rest) {
                return Err(PatternError::Malformed);
            }
            segments.push(match part.strip_prefix('{') {
                Some(name) => {
                    let name = name.strip_suffix('}').ok_or(PatternError::Malformed)?;
                    let rest = name.strip_prefix('*');
                    let plain = rest.unwrap_or(name);
                    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                    if plain.is_empty() || !plain.bytes().all(word) {
                        return Err(PatternError::Malformed);
                    }
                    rest.map_or(Segment::One, |_| Segment::Rest)
                }
                None if part.contains(['{', '}']) => return Err(PatternError::Malformed),
                None => match folded(part) {
                    // No path of a request has one: the URL Standard has resolved it.
                    Ok(dots) if dots == "." || dots == ".." => return Err(PatternError::Malformed),
                    Ok(literal) => Segment::Literal(literal),
                    Err(_) => return Err(PatternError::Malformed),
                },
            });
        }
        Ok(Self { segments })
    }

    /// Whether the pattern matches `path`, given as [`segments`] returns it.
    pub fn matches(&self, path: &[String]) -> bool {
        let mut parts = path.iter();
        for segment in &self.segments {
            match (segment, parts.next()) {
                (Segment::Rest, _) => return true,
                (Segment::One, Some(_)) => {}
                (Segment::Literal(literal), Some(part)) if literal == part => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }
}

/// Why a path cannot be matched. Servers disagree about the meaning of such a path, so it must not
/// be used for routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A percent sign is not followed by two hexadecimal digits.
    #[error("a percent-escape is broken")]
    BrokenEscape,
    /// A segment is `.` or `..` once its parameters are removed (`/v1/..;x/orders`). Some servers
    /// remove the parameters first and then resolve the dot segment; the URL Standard does not
    /// resolve it, unlike all other dot segments.
    #[error("a dot segment has parameters")]
    DotSegment,
}

/// The segments of a request's path for matching: decoded, without parameters, in lower case.
///
/// Percent-escapes are decoded once, segment by segment. In each segment everything from the first
/// `;` on, also written as `%3B`, is removed: it is a parameter of that segment (RFC 3986 §3.3),
/// which servlet containers and others remove before they look for a handler. A segment that is
/// empty after that is ignored, as one between two slashes is. All this is for matching only: the
/// origin and the cache key get the path as it is.
///
/// Servers disagree about these, so they are not folded:
///
/// - an encoded slash: `/a%2Fb` is one segment, `a/b`; likewise an escaped `\`, `%5C` (an unescaped
///   `\` is a slash by the URL Standard);
/// - text that is encoded twice: `%253B` is the text `%3b`, not a parameter;
/// - dots and spaces at the end of a segment: `/orders.`, `/orders%20`;
/// - an extension: `/orders.json`;
/// - Unicode normalisation: `/ordérs` in two normal forms is two paths.
///
/// If the origin treats one of these like the plain path, it must not answer it, or the
/// configuration needs a pattern that covers it, too (`/{*rest}` with the same limits).
///
/// # Errors
///
/// If a percent-escape is broken, or if parameters follow a dot segment.
///
/// ```
/// # use omnitrade_edge::engine::route::segments;
/// assert_eq!(segments("/API//v1/%6frders/").unwrap(), ["api", "v1", "orders"]);
/// assert_eq!(segments("/api;a=b/v1/;c/orders%3Bd").unwrap(), ["api", "v1", "orders"]);
/// assert!(segments("/%zz").is_err() && segments("/api/..;/v1").is_err());
/// ```
pub fn segments(path: &str) -> Result<Vec<String>, PathError> {
    let folded = path.split('/').map(folded);
    folded
        .filter(|part| !part.as_ref().is_ok_and(String::is_empty))
        .collect()
}

/// Whether a segment of the path has parameters, which are removed before matching.
pub fn has_parameters(path: &str) -> bool {
    let escaped = |at: &[u8]| at.eq_ignore_ascii_case(b"%3b");
    path.contains(';') || path.as_bytes().windows(3).any(escaped)
}

/// A segment without its parameters. The segment may be decoded or not.
///
/// ```
/// # use omnitrade_edge::engine::route::without_parameters;
/// assert_eq!(without_parameters(b"7;x=1"), b"7");
/// ```
pub fn without_parameters(segment: &[u8]) -> &[u8] {
    segment.split(|b| *b == b';').next().unwrap_or_default()
}

/// A segment, decoded, without parameters and in lower case. If the result is not UTF-8, each byte
/// becomes the character with that number.
fn folded(segment: &str) -> Result<String, PathError> {
    let decoded = decoded(segment)?;
    let plain = without_parameters(&decoded);
    if plain.len() < decoded.len() && matches!(plain, b"." | b"..") {
        return Err(PathError::DotSegment);
    }
    Ok(match std::str::from_utf8(plain) {
        Ok(text) => lower_case(text),
        Err(_) => {
            let text: String = plain.iter().map(|b| char::from(*b)).collect();
            lower_case(&text)
        }
    })
}

/// The text in lower case, by the rules of Unicode that hold in every language.
fn lower_case(text: &str) -> String {
    match text.is_ascii() {
        true => text.to_ascii_lowercase(),
        false => beyond_ascii_in_lower_case(text),
    }
}

#[cfg(not(all(target_arch = "wasm32", feature = "fetch")))]
fn beyond_ascii_in_lower_case(text: &str) -> String {
    text.to_lowercase()
}

/// JavaScript follows the same rules (ECMA-262, `String.prototype.toLowerCase`) and has the tables
/// for them, which would make the Worker 6 kB larger.
#[cfg(all(target_arch = "wasm32", feature = "fetch"))]
fn beyond_ascii_in_lower_case(text: &str) -> String {
    js_sys::JsString::from(text).to_lower_case().into()
}

/// A segment without percent-escapes.
fn decoded(segment: &str) -> Result<Cow<'_, [u8]>, PathError> {
    if !segment.contains('%') {
        return Ok(Cow::Borrowed(segment.as_bytes()));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let mut digit = || {
                rest.next()
                    .and_then(hex_digit)
                    .ok_or(PathError::BrokenEscape)
            };
            digit()? << 4 | digit()?
        } else {
            byte
        });
    }
    Ok(Cow::Owned(bytes))
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn winner<'a>(patterns: &[&'a str], path: &str) -> Option<&'a str> {
        let mut sorted: Vec<_> = patterns
            .iter()
            .map(|text| (Pattern::parse(text).unwrap(), *text))
            .collect();
        sorted.sort();
        let path = segments(path).unwrap();
        let found = sorted.iter().find(|(pattern, _)| pattern.matches(&path));
        found.map(|(_, text)| *text)
    }

    #[test]
    fn the_most_specific_path_wins() {
        let routes = [
            "/{*rest}",
            "/api/{*rest}",
            "/api/{id}",
            "/api/{id}/x",
            "/api/book",
            "/",
        ];
        for (path, expected) in [
            ("/", "/"),
            ("/other", "/{*rest}"),
            ("/api", "/api/{*rest}"),
            ("/api/7", "/api/{id}"),
            ("/api/7/x", "/api/{id}/x"),
            ("/api/7/y", "/api/{*rest}"),
            ("/api/book", "/api/book"),
        ] {
            assert_eq!(winner(&routes, path), Some(expected), "{path}");
        }
    }

    #[test]
    fn no_spelling_slips_past() {
        for path in [
            "/api/book/",
            "//api//book",
            "/API/Book",
            "/api/%62ook",
            "/%61pi/boo%4B",
            "/api/book;x=1",
            "/api/book%3Bx=1",
            "/api/book%3bx=1;y/",
            "/api;a=b/book",
            "/;a/api/;/book;",
            "/%61pi%3B%2F/book;/",
        ] {
            assert_eq!(winner(&["/api/book"], path), Some("/api/book"), "{path}");
        }
        assert_eq!(
            winner(&["/api/book"], "/api%2Fbook"),
            None,
            "one segment, not two"
        );
    }

    #[test]
    fn a_broken_escape_is_an_error() {
        for path in ["/%", "/a%2", "/%g0", "/%%31", "/a;%", "/a/;%3"] {
            assert_eq!(segments(path), Err(PathError::BrokenEscape), "{path}");
        }
        assert_eq!(segments("/%ff").unwrap(), ["ÿ"], "not UTF-8, but an escape");
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            "a",
            "/{",
            "/{}",
            "/{*}",
            "/a{b}",
            "/{*a}/b",
            "/{a b}",
            "/a?b",
            "/%",
            "/a/./b",
            "/..",
            "/%2e%2E/a",
            "/a/.%2e",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_that_no_path_could_match_is_refused_with_the_reason() {
        for text in ["/a;b", "/a%3Bb", "/a%3b", "/;", "/a;b/{id}", "/a/{*rest}/;"] {
            assert_eq!(Pattern::parse(text), Err(PatternError::Parameter), "{text}");
        }
        assert!(
            Pattern::parse("/a%253Bb").is_ok(),
            "no parameter, but a text"
        );
    }

    /// Some servers resolve such a segment; servers that follow the URL Standard do not.
    #[test]
    fn a_dot_segment_with_parameters_is_an_error() {
        for path in [
            "/a/..;/b",
            "/a/.;x/b",
            "/..%3B",
            "/%2e%2e;a=b/c",
            "/a/.%2E%3bx",
        ] {
            assert_eq!(segments(path), Err(PathError::DotSegment), "{path}");
        }
        for path in ["/a/...;x", "/a/.x;..", "/a/x;/..;", "/a;.."] {
            assert_eq!(segments(path).is_err(), path.ends_with("/..;"), "{path}");
        }
    }

    #[test]
    fn what_servers_do_not_agree_on_is_not_folded() {
        for path in [
            "/api/book.",
            "/api/book%20",
            "/api/book.json",
            "/api%2Fbook",
            "/api%5Cbook",
            "/api/book%253Bx",
            "/api/book,x",
            "/api/book=x",
        ] {
            assert_eq!(winner(&["/api/book"], path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_parameter_changes_which_pattern_matches(
            path in "(/(api|v1|book|[a-z%;]{0,3}|b%6Fok|7))(/(api|v1|book|x|.{0,3})){0,3}/?",
            parameters in proptest::collection::vec("((;|%3B|%3b)[a-zA-Z0-9=;.%+-]{0,4})?", 6),
        ) {
            let routes = [
                "/", "/{*rest}", "/api", "/api/{id}", "/api/book", "/api/v1/{*rest}", "/{a}/{b}/x",
            ];
            // A path that is broken, with or without the parameters, matches nothing.
            let plain = segments(&path);
            let mut parameters = parameters.into_iter().chain(std::iter::repeat(String::new()));
            let spelt: Vec<_> = path
                .split('/')
                .enumerate()
                .map(|(n, part)| match n {
                    0 => part.to_owned(),
                    _ => format!("{part}{}", parameters.next().unwrap()),
                })
                .collect();
            let spelt = spelt.join("/");
            if let (Ok(plain), Ok(spelt_segments)) = (plain, segments(&spelt)) {
                prop_assert_eq!(&spelt_segments, &plain, "{}", spelt);
                prop_assert_eq!(winner(&routes, &spelt), winner(&routes, &path));
            }
        }

        #[test]
        fn any_path_is_read_or_refused(path in ".*") {
            let _ = segments(&path);
            let _ = Pattern::parse(&path);
        }
    }
}
