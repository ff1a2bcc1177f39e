//! URLs that a response names beside its own (RFC 9111 §4.4, RFC 3986 §5.2).

use super::key::Target;

/// The URL that a reference names, seen from the URL `base`, if it is of the same origin; `also` is
/// another spelling of that origin, as `https://api.example/prefix`, under which the server knows
/// itself.
///
/// RFC 9111 §4.4: "a cache MUST NOT invalidate the stored responses of a URI whose origin differs from
/// that of the target URI."
///
/// ```
/// # use omnitrade_edge::engine::cache::same_origin_reference;
/// let base = "https://edge.example/orders/7?x=1";
/// let of = |reference| same_origin_reference(base, "http://api.internal/v1", reference);
/// assert_eq!(of("../book").as_deref(), Some("https://edge.example/book"));
/// assert_eq!(of("http://api.internal/v1/book").as_deref(), Some("https://edge.example/book"));
/// assert_eq!(of("https://other.example/book"), None);
/// ```
pub fn same_origin_reference(base: &str, also: &str, reference: &str) -> Option<String> {
    let here = Target::of(base)?;
    let reference = reference.trim();
    let reference = reference.split_once('#').map_or(reference, |(url, _)| url);
    let (path, query) = match absolute(&here, reference)? {
        Some(url) => {
            let there = Target::of(&url)?;
            if same_origin(&there, &here) {
                (there.path.to_owned(), there.query.map(str::to_owned))
            } else {
                let served = Target::of(also)?;
                let prefix = served.path.trim_end_matches('/');
                let path = there.path.strip_prefix(prefix)?;
                if !same_origin(&there, &served) || !path.starts_with('/') {
                    return None;
                }
                (path.to_owned(), there.query.map(str::to_owned))
            }
        }
        None => relative(&here, reference),
    };
    let path = without_dots(&path);
    let (scheme, host) = (here.scheme, here.host);
    Some(match query {
        Some(query) => format!("{scheme}://{host}{path}?{query}"),
        None => format!("{scheme}://{host}{path}"),
    })
}

/// The reference as a URL of its own, if it is one; `None` outside: it is no URL of the web.
fn absolute(here: &Target<'_>, reference: &str) -> Option<Option<String>> {
    if reference.starts_with("//") {
        return Some(Some(format!("{}:{reference}", here.scheme)));
    }
    let scheme = reference.split(['/', '?']).next().unwrap_or_default();
    match scheme.split_once(':') {
        Some(_) if reference.contains("://") => Some(Some(reference.to_owned())),
        Some(_) => None,
        None => Some(None),
    }
}

fn relative(here: &Target<'_>, reference: &str) -> (String, Option<String>) {
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    if path.is_empty() {
        // RFC 3986 §5.2.2: the base's own path, and its query unless there is another.
        return (
            here.path.to_owned(),
            query.or(here.query).map(str::to_owned),
        );
    }
    let path = match path.starts_with('/') {
        true => path.to_owned(),
        false => {
            let folder = here.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{path}")
        }
    };
    (path, query.map(str::to_owned))
}

/// RFC 3986 §5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let last = segments.len().saturating_sub(1);
    for (n, segment) in segments.iter().enumerate() {
        match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
            "." if n == last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if n == last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

fn same_origin(a: &Target<'_>, b: &Target<'_>) -> bool {
    let origin = |target: &Target<'_>| {
        let scheme = target.scheme.to_ascii_lowercase();
        let port = if scheme == "https" { ":443" } else { ":80" };
        let host = target.host.to_ascii_lowercase();
        let host = host.strip_suffix(port).unwrap_or(&host).to_owned();
        (scheme, host)
    };
    origin(a) == origin(b)
}
