//! Other URLs that a response refers to (RFC 9111 §4.4, RFC 3986 §5.2).

use crate::engine::url::{Target, cleaned};

/// Resolves a reference against the URL `base`. `None` if the result is of another origin. `also`
/// is another address of the same origin, such as `https://api.example/prefix`, under which the
/// server knows itself.
///
/// RFC 9111 §4.4: "a cache MUST NOT invalidate the stored responses of a URI whose origin differs
/// from that of the target URI."
///
/// ```
/// # use omnitrade_edge::engine::http_cache::{Target, same_origin_reference};
/// let base = Target::of("https://edge.example/orders/7?x=1").unwrap();
/// let of = |reference| same_origin_reference(&base, "http://api.internal/v1", reference);
/// let book = Target::of("https://edge.example/book");
/// assert_eq!(of("../book"), book);
/// assert_eq!(of("http://api.internal/v1/b%6fok"), book);
/// assert_eq!(of("https://other.example/book"), None);
/// ```
pub fn same_origin_reference(
    base: &Target<'_>,
    also: &str,
    reference: &str,
) -> Option<Target<'static>> {
    let url = absolute(base, &cleaned(reference))?;
    let there = Target::of(&url)?;
    if there.is_of_the_origin_of(base) {
        return Some(there.into_owned());
    }
    let served = Target::of(also)?;
    let prefix = served.path().trim_end_matches('/');
    let path = there.path().strip_prefix(prefix)?;
    if !there.is_of_the_origin_of(&served) || !path.starts_with('/') {
        return None;
    }
    let url = with_query(on(base, path), there.query());
    Some(Target::of(&url)?.into_owned())
}

/// The reference as an absolute URL (RFC 3986 §5.2.2; `\` is `/`, as in the URL Standard). `None`
/// if its scheme is neither the base's nor followed by `//`.
fn absolute(base: &Target<'_>, reference: &str) -> Option<String> {
    let reference = reference.split_once('#').map_or(reference, |(url, _)| url);
    // Blanks before a fragment belong to the URL; those at its end do not.
    let end = reference.trim_end_matches(' ');
    let reference = format!("{end}{}", "%20".repeat(reference.len() - end.len()));
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference.as_str(), None),
    };
    let path = path.replace('\\', "/");
    let path = match scheme(&path) {
        Some((_, rest)) if rest.starts_with("//") => return Some(with_query(path, query)),
        // URL Standard, "scheme state": a reference is relative if it starts with the scheme of the
        // base and no `//` follows.
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(base.scheme()) => rest,
        Some(_) => return None,
        None => &path,
    };
    let url = match path {
        "" => on(base, base.path()),
        _ if path.starts_with("//") => format!("{}:{path}", base.scheme()),
        _ if path.starts_with('/') => on(base, path),
        _ => {
            let folder = base
                .path()
                .rsplit_once('/')
                .map_or("", |(folder, _)| folder);
            on(base, &format!("{folder}/{path}"))
        }
    };
    let own = base.query().filter(|_| path.is_empty());
    Some(with_query(url, query.or(own)))
}

/// A scheme (RFC 3986 §3.1), and the text after it.
fn scheme(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let is_one = scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(fits);
    is_one.then_some((scheme, rest))
}

/// The URL of a path on the host of `base`.
fn on(base: &Target<'_>, path: &str) -> String {
    format!("{}://{}{path}", base.scheme(), base.host())
}

fn with_query(url: String, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{url}?{query}"),
        None => url,
    }
}
