//! Routes: which one claims a request. The most specific path wins.
//!
//! A path is matched as servers read it and not as it is spelt, so that no spelling slips past a
//! limit: percent-escapes are decoded segment by segment, case does not matter, nor do repeated
//! slashes or one at the end.

/// A path pattern: literal segments, `{name}` for one segment, `{*name}` for the rest.
///
/// The order is that of specificity, the most specific first: segment by segment a literal before
/// `{name}` before `{*rest}`, and of two that agree so far the one that ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(String),
    One,
    Rest,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a path such as \"/v1/books/{{id}}\" or \"/files/{{*rest}}\"")]
pub struct PatternError;

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// If it does not start with `/`, holds braces that are not a whole segment, an empty name or
    /// a broken percent-escape, or has anything after `{*rest}`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with('/') || text.contains(['?', '#']) {
            return Err(PatternError);
        }
        let mut segments = Vec::new();
        for part in text.split('/').filter(|part| !part.is_empty()) {
            if segments.last() == Some(&Segment::Rest) {
                return Err(PatternError);
            }
            segments.push(match part.strip_prefix('{') {
                Some(name) => {
                    let name = name.strip_suffix('}').ok_or(PatternError)?;
                    let rest = name.strip_prefix('*');
                    let plain = rest.unwrap_or(name);
                    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                    if plain.is_empty() || !plain.bytes().all(word) {
                        return Err(PatternError);
                    }
                    rest.map_or(Segment::One, |_| Segment::Rest)
                }
                None if part.contains(['{', '}']) => return Err(PatternError),
                None => Segment::Literal(folded(part).map_err(|BrokenEscape| PatternError)?),
            });
        }
        Ok(Self { segments })
    }

    /// Whether `path`, as [`segments`] gives it, is of this pattern.
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

/// A percent sign that two hexadecimal digits do not follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokenEscape;

/// The segments of a request's path, decoded and in lower case.
///
/// # Errors
///
/// If a percent-escape is broken: servers disagree about such a path, so nobody should route by it.
///
/// ```
/// # use omnitrade_edge::engine::route::segments;
/// assert_eq!(segments("/API//v1/%6frders/").unwrap(), ["api", "v1", "orders"]);
/// assert!(segments("/%zz").is_err());
/// ```
pub fn segments(path: &str) -> Result<Vec<String>, BrokenEscape> {
    path.split('/')
        .filter(|part| !part.is_empty())
        .map(folded)
        .collect()
}

/// A segment, decoded and in lower case. What is not UTF-8 is taken byte by byte.
fn folded(segment: &str) -> Result<String, BrokenEscape> {
    if !segment.contains('%') {
        return Ok(segment.to_lowercase());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let high = rest.next().and_then(hex_digit).ok_or(BrokenEscape)?;
            let low = rest.next().and_then(hex_digit).ok_or(BrokenEscape)?;
            high << 4 | low
        } else {
            byte
        });
    }
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|e| e.as_bytes().iter().map(|b| char::from(*b)).collect());
    Ok(text.to_lowercase())
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
        for path in ["/%", "/a%2", "/%g0", "/%%31"] {
            assert_eq!(segments(path), Err(BrokenEscape), "{path}");
        }
        assert_eq!(segments("/%ff").unwrap(), ["ÿ"], "not UTF-8, but an escape");
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "", "a", "/{", "/{}", "/{*}", "/a{b}", "/{*a}/b", "/{a b}", "/a?b", "/%",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused(path in ".*") {
            let _ = segments(&path);
            let _ = Pattern::parse(&path);
        }
    }
}
