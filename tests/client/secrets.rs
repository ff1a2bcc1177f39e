//! Errors and their kinds; none of them, nor any `Debug`, shows a secret.

use std::time::Duration;

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::redis::{Arg, Options, RestClient, Script, Token};
use omnitrade_edge::transport::TransportError;

use crate::scripted::*;

#[tokio::test]
async fn each_failure_has_its_kind_and_shows_no_secret() {
    let long = format!(r#"{{"error":"ERR {}"}}"#, "value-s3cret".repeat(10_000));
    for (step, kind) in [
        (failed(TransportError::Connect), ErrorKind::Unreachable),
        (failed(TransportError::TooLarge), ErrorKind::TooLarge),
        (
            reply(401, r#"{"error":"WRONGPASS token-s3cret"}"#),
            ErrorKind::Unauthorised,
        ),
        (
            reply(
                400,
                r#"{"error":"ERR max daily request limit exceeded. Limit: 1"}"#,
            ),
            ErrorKind::QuotaExhausted,
        ),
        (
            reply(400, r#"{"error":"ERR max request size exceeded"}"#),
            ErrorKind::TooLarge,
        ),
        (
            reply(400, r#"{"error":"ERR unknown command 'key-s3cret'"}"#),
            ErrorKind::Forbidden,
        ),
        (reply(400, &long), ErrorKind::Command),
        (reply(429, ""), ErrorKind::Server),
        (reply(502, "<html>host-s3cret"), ErrorKind::Server),
        (ok("<html>host-s3cret"), ErrorKind::Protocol),
        (ok(r#"{"result":{"value-s3cret":1}}"#), ErrorKind::Protocol),
        (reply(307, ""), ErrorKind::Protocol),
    ] {
        let client = client_with(options().retries(0), [step]);
        let error = client.command(&set()).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_clean(&error);
    }
}

#[test]
fn nothing_prints_the_address_or_a_secret() {
    let client = client([]);
    let token = Token::from(TOKEN);
    let script = Script::new("return 's3cret'");
    let arg = Arg::from("value-s3cret");
    let shown = format!(
        "{client:?} {:?} {token:?} {script:?} {arg:?} {:?}",
        options(),
        set()
    );
    assert!(
        !shown.contains("s3cret") && !shown.contains("example"),
        "{shown}"
    );
}

#[test]
fn a_wrong_setting_is_named_and_not_shown() {
    let error = |options| RestClient::new(Scripted::default(), options).unwrap_err();
    for url in [
        "",
        "host-s3cret",
        "/s3cret",
        "redis://host-s3cret:6379",
        "https://",
        "ftp://s3cret",
        "https://user:s3cret@host",
        "https://host/?_token=s3cret",
        "https://host/#s3cret",
        "https://host-s3cret/a b",
        " https://host-s3cret",
        "https://host-s3cret\n",
    ] {
        let error = error(Options::new(url, TOKEN));
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            error.to_string().contains(": url: expected"),
            "{url}: {error}"
        );
        assert_clean(&error);
    }
    for token in ["", "s3cret ", "s3cret\n", "s3crét", "Bearer s3cret"] {
        let error = error(Options::new(URL, token));
        assert!(error.to_string().contains(": token: expected"), "{error}");
        assert_clean(&error);
    }
    assert!(
        error(options().timeout(Duration::ZERO))
            .to_string()
            .contains(": timeout: expected")
    );
    assert!(
        error(options().max_reply_bytes(0))
            .to_string()
            .contains(": max_reply_bytes: expected")
    );
}
