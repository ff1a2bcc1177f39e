//! The methods that routes can name. A route with a misspelt method would match no request.

/// The methods of the IANA HTTP Method Registry; without `PRI` and `*`, which are registered so
/// that no request uses them.
const REGISTERED: [&str; 39] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// Whether a text may be a method: capital letters, digits, `-` or `_`, the first one a letter. A
/// token may hold more (RFC 9110 §5.6.2), but no method in use does.
pub fn is_method(text: &str) -> bool {
    let fit = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    text.len() <= 32 && text.starts_with(|c: char| c.is_ascii_uppercase()) && text.bytes().all(fit)
}

/// Whether the method is registered.
pub fn is_registered(method: &str) -> bool {
    REGISTERED.contains(&method)
}

/// What to write in place of a text that is no method, if it is one but for its case: methods are
/// case-sensitive (RFC 9110 §9.1).
pub fn in_capitals(text: &str) -> Option<String> {
    let capitals = text.trim().to_ascii_uppercase();
    is_method(&capitals).then(|| format!("\"{capitals}\" (methods are written in capitals)"))
}
