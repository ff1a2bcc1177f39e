//! One `GET` of JSON from another server than the store, and what can be wrong with it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Request, StatusCode};
use omnitrade_edge::shell::ReqwestTransport;
use omnitrade_edge::transport::Transport as _;
use serde_json::Value;

use super::patient::Address;

/// Why there is no JSON. No variant holds an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// The address is none, or not a safe one.
    #[error("the address is not one of https:// (http:// only on this machine)")]
    Address,
    /// The secret cannot be sent.
    #[error("the secret has characters that no header takes")]
    Secret,
    /// There was no answer.
    #[error("{0}")]
    Silent(String),
    /// The answer has this status.
    #[error("it answers with status {0}")]
    Status(StatusCode),
    /// The answer is no JSON.
    #[error("its answer is no JSON")]
    Foreign,
}

/// Sends `authorization` to `base` with `path`, and reads the JSON that it answers.
pub async fn get(
    transport: &ReqwestTransport,
    base: &str,
    path: &str,
    authorization: &str,
) -> Result<Value, Unread> {
    let address = Address::of(base);
    let is_http = base.starts_with("http://") && address.loopback;
    if address.host.is_empty() || base.contains(['?', '#', '@']) || !address.tls && !is_http {
        return Err(Unread::Address);
    }
    let mut secret = HeaderValue::from_str(authorization).map_err(|_| Unread::Secret)?;
    secret.set_sensitive(true);
    let request = Request::get(format!("{}{path}", base.trim_end_matches('/')))
        .header(AUTHORIZATION, secret)
        .header(ACCEPT, "application/json")
        .body(Bytes::new())
        .map_err(|_| Unread::Address)?;
    let answer = transport.send(request, PATIENCE, LONGEST).await;
    let answer = answer.map_err(|error| Unread::Silent(error.to_string()))?;
    if answer.status() != StatusCode::OK {
        return Err(Unread::Status(answer.status()));
    }
    serde_json::from_slice(answer.body()).map_err(|_| Unread::Foreign)
}

/// The deadline: a Worker may ping a slow store a few times meanwhile.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest answer that is read, in bytes.
const LONGEST: usize = 8 << 20;
