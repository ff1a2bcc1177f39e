//! Replies that report a failure: how an HTTP status and Redis's text become an [`Error`] that is
//! fit for logs.

use http::StatusCode;
use serde_json::Value;

use crate::error::{Error, ErrorKind, is_command_name};

mod phrase;
mod said;

/// The error that an HTTP reply other than 2xx means, to the command with this name or to several.
pub(super) fn from_reply(status: StatusCode, body: &[u8], command: Option<&str>) -> Error {
    if let Some(error) = reported(body) {
        return error;
    }
    from_status_and_text(status, error_text(body).as_deref(), command)
}

/// The same, with what the server says in the reply.
///
/// Quota and size errors have no documented status, so the text comes first where there is one.
pub fn from_status_and_text(
    status: StatusCode,
    text: Option<&str>,
    command: Option<&str>,
) -> Error {
    let Some(error) = text.map(|text| from_text(text, command)) else {
        return from_status(status, None);
    };
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        // The server has not let the request in, unless it says that the command alone is refused.
        return match error.kind() {
            ErrorKind::Forbidden => error,
            _ => from_status(status, None),
        };
    }
    let known = error.kind() != ErrorKind::Command
        || error.redis_code() == Some(NO_SCRIPT)
        || is_first_line_refusal(&error);
    if known || status == StatusCode::BAD_REQUEST {
        error
    } else {
        from_status(status, text)
    }
}

/// The error that another client of the store has reported in this reply, which is no part of
/// Upstash's protocol: that client knows the kind, and whether anything may have run.
fn reported(body: &[u8]) -> Option<Error> {
    let reply: Value = serde_json::from_slice(body).ok()?;
    let kind = ErrorKind::of_code(reply.get("code")?.as_str()?)?;
    let may_have_run = reply.get("may_have_run")?.as_bool()?;
    let text = reply.get("error")?.as_str()?;
    // It begins as `Error` prints it, if it comes from there: then it is fit for logs.
    let Some(own) = text.strip_prefix(&format!("{kind}: ")) else {
        return Some(Error::new(kind, may_have_run, quotable(text)));
    };
    let (command, detail) = match own.split_once(": ") {
        Some((name, detail)) if is_command_name(name) && is_upper(name) => (Some(name), detail),
        _ => (None, own),
    };
    Some(Error::new(kind, may_have_run, detail.to_owned()).of_command(command))
}

/// Names of commands are printed in capitals.
fn is_upper(name: &str) -> bool {
    !name.contains(|letter: char| letter.is_ascii_lowercase())
}

/// The error that Redis's own text means, in the reply to the command with this name. For a
/// [`Client`](super::Client) of your own. Nothing of a text that is not known to be harmless is in
/// the error.
///
/// ```
/// use omnitrade_edge::error::ErrorKind;
/// use omnitrade_edge::redis::error_of_reply;
///
/// let text = "WRONGTYPE Operation against a key holding the wrong kind of value";
/// let error = error_of_reply(text, Some("GET"));
/// assert_eq!((error.kind(), error.redis_code()), (ErrorKind::Command, Some("WRONGTYPE")));
/// assert_eq!(error_of_reply("LOADING ...", None).kind(), ErrorKind::Server);
/// ```
pub fn from_text(text: &str, command: Option<&str>) -> Error {
    meaning(text).of_command(named_in(text).or(command))
}

fn meaning(text: &str) -> Error {
    let message = text.strip_prefix("ERR ").unwrap_or(text);
    if refuses_first_line(message) {
        return Error::new(ErrorKind::Command, false, FIRST_LINE);
    }
    // Of a transaction that is discarded nothing has run.
    if let Some(reason) = text.strip_prefix(DISCARDED) {
        let error = meaning(reason);
        if error.kind() != ErrorKind::Command {
            return error;
        }
    }
    if let Some((kind, may_have_run, means)) = said::meaning(text) {
        return Error::new(kind, may_have_run, means);
    }
    let may_have_run = phrase::contains(text, said::IN_SCRIPT) || said::code(text) != NO_SCRIPT;
    Error::new(ErrorKind::Command, may_have_run, quotable(text))
}

/// The name of a command that the text itself says was refused: the one within a script or a
/// transaction, or a subcommand. After `with args` follows what a caller sent.
fn named_in(text: &str) -> Option<&str> {
    let text = phrase::before(text, "with args");
    ["to run the '", "unknown command '", "unknown command `"]
        .iter()
        .find_map(|before| phrase::after(text, before))
        .and_then(|name| name.split(['\'', '`']).next())
}

/// Redis's error code for an unknown script digest.
pub(super) const NO_SCRIPT: &str = "NOSCRIPT";

/// Whether the store rejected the first line of
/// [`Script::locking_lua`](super::Script::locking_lua), and so has run nothing.
pub fn is_first_line_refusal(error: &Error) -> bool {
    error.kind() == ErrorKind::Command && error.detail() == FIRST_LINE
}

/// Stands for what [`refuses_first_line`], whose texts quote, and so are not kept.
const FIRST_LINE: &str = "ERR the `#!` line of the script is not understood here";

/// What Redis writes before the reason for which it ran nothing of a transaction.
const DISCARDED: &str = "EXECABORT Transaction discarded because of: ";

/// Redis 7 and later parse such a line but reject Upstash's flag; earlier versions fail at the `#`.
/// A server that accepts the line never reports an error in line 1, because that line holds no Lua.
fn refuses_first_line(message: &str) -> bool {
    message.starts_with("Unexpected flag in script shebang: allow-key-locking")
        || (message.starts_with("Error compiling script")
            && phrase::contains(message, ":1: unexpected symbol near '#'"))
}

/// What a status means, and a text that says nothing else.
fn from_status(status: StatusCode, text: Option<&str>) -> Error {
    let (kind, may_have_run) = match status.as_u16() {
        401 | 403 => (ErrorKind::Unauthorised, false),
        413 => (ErrorKind::TooLarge, false),
        429 => (ErrorKind::Server, false),
        408 | 500..=599 => (ErrorKind::Server, true),
        _ => (ErrorKind::Protocol, true),
    };
    let mut detail = format!("HTTP status {}", status.as_u16());
    if kind == ErrorKind::Unauthorised {
        detail.push_str(
            ", the token is not one of this address: set both anew \
             (`UPSTASH_REDIS_REST_URL`, `UPSTASH_REDIS_REST_TOKEN`)",
        );
    } else if let Some(text) = text {
        detail.push_str(", ");
        detail.push_str(&quotable(text));
    }
    Error::new(kind, may_have_run, detail)
}

/// The part of a server's text that may be shown: one line of bounded length that ends before the
/// first quotation, without words that are long enough to be a secret.
///
/// Text after the quotation is dropped too, because a quoted value may itself contain quotes.
fn quotable(text: &str) -> String {
    let end = COMMAND_FOLLOWS
        .iter()
        .filter_map(|follows| phrase::position(text, follows))
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
        let is_plain = word.len() <= MAX_WORD && !phrase::contains(word, "://");
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
        // After a letter of the English alphabet it is an apostrophe, elsewhere a quotation mark.
        if matches!(c, '\'' | '"' | '`') && !before.is_ascii_alphanumeric() {
            return Some(index);
        }
        before = c;
    }
    None
}

/// After these, Redis and its proxies quote the command.
const COMMAND_FOLLOWS: &[&str] = &["with args", "command was", "beginning with"];

/// The longest text that is shown, in bytes.
const MAX_TEXT: usize = 160;

/// The longest word that is shown, in bytes: shorter than a digest, a UUID or a token.
const MAX_WORD: usize = 31;

/// The text of `{"error": text}`.
fn error_text(reply: &[u8]) -> Option<String> {
    let reply: Value = serde_json::from_slice(reply).ok()?;
    reply.get("error")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        from_text(text, None).to_string()
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
        let kind = |text| {
            (
                from_text(text, None).kind(),
                from_text(text, None).may_have_run(),
            )
        };
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
            from_text("WRONGTYPE Operation", None).redis_code(),
            Some("WRONGTYPE")
        );
        assert_eq!(from_text("something else", None).redis_code(), None);
    }

    #[test]
    fn what_a_clustered_redis_says_is_a_setting_to_mend_and_shows_no_address() {
        let crossed = "CROSSSLOT Keys in request don't hash to the same slot";
        for text in [
            crossed,
            "EXECABORT Transaction discarded because of: CROSSSLOT Keys in request don't hash",
        ] {
            let error = from_text(text, None);
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
            assert_eq!(from_text(text, None).kind(), kind);
            assert!(!shown(text).contains("10.1.2.3"), "{}", shown(text));
        }
        for status in [400, 500] {
            let body = format!(r#"{{"error":"{crossed}"}}"#);
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                from_reply(status, body.as_bytes(), None),
                from_text(crossed, None)
            );
        }
    }

    #[test]
    fn what_another_client_reports_is_taken_as_it_is() {
        let bad_request = StatusCode::BAD_REQUEST;
        for error in [
            Error::new(ErrorKind::Timeout, false, "it was not sent"),
            Error::new(ErrorKind::Unreachable, true, "the connection broke"),
            Error::new(ErrorKind::Command, true, "WRONGTYPE Operation").of_command(Some("GET")),
            Error::new(ErrorKind::Config, false, "url: expected an address"),
            from_text(
                "ERR Unexpected flag in script shebang: allow-key-locking",
                Some("EVAL"),
            ),
        ] {
            let body = serde_json::json!({
                "error": error.to_string(),
                "code": error.code(),
                "may_have_run": error.may_have_run(),
            });
            let body = body.to_string();
            assert_eq!(from_reply(bad_request, body.as_bytes(), None), error);
        }
        // A text of another client's own, and none that is fit for logs.
        let body = r#"{"error":"at https://s3cret.example","code":"server","may_have_run":true}"#;
        let error = from_reply(bad_request, body.as_bytes(), None);
        assert_eq!(
            (error.kind(), error.may_have_run()),
            (ErrorKind::Server, true)
        );
        assert!(!error.to_string().contains("s3cret"), "{error}");
        let body = r#"{"error":"ERR x","code":"what","may_have_run":true}"#;
        let error = from_reply(bad_request, body.as_bytes(), None);
        assert_eq!(error.kind(), ErrorKind::Command, "no such kind");
    }

    #[test]
    fn a_refused_first_line_is_known_by_its_whole_text() {
        let flag = "ERR Unexpected flag in script shebang: allow-key-locking";
        let compiler = "ERR Error compiling script (new function): \
                        user_script:1: unexpected symbol near '#'";
        for text in [flag, compiler, &format!("{compiler} ")] {
            let error = from_text(text, None);
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
            assert!(!is_first_line_refusal(&from_text(text, None)), "{text}");
        }
        let body = format!(r#"{{"error":"{flag}"}}"#);
        let error = from_reply(StatusCode::INTERNAL_SERVER_ERROR, body.as_bytes(), None);
        assert!(is_first_line_refusal(&error));
    }

    #[test]
    fn a_status_decides_where_the_text_does_not() {
        let kind = |status: u16, body: &str| {
            from_reply(StatusCode::from_u16(status).unwrap(), body.as_bytes(), None).kind()
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
