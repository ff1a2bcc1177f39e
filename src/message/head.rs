//! The heads of requests and of the origin's answers. Decisions see them through small traits, so
//! that nothing is copied that no decision needs.

use crate::engine::http_cache::Fields;

/// The longest URL that the gate accepts, in bytes. It is the platform's own limit.
pub const LONGEST_URL: usize = 16 * 1024;

/// The head of a client's request: its fields by name, its method and its URL.
pub trait Head: Fields {
    /// The method, in capitals.
    fn method(&self) -> &str;

    /// The absolute URL, as the client sent it.
    fn url(&self) -> &str;

    /// The names of all fields, in lower case, each once. Listing them is slow, so it is done only
    /// for a request that goes to the origin.
    fn names(&self) -> Vec<String>;

    /// Whether only the limits are asked about this request, because something else answers it.
    fn asks_limits_only(&self) -> bool {
        false
    }
}

/// The head of the origin's answer: its fields by name, and its status.
pub trait OriginHead: Fields {
    /// The HTTP status.
    fn status(&self) -> u16;

    /// The names of all its fields, in lower case, each once.
    fn names(&self) -> Vec<String>;

    /// All field lines, with names in lower case. It is called only if the answer may be stored. A
    /// line that cannot be read has U+FFFD as its value.
    fn headers(&self) -> Vec<(String, String)>;
}

/// Whether a request announces a body of more bytes than `most`.
pub fn announces_more(request: &impl Head, most: usize) -> bool {
    let length = request.value("content-length");
    let length = length.and_then(|length| length.trim().parse::<usize>().ok());
    length.is_some_and(|length| length > most)
}

/// The `Content-Length` of a response, in bytes.
pub fn announced_length(response: &[(String, String)]) -> Option<usize> {
    response.value("content-length")?.parse().ok()
}

/// The token in an `Authorization` field of the scheme `Bearer` (RFC 6750 §2.1). The scheme's
/// letter case does not count (RFC 9110 §11.1).
///
/// ```
/// # use omnitrade_edge::message::head::bearer;
/// assert_eq!(bearer("Bearer abc.def"), Some("abc.def"));
/// assert_eq!(bearer("bearer  abc "), Some("abc"));
/// assert_eq!(bearer("Basic abc"), None);
/// assert_eq!(bearer("Bearer "), None);
/// ```
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Whether a request asks for an upgrade to WebSocket.
pub fn is_upgrade(head: &impl Head) -> bool {
    head.value("upgrade")
        .is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

/// Whether a request is a CORS preflight (Fetch Standard, "CORS-preflight fetch").
pub fn is_preflight(head: &impl Head) -> bool {
    head.method() == "OPTIONS"
        && head.value("origin").is_some()
        && head.value("access-control-request-method").is_some()
}
