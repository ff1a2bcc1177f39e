//! The page for operators: one document without outside requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const DOCUMENT: &str = include_str!("page.html");

/// The page, and the policy under which browsers show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The document, in UTF-8.
    pub html: &'static str,
    /// The value of `Content-Security-Policy`: only the document's own style and script, known by
    /// their hashes (CSP 3 §2.3.1), and requests to the gate itself.
    pub policy: String,
}

impl Page {
    /// The page as it was built.
    pub fn built() -> Self {
        let hash = |tag: &str| {
            let (open, close) = (["<", tag, ">"].concat(), ["</", tag, ">"].concat());
            let from = DOCUMENT.split_once(&*open).map_or("", |(_, rest)| rest);
            let content = from.split_once(&*close).map_or("", |(content, _)| content);
            let digest = STANDARD.encode(Sha256::digest(content.as_bytes()));
            ["'sha256-", &digest, "'"].concat()
        };
        let policy = [
            "default-src 'none'; style-src ",
            &hash("style"),
            "; script-src ",
            &hash("script"),
            "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ];
        Self {
            html: DOCUMENT,
            policy: policy.concat(),
        }
    }
}
