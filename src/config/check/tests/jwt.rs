use serde_json::{Value, json};

use super::errors;
use crate::config::Config;

fn of_client(change: Value) -> Vec<String> {
    errors(json!({ "client": change }))
}

fn of_jwt(change: Value) -> Vec<String> {
    let mut jwt = json!({ "jwks": "https://login.example.com/keys" });
    super::merge(&mut jwt, change);
    of_client(json!({ "jwt": jwt }))
}

#[test]
fn one_header_or_several_may_hold_the_api_key() {
    let headers = |value: Value| {
        let config =
            json!({ "origin": "https://a.example", "client": { "api_key_header": value } });
        Config::from_json(config).unwrap().client.api_key_headers
    };
    assert_eq!(headers(json!("x-key")), ["x-key"]);
    assert_eq!(
        headers(json!(["x-key", "Authorization"])),
        ["x-key", "Authorization"]
    );
    assert_eq!(headers(json!([])), [""; 0]);
    let wrong = of_client(json!({ "api_key_header": ["x-key", "x key"] }));
    let expected = "client.api_key_header[1]: expected the name of a header, found \"x key\"";
    assert_eq!(wrong, [expected]);
    let wrong = of_client(json!({ "api_key_header": 7 }));
    let expected = "client.api_key_header: expected the name of a header or a list, found 7";
    assert_eq!(wrong, [expected]);
}

#[test]
fn tokens_are_verified_with_keys_that_come_over_tls() {
    for right in [
        "https://login.example.com/keys",
        "https://login.example.com:8443/a/keys?v=1",
        "http://localhost:8888/keys",
        "http://127.0.0.1:8888/keys",
        "http://[::1]/keys",
    ] {
        assert_eq!(of_jwt(json!({ "jwks": right })), [""; 0], "{right}");
    }
    for wrong in [
        "http://login.example.com/keys",
        "http://localhost.example.com/keys",
        "http://127.0.0.1.example.com/keys",
        "https://me@login.example.com/keys",
        "http://localhost@login.example.com/keys",
        "https://login.example.com/keys#a",
        "ftp://login.example.com/keys",
        "login.example.com/keys",
        "/keys",
        "",
    ] {
        let errors = of_jwt(json!({ "jwks": wrong }));
        assert_eq!(errors.len(), 1, "{wrong}");
        assert!(
            errors[0].starts_with("client.jwt.jwks: expected an address"),
            "{errors:?}"
        );
    }
}

#[test]
fn an_error_in_how_tokens_are_verified_names_its_field() {
    let missing = of_client(json!({ "jwt": {} }));
    assert!(
        missing[0].starts_with("client.jwt.jwks: expected an address"),
        "{missing:?}"
    );
    for (change, expected) in [
        (
            json!({ "issuer": "" }),
            "issuer: expected a text that is not empty, found \"\"",
        ),
        (
            json!({ "audience": ["a"] }),
            "audience: expected a text that is not empty, found a list",
        ),
        (
            json!({ "claim": "" }),
            "claim: expected the name of a claim, such as \"sub\", found \"\"",
        ),
        (
            json!({ "secret": "x" }),
            "secret: expected one of the fields jwks, issuer, audience, claim, plan_claim; there is \
             no such field",
        ),
    ] {
        assert_eq!(
            of_jwt(change.clone()),
            [format!("client.jwt.{expected}")],
            "{change}"
        );
    }
}
