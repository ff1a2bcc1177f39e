//! The heads of requests and of the origin's answers, seen through small traits, so that nothing is
//! copied that no decision needs.

use crate::engine::http_cache::Fields;

/// The longest URL that is taken: as long as the platform takes.
pub const LONGEST_URL: usize = 16 * 1024;

/// The head of a client's request: its fields by name, and these.
pub trait Head: Fields {
    /// The method, in capitals.
    fn method(&self) -> &str;

    /// The absolute URL, as it came.
    fn url(&self) -> &str;

    /// The names of all its fields, in lower case, each once. To list them takes time that only a
    /// request to the origin is worth.
    fn names(&self) -> Vec<String>;
}

/// The head of the origin's answer: its fields by name, and these.
pub trait OriginHead: Fields {
    /// The HTTP status.
    fn status(&self) -> u16;

    /// All field lines, names in lower case; asked for only where the answer may be stored. One that
    /// cannot be read is there with a value of U+FFFD.
    fn headers(&self) -> Vec<(String, String)>;
}

/// The length that a response announces, in bytes.
pub fn announced_length(response: &[(String, String)]) -> Option<usize> {
    response.value("content-length")?.parse().ok()
}

/// Whether a request asks for another protocol: a WebSocket.
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
