//! References to the origin's own address, as a client of the gate can follow them.

use super::http_cache::is_exact;
use super::url::{Target, as_written};

/// An absolute reference to a place on the server `from`, which has an address as
/// `https://api.internal/v1`, turned into the same place on the server `to`, an address without a
/// path: the path of `from` comes off. `None` for a reference that is relative, or names another
/// server or a place outside that path: it stays as it is.
///
/// The rest of the reference stays as it was written, but for dot segments. One without a scheme
/// (`//api.internal/v1/x`) has that of `from`, which is the one that the server was called by.
///
/// ```
/// # use omnitrade_edge::engine::location::moved;
/// let of = |reference| moved(reference, "http://api.internal/v1", "https://edge.example");
/// let book = "https://edge.example/b%6fok?at=%2f#top".to_owned();
/// assert_eq!(of("http://API.internal:80/v1/b%6fok?at=%2f#top"), Some(book));
/// for stays in ["/v1/book", "http://other.example/v1/book", "http://api.internal/v2"] {
///     assert_eq!(of(stays), None, "{stays}");
/// }
/// ```
pub fn moved(reference: &str, from: &str, to: &str) -> Option<String> {
    // Octets that are not UTF-8 cannot be written back.
    if !is_exact(reference) {
        return None;
    }
    let server = Target::of(from)?;
    let (url, fragment) = match reference.split_once('#') {
        Some((url, fragment)) => (url, Some(fragment)),
        None => (reference, None),
    };
    let url = match url.trim_start().starts_with("//") {
        true => format!("{}:{}", server.scheme(), url.trim_start()),
        false => url.to_owned(),
    };
    let there = Target::of(&url)?;
    if !there.is_of_the_origin_of(&server) {
        return None;
    }
    let prefix = server.path().trim_end_matches('/');
    let (path, query) = as_written(&url)?;
    // A path whose prefix is spelt in another way can be told by its normal form only.
    let path = below(&path, prefix).or_else(|| below(there.path(), prefix))?;
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let fragment = fragment.map(|text| format!("#{text}")).unwrap_or_default();
    Some(format!("{to}{path}{query}{fragment}"))
}

/// What follows the prefix in a path.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    match path.strip_prefix(prefix)? {
        "" => Some("/"),
        rest => rest.starts_with('/').then_some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_to_the_origin_itself_is_moved_however_it_is_spelt() {
        let of = |reference| {
            moved(
                reference,
                "https://api.internal:8443/v1",
                "http://edge.example",
            )
        };
        for (reference, expected) in [
            ("https://api.internal:8443/v1/a", "/a"),
            ("HTTPS://Api.Internal:8443/v1/a", "/a"),
            ("https://api.internal:8443/v1", "/"),
            ("https://api.internal:8443/v1/", "/"),
            ("https://api.internal:8443/v1?x=1", "/?x=1"),
            ("https://api.internal:8443/v1/a?", "/a?"),
            ("https://api.internal:8443/v1/a#b?c", "/a#b?c"),
            ("https://api.internal:8443/v1/a/%2e%2e/%62", "/%62"),
            ("https://api.internal:8443/%761/a", "/a"),
            (
                "https://api.internal:8443/v1/%e2%82%ac?q=%2f",
                "/%e2%82%ac?q=%2f",
            ),
            ("https:\\\\api.internal:8443\\v1\\a", "-"),
            ("https://api.internal:8443\\v1\\a", "/a"),
            ("//api.internal:8443/v1/a", "/a"),
        ] {
            let expected = (expected != "-").then(|| format!("http://edge.example{expected}"));
            assert_eq!(of(reference), expected, "{reference}");
        }
    }

    #[test]
    fn any_other_reference_stays() {
        let of = |reference| moved(reference, "https://api.internal/v1", "http://edge.example");
        for reference in [
            "",
            "a",
            "/v1/a",
            "?x",
            "#y",
            "http://api.internal/v1/a",
            "https://api.internal:8443/v1/a",
            "https://api.internal.example/v1/a",
            "https://api.internal/v10/a",
            "https://api.internal/V1/a",
            "https://api.internal/v1/../a",
            "https://api.internal/v1/%2E%2e/a",
            "https://me@api.internal/v1/a",
            "https://other.example/?to=https://api.internal/v1/a",
            "mailto:a@api.internal",
            "https://api.internal/v1/\u{fffd}",
            "https://api.internal/v1/#\u{fffd}",
        ] {
            assert_eq!(of(reference), None, "{reference}");
        }
    }

    #[test]
    fn an_origin_without_a_path_has_no_prefix_to_take_off() {
        let of = |reference| moved(reference, "https://api.internal", "https://edge.example");
        assert_eq!(
            of("https://api.internal").as_deref(),
            Some("https://edge.example/")
        );
        assert_eq!(
            of("https://api.internal/v1").as_deref(),
            Some("https://edge.example/v1")
        );
    }
}
