//! A request's head, seen through a small trait, so that nothing is copied that no decision needs.

use crate::engine::cache::Fields;

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
