//! Replies that report a failure: how an HTTP status and Redis's text become an [`Error`] that is
//! fit for logs.

use http::StatusCode;
use serde::Deserialize;

use crate::error::{Error, ErrorKind};

/// The error that an HTTP reply other than 2xx means.
///
/// Quota and size errors have no documented status, so the text of the reply, if there is one,
/// decides before the status does.
pub(super) fn from_reply(status: StatusCode, body: &[u8]) -> Error {
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return from_status(status);
    }
    let Some(text) = error_text(body) else {
        return from_status(status);
    };
    let error = from_text(&text);
    let known = error.kind() != ErrorKind::Command
        || error.redis_code() == Some(NO_SCRIPT)
        || is_first_line_refusal(&error);
    if known || status == StatusCode::BAD_REQUEST {
        error
    } else {
        from_status(status)
    }
}

/// The error that the text of a Redis error means.
pub(super) fn from_text(text: &str) -> Error {
    let message = text.strip_prefix("ERR ").unwrap_or(text);
    if refuses_first_line(message) {
        return first_line_refused();
    }
    for (phrase, kind) in BY_PHRASE {
        // In the middle of the text it is the error of a script that had begun to run.
        if let Some(position) = message.find(phrase) {
            return Error::new(*kind, position > 0, *phrase);
        }
    }
    let in_script = text.contains("user_script");
    // A discarded transaction has run nothing.
    if text.starts_with("EXECABORT") && text.contains(CROSS_SLOT) {
        return Error::new(ErrorKind::Config, false, CLUSTERED);
    }
    let code = text.split(' ').next().unwrap_or_default();
    for (known, kind, detail) in BY_CODE {
        if code == *known {
            return Error::new(*kind, in_script, *detail);
        }
    }
    Error::new(
        ErrorKind::Command,
        in_script || code != NO_SCRIPT,
        quotable(text),
    )
}

/// Redis's error code for an unknown script digest.
pub(super) const NO_SCRIPT: &str = "NOSCRIPT";

/// Whether the store rejected the first line of
/// [`Script::locking_lua`](super::Script::locking_lua), and so has run nothing.
pub(super) fn is_first_line_refusal(error: &Error) -> bool {
    *error == first_line_refused()
}

/// Replaces the errors that [`refuses_first_line`] recognises: their texts quote the script, so
/// they are not kept.
fn first_line_refused() -> Error {
    Error::new(
        ErrorKind::Command,
        false,
        "ERR the `#!` line of the script is not understood here",
    )
}

/// Redis 7 and later parse such a line but reject Upstash's flag; earlier versions fail at the `#`.
/// A server that accepts the line never reports an error in line 1, because that line holds no Lua.
fn refuses_first_line(message: &str) -> bool {
    message.starts_with("Unexpected flag in script shebang: allow-key-locking")
        || (message.starts_with("Error compiling script")
            && message.contains(":1: unexpected symbol near '#'"))
}

/// The error that a status without a text means.
fn from_status(status: StatusCode) -> Error {
    let (kind, may_have_run) = match status.as_u16() {
        401 | 403 => (ErrorKind::Unauthorised, false),
        413 => (ErrorKind::TooLarge, false),
        429 => (ErrorKind::Server, false),
        408 | 500..=599 => (ErrorKind::Server, true),
        _ => (ErrorKind::Protocol, true),
    };
    Error::new(
        kind,
        may_have_run,
        format!("HTTP status {}", status.as_u16()),
    )
}

/// The part of a server's text that may be shown: one line of bounded length that ends before the
/// first quotation, without words that are long enough to be a secret.
///
/// Text after the quotation is dropped too, because a quoted value may itself contain quotes.
fn quotable(text: &str) -> String {
    let end = COMMAND_FOLLOWS
        .iter()
        .filter_map(|phrase| text.find(phrase))
        .min();
    let end = end.into_iter().chain(first_quotation(text)).min();
    let shown = end.and_then(|end| text.get(..end)).unwrap_or(text);

    let mut quotable = String::new();
    let words = shown.split(|c: char| c.is_whitespace() || c.is_control());
    for word in words.filter(|word| !word.is_empty()) {
        if quotable.len() + word.len() > MAX_TEXT {
            push_word(&mut quotable, "…");
            return quotable;
        }
        let is_plain = word.len() <= MAX_WORD && !word.contains("://");
        push_word(&mut quotable, if is_plain { word } else { "…" });
    }
    if end.is_some() {
        push_word(&mut quotable, "…");
    }
    if quotable.is_empty() {
        "no text".to_owned()
    } else {
        quotable
    }
}

fn push_word(text: &mut String, word: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(word);
}

/// The position of the first quote that is not an apostrophe at the end of a word.
fn first_quotation(text: &str) -> Option<usize> {
    let mut before = ' ';
    for (index, c) in text.char_indices() {
        if matches!(c, '\'' | '"' | '`') && !before.is_alphanumeric() {
            return Some(index);
        }
        before = c;
    }
    None
}

/// Upstash's errors that have no code of their own.
const BY_PHRASE: &[(&str, ErrorKind)] = &[
    (
        "max daily request limit exceeded",
        ErrorKind::QuotaExhausted,
    ),
    ("max requests limit exceeded", ErrorKind::QuotaExhausted),
    ("DB capacity quota exceeded", ErrorKind::QuotaExhausted),
    ("max request size exceeded", ErrorKind::TooLarge),
    ("max single record size exceeded", ErrorKind::TooLarge),
    ("max key size exceeded", ErrorKind::TooLarge),
    ("max concurrent connections exceeded", ErrorKind::Server),
];

/// The error code of a clustered Redis for a script or a transaction whose keys do not all lie in
/// one slot. If a transaction is discarded for that reason, the code is in the middle of the text.
const CROSS_SLOT: &str = "CROSSSLOT";

/// The error text, which says what to do about it.
const CLUSTERED: &str = "CROSSSLOT, this Redis is clustered: put the key prefix, or a part of it, in braces \
                         (`key_prefix = \"{ot}\"`), so that all keys lie in one slot";

/// Redis's error codes that do not concern the command. Outside a script they are reported before
/// anything runs.
const BY_CODE: &[(&str, ErrorKind, &str)] = &[
    ("WRONGPASS", ErrorKind::Unauthorised, "WRONGPASS"),
    ("NOAUTH", ErrorKind::Unauthorised, "NOAUTH"),
    ("NOPERM", ErrorKind::Unauthorised, "NOPERM"),
    ("OOM", ErrorKind::QuotaExhausted, "OOM, no memory left"),
    ("LOADING", ErrorKind::Server, "LOADING"),
    ("BUSY", ErrorKind::Server, "BUSY with another script"),
    ("MASTERDOWN", ErrorKind::Server, "MASTERDOWN"),
    ("CLUSTERDOWN", ErrorKind::Server, "CLUSTERDOWN"),
    ("TRYAGAIN", ErrorKind::Server, "TRYAGAIN"),
    ("READONLY", ErrorKind::Server, "READONLY replica"),
    (CROSS_SLOT, ErrorKind::Config, CLUSTERED),
    // Redis's text continues with an address.
    (
        "MOVED",
        ErrorKind::Config,
        "MOVED, another node of this clustered Redis holds the keys: connect to that one, with the key \
         prefix in braces (`key_prefix = \"{ot}\"`), or to what leads to all nodes",
    ),
    (
        "ASK",
        ErrorKind::Server,
        "ASK, the keys are on their way to another node",
    ),
];

/// Redis and its proxies quote the command after these phrases.
const COMMAND_FOLLOWS: &[&str] = &["with args", "command was", "beginning with"];

/// The longest text that is shown, in bytes.
const MAX_TEXT: usize = 160;

/// The longest word that is shown, in bytes: shorter than a digest, a UUID or a token.
const MAX_WORD: usize = 31;

/// The text of `{"error": text}`.
fn error_text(reply: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    serde_json::from_slice::<Refusal>(reply)
        .ok()
        .map(|refusal| refusal.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        from_text(text).to_string()
    }

    #[test]
    fn nothing_that_a_caller_sent_is_shown() {
        for text in [
            "ERR unknown command 'FOO', with args beginning with: 'k' 's3cret' ",
            "ERR unknown command `FOO`, with args beginning with: `s3cret`, `it's s3cret",
            "ERR value 'a'b s3cret' is wrong",
            "ERR value 'it's s3cret",
            "ERR at \"s3cret",
            "ERR bad request, command was: [s3cret]",
            "ERR see https://s3cret.example/token for help",
            "ERR token AXX0s3cretAAAAAAAAAAAAAAAAAAAAAAAAAAAA is unknown",
            "WRONGPASS s3cret",
        ] {
            assert!(
                !shown(text).contains("s3cret"),
                "{} from {text}",
                shown(text)
            );
        }
    }

    #[test]
    fn what_helps_is_shown() {
        assert!(
            shown("WRONGTYPE Operation against a key")
                .ends_with(": WRONGTYPE Operation against a key")
        );
        assert!(shown("ERR can't do it").ends_with(": ERR can't do it"));
        assert!(
            shown("ERR wrong number of arguments for 'get' command").ends_with("arguments for …")
        );
        assert!(shown("").ends_with(": no text"));
        assert!(shown(&"ERR many words ".repeat(1_000)).len() < 250);
        assert!(!shown("ERR two\r\nlines\u{1b}[0m").contains(['\n', '\r', '\u{1b}']));
    }

    #[test]
    fn kinds_are_known_by_code_and_by_phrase() {
        let kind = |text| (from_text(text).kind(), from_text(text).may_have_run());
        let daily = "ERR max daily request limit exceeded. Limit: 10000, Usage: 10000.";
        assert_eq!(kind(daily), (ErrorKind::QuotaExhausted, false));
        let in_script = format!("ERR user_script:3: {daily}");
        assert_eq!(kind(&in_script), (ErrorKind::QuotaExhausted, true));
        assert_eq!(
            kind("ERR max requests limit exceeded"),
            (ErrorKind::QuotaExhausted, false)
        );
        assert_eq!(
            kind("ERR DB capacity quota exceeded"),
            (ErrorKind::QuotaExhausted, false)
        );
        assert_eq!(
            kind("ERR max request size exceeded"),
            (ErrorKind::TooLarge, false)
        );
        assert_eq!(
            kind("OOM command not allowed"),
            (ErrorKind::QuotaExhausted, false)
        );
        assert_eq!(kind("LOADING Redis is loading"), (ErrorKind::Server, false));
        assert_eq!(
            kind("NOSCRIPT No matching script."),
            (ErrorKind::Command, false)
        );
        assert_eq!(kind("WRONGTYPE Operation"), (ErrorKind::Command, true));
        assert_eq!(
            from_text("WRONGTYPE Operation").redis_code(),
            Some("WRONGTYPE")
        );
        assert_eq!(from_text("something else").redis_code(), None);
    }

    #[test]
    fn what_a_clustered_redis_says_is_a_setting_to_mend_and_shows_no_address() {
        let crossed = "CROSSSLOT Keys in request don't hash to the same slot";
        for text in [
            crossed,
            "EXECABORT Transaction discarded because of: CROSSSLOT Keys in request don't hash",
        ] {
            let error = from_text(text);
            assert_eq!(
                (error.kind(), error.may_have_run()),
                (ErrorKind::Config, false)
            );
            assert!(
                error.to_string().contains("`key_prefix = \"{ot}\"`"),
                "{error}"
            );
        }
        let kinds = [
            ("MOVED 3999 10.1.2.3:6381", ErrorKind::Config),
            ("ASK 3999 10.1.2.3:6381", ErrorKind::Server),
        ];
        for (text, kind) in kinds {
            assert_eq!(from_text(text).kind(), kind);
            assert!(!shown(text).contains("10.1.2.3"), "{}", shown(text));
        }
        for status in [400, 500] {
            let body = format!(r#"{{"error":"{crossed}"}}"#);
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(from_reply(status, body.as_bytes()), from_text(crossed));
        }
    }

    #[test]
    fn a_refused_first_line_is_known_by_its_whole_text() {
        let flag = "ERR Unexpected flag in script shebang: allow-key-locking";
        let compiler = "ERR Error compiling script (new function): \
                        user_script:1: unexpected symbol near '#'";
        for text in [flag, compiler, &format!("{compiler} ")] {
            let error = from_text(text);
            assert!(is_first_line_refusal(&error) && !error.may_have_run());
            assert_eq!(error.redis_code(), Some("ERR"));
        }
        for text in [
            "ERR Unexpected flag in script shebang: nonsense",
            "ERR Unexpected engine in script shebang: #!lua",
            "ERR Error compiling script (new function): user_script:1: unexpected symbol near ')'",
            "ERR Error compiling script (new function): user_script:2: unexpected symbol near '#'",
            "ERR Error compiling script (new function): user_script:11: unexpected symbol near '#'",
            &format!("ERR user_script:1: {flag} script: f00, on @user_script:1."),
            &format!("ERR user_script:1: {compiler} script: f00, on @user_script:1."),
            "NOSCRIPT No matching script.",
        ] {
            assert!(!is_first_line_refusal(&from_text(text)), "{text}");
        }
        let body = format!(r#"{{"error":"{flag}"}}"#);
        let error = from_reply(StatusCode::INTERNAL_SERVER_ERROR, body.as_bytes());
        assert!(is_first_line_refusal(&error));
    }

    #[test]
    fn a_status_decides_where_the_text_does_not() {
        let kind = |status: u16, body: &str| {
            from_reply(StatusCode::from_u16(status).unwrap(), body.as_bytes()).kind()
        };
        assert_eq!(
            kind(401, r#"{"error":"ERR max requests limit exceeded"}"#),
            ErrorKind::Unauthorised
        );
        assert_eq!(
            kind(400, r#"{"error":"ERR syntax error"}"#),
            ErrorKind::Command
        );
        assert_eq!(kind(400, "<html>"), ErrorKind::Protocol);
        assert_eq!(
            kind(429, r#"{"error":"ERR max requests limit exceeded"}"#),
            ErrorKind::QuotaExhausted
        );
        assert_eq!(kind(429, ""), ErrorKind::Server);
        assert_eq!(kind(500, r#"{"error":"ERR internal"}"#), ErrorKind::Server);
        assert_eq!(kind(503, "<html>"), ErrorKind::Server);
        assert_eq!(kind(413, ""), ErrorKind::TooLarge);
        assert_eq!(
            kind(405, r#"{"error":"Method not allowed"}"#),
            ErrorKind::Protocol
        );
        assert_eq!(kind(302, ""), ErrorKind::Protocol);
    }
}
