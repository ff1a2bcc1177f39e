//! The client that sent a request: its API key, the user of its token, and its address.

use std::borrow::Cow;
use std::sync::Arc;

use crate::config::{self, Keys};
use crate::engine::http_cache::is_exact;
use crate::engine::registry::RecordNames;
use crate::engine::subject;
use crate::message::head::{Head, bearer};

use super::digests::ClientDigests;
use super::tokens::Holder;

/// The client that sent a request. Its address and the digest of its key are computed only if
/// somebody asks for them.
#[derive(Debug)]
pub struct Client<'a, H> {
    rules: &'a config::Client,
    key_prefix: &'a str,
    digests: &'a ClientDigests,
    head: &'a H,
    api_key: Option<Cow<'a, str>>,
    /// Whom the client's token stands for.
    pub holder: Option<Arc<Holder>>,
    /// Whether the token counts before the API key.
    pub holder_first: bool,
    /// As [`subject::of_header`] gives it.
    address: Option<(String, bool)>,
    digest: Option<String>,
}

impl<'a, H: Head> Client<'a, H> {
    /// The client that sent `head`. `digests`: those of `key_prefix`. `holder`: the client that its
    /// token stands for.
    pub fn new(
        rules: &'a config::Client,
        key_prefix: &'a str,
        digests: &'a ClientDigests,
        head: &'a H,
        holder: Option<Arc<Holder>>,
    ) -> Self {
        let mut client = Self {
            rules,
            key_prefix,
            digests,
            head,
            api_key: None,
            holder,
            holder_first: false,
            address: None,
            digest: None,
        };
        for name in &rules.api_key_headers {
            if rules.jwt.is_some() && is_authorization(name) {
                client.holder_first |= client.api_key.is_none();
            } else if client.api_key.is_none() {
                client.api_key = api_key(head, name);
            }
        }
        client
    }

    /// The subject of its API key, if it has one.
    pub fn digest(&mut self) -> Option<String> {
        let key = self.api_key.as_ref()?;
        let digest = || self.digests.of_api_key(key.trim());
        Some(self.digest.get_or_insert_with(digest).clone())
    }

    /// Where the store may have the record of its API key, if only registered keys count.
    pub fn record(&mut self) -> Option<RecordNames> {
        if self.rules.keys == Keys::Any {
            return None;
        }
        let current = self.digest()?;
        let previous = self
            .digests
            .previous_of_api_key(self.api_key.as_ref()?.trim());
        Some(RecordNames::new(
            self.key_prefix,
            &current,
            previous.as_deref(),
        ))
    }

    /// The subject of its address.
    pub fn address(&mut self) -> String {
        let (rules, head) = (self.rules, self.head);
        let read = || {
            let text = head.value(&rules.ip_header);
            subject::of_header(text.as_deref(), rules.ipv6_prefix)
        };
        self.address.get_or_insert_with(read).0.clone()
    }

    /// Whether the header that should hold its address is there but does not, as far as somebody
    /// has asked for the address.
    pub fn has_odd_address(&self) -> bool {
        self.address.as_ref().is_some_and(|(_, is_odd)| *is_odd)
    }
}

/// The API key in the header of this name. If its octets are not known exactly, nobody can say
/// whose key it is, so there is none.
fn api_key<'a>(head: &'a impl Head, name: &str) -> Option<Cow<'a, str>> {
    if is_authorization(name) {
        return token(head).map(Cow::Owned);
    }
    let key = head.value(name)?;
    (!key.trim().is_empty() && is_exact(&key)).then_some(key)
}

/// The `Bearer` token of a request. There is none in a field of several lines, which the platform
/// joins by commas: nobody can say which of them the origin obeys.
pub fn token(head: &impl Head) -> Option<String> {
    let field = head.value("authorization")?;
    let fits = |token: &&str| !token.contains([' ', '\t', ',']) && is_exact(token);
    bearer(&field).filter(fits).map(str::to_owned)
}

fn is_authorization(name: &str) -> bool {
    name.eq_ignore_ascii_case("authorization")
}
