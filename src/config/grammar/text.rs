//! The text shapes of the grammar: which texts fit, and how an error describes them.

use std::time::Duration;

use crate::engine::cors::is_page_origin;
use crate::engine::http_cache::{VersionSource, is_token, places};
use crate::engine::route::{Pattern, PatternError};

use super::super::duration::parse_duration;
use super::super::method::{in_capitals, is_method};
use super::super::path::{has_wildcard_of_others, in_our_words};
use super::super::shape::{Shape, is_key_prefix, is_name};
use super::super::share::{parse_part, parse_share};

/// The name of a limit.
pub const NAME: Shape = Shape::Text {
    expected: "the name of a limit",
    fits: is_name,
};

/// The name of an origin quota.
pub const ORIGIN_QUOTA_NAME: Shape = Shape::Text {
    expected: "the name of an origin quota",
    fits: is_name,
};

/// A share of a limit.
pub const SHARE: Shape = Shape::Advised(
    &Shape::Text {
        expected: "a share such as \"20%\", from \"1%\" to \"90%\"",
        fits: |text| parse_share(text).is_some(),
    },
    |found| {
        let is_fraction =
            found.contains(['.', ',']) && found.contains(|c: char| c.is_ascii_digit());
        let told = "a share such as \"20%\", from \"1%\" to \"90%\" (a whole number and %)";
        is_fraction.then(|| told.to_owned())
    },
);

/// A part of a limit, which may be the whole.
pub const PART: Shape = Shape::Text {
    expected: "a part such as \"50%\", from \"1%\" to \"100%\"",
    fits: |text| parse_part(text).is_some(),
};

/// The prefix of all Redis key names.
pub const KEY_PREFIX: Shape = Shape::Text {
    expected: "a prefix of at most 32 letters, digits, `-`, `_` or `.`, some of them in braces or not, \
               such as \"ot\" or \"{ot}\"",
    fits: is_key_prefix,
};

/// The path of a route. `config/check.rs` rejects a `;` in it, with a message of its own.
pub const PATH: Shape = Shape::Advised(
    &Shape::Text {
        expected: "a path such as \"/v1/books/{id}\" or \"/files/{*rest}\"",
        fits: |text| {
            !has_wildcard_of_others(text)
                && !matches!(Pattern::parse(text), Err(PatternError::Malformed))
        },
    },
    in_our_words,
);

/// The address of an API.
pub const ORIGIN: Shape = Shape::Text {
    expected: "an address such as \"https://api.example.com\", without user, query or fragment",
    fits: is_origin,
};

/// The origin of pages.
pub const PAGE_ORIGIN: Shape = Shape::Text {
    expected: "an origin as browsers send it, such as \"https://app.example.com\" or \
               \"http://localhost:5173\" (in lower case, without the scheme's own port, without a \
               slash or path at its end, without a wildcard in it), or \"*\"",
    fits: |text| text == "*" || is_page_origin(text),
};

/// The name of a header.
pub const HEADER: Shape = Shape::Text {
    expected: "the name of a header",
    fits: is_token,
};

/// The name of a header that reaches the origin.
pub const FORWARD: Shape = Shape::Text {
    expected: "the name of a header (without `query` all go to the origin)",
    fits: |text| text != "*" && is_token(text),
};

/// A request method. `config/check.rs` rejects an unknown one.
pub const METHOD: Shape = Shape::Advised(
    &Shape::Text {
        expected: "a method in capitals, such as \"GET\"",
        fits: is_method,
    },
    in_capitals,
);

/// The name of a query parameter.
pub const PARAMETER: Shape = Shape::Text {
    expected: "the name of a query parameter, as it is before encoding",
    fits: |text| !text.is_empty() && text.len() <= 128,
};

/// The value of a query parameter.
pub const VALUE: Shape = Shape::Text {
    expected: "a value such as \"100\", as it is before encoding",
    fits: |text| !text.is_empty() && text.len() <= 256,
};

/// A tag, with placeholders for parameters of the query and of the path.
pub const TAG: Shape = Shape::Text {
    expected: "a tag such as \"orderbook\", \"symbol:{query.symbol}\" or \"book:{path.id}\", not \
               beginning with `@`",
    fits: is_tag,
};

/// The place where a response says how new it is.
pub const VERSION: Shape = Shape::Text {
    expected: "a place such as \"json:timestamp\", \"json:data.0.id\" or \"header:x-sequence\"",
    fits: |text| VersionSource::parse(text).is_some(),
};

/// The address of a key set.
pub const JWKS: Shape = Shape::Text {
    expected: "an address such as \"https://issuer.example.com/jwks.json\", without user or fragment \
               (http only for this machine: localhost, 127.0.0.1 or [::1])",
    fits: is_key_set,
};

/// The name of a claim of a token.
pub const CLAIM: Shape = Shape::Text {
    expected: "the name of a claim, such as \"sub\"",
    fits: |text| !text.is_empty() && text.len() <= 256,
};

/// What a token has to claim.
pub const CLAIMED: Shape = Shape::Text {
    expected: "a text that is not empty",
    fits: |text| !text.is_empty() && text.len() <= 1024,
};

/// Whoever can change the keys on their way can be any user, so they come over TLS.
fn is_key_set(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default();
    let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let is_safe = match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => is_here,
        _ => false,
    };
    let names_user = uri.authority().is_some_and(|a| a.as_str().contains('@'));
    is_safe && !names_user && !text.contains('#')
}

fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else {
        return false;
    };
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    let host = uri
        .authority()
        .is_some_and(|a| !a.host().is_empty() && !a.as_str().contains('@'));
    web && host && uri.query().is_none() && !text.contains('#')
}

fn is_tag(text: &str) -> bool {
    text.len() <= 128 && text.bytes().all(|b| b.is_ascii_graphic()) && places(text).is_some()
}

/// The name of a binding of the Worker.
pub const BINDING: Shape = Shape::Text {
    expected: "the name of a binding such as \"EDGE_METRICS\"",
    fits: |text| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(is_word)
    },
};

/// How often metrics are written.
pub const EVERY: Shape = Shape::Text {
    expected: "a duration from \"10s\" to \"5m\"",
    fits: |text| {
        let bounds = Duration::from_secs(10)..=Duration::from_secs(300);
        parse_duration(text).is_some_and(|every| bounds.contains(&every))
    },
};

/// A duration longer than zero.
pub const DURATION: Shape = Shape::Duration { or_zero: false };
