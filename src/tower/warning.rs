//! What is said once of requests that have no key.

/// Says that requests without a key share what the limit `name` allows.
pub(super) fn warn(name: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(limit = name, "{TEXT}");
    // A program without the feature would learn of it only from its clients.
    #[cfg(not(feature = "tracing"))]
    eprintln!("omnitrade-edge: the limit {name:?}: {TEXT}");
}

/// What to do about it depends on the key; most often, the address of the peer is not known.
const TEXT: &str = "a request has no key. It shares one quota with all others that have none, of \
    which nothing more is said. Under axum, `PeerIp` needs the crate's feature `axum`, and the \
    program has to serve by `into_make_service_with_connect_info::<SocketAddr>()`.";
