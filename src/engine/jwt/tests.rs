use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Algorithm, Claims, KeySet, Token};
use crate::clock::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn token(header: &Value, claims: &Value) -> String {
    let signature = URL_SAFE_NO_PAD.encode("signature");
    format!("{}.{}.{signature}", encoded(header), encoded(claims))
}

fn rules() -> Claims {
    Claims {
        issuer: Some("https://issuer.example".to_owned()),
        audience: Some("api".to_owned()),
        user: "sub".to_owned(),
        plan: Some("plan".to_owned()),
    }
}

fn claims(change: Value) -> Value {
    let mut claims = json!({
        "iss": "https://issuer.example", "aud": "api", "sub": "alice",
        "exp": 1_700_000_060, "plan": "pro",
    });
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn user(change: Value) -> Option<(String, Option<String>, u64)> {
    let claims = claims(change);
    let user = rules().user(claims.as_object().unwrap(), NOW)?;
    Some((user.name, user.plan, user.until.as_millis()))
}

#[test]
fn a_token_is_taken_apart() {
    let text = token(&json!({ "alg": "ES256", "kid": "a" }), &json!({ "sub": 1 }));
    let read = Token::parse(&text).unwrap();
    assert_eq!(read.algorithm, Algorithm::Es256);
    assert_eq!(read.key_id.as_deref(), Some("a"));
    assert_eq!(read.claims["sub"], 1);
    assert_eq!(read.signature, b"signature");
    assert_eq!(format!("{}.c2lnbmF0dXJl", read.signed), text);
    let unnamed = token(&json!({ "alg": "EdDSA", "typ": "at+jwt" }), &json!({}));
    assert_eq!(Token::parse(&unnamed).unwrap().key_id, None);
}

#[test]
fn what_is_no_signed_token_of_a_known_algorithm_is_none() {
    let (fine, claims) = (json!({ "alg": "RS256" }), json!({ "sub": "a" }));
    let right = token(&fine, &claims);
    assert!(Token::parse(&right).is_some());
    for header in [
        json!({}),
        json!([]),
        json!({ "alg": "none" }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "rs256" }),
        json!({ "alg": 1 }),
        json!({ "alg": "RS256", "crit": ["exp"] }),
        json!({ "alg": "RS256", "crit": ["b64"], "b64": false }),
        json!({ "alg": "RS256", "kid": 7 }),
    ] {
        assert_eq!(Token::parse(&token(&header, &claims)), None, "{header}");
    }
    let parts: Vec<&str> = right.split('.').collect();
    let (header, body, signature) = (parts[0], parts[1], parts[2]);
    for text in [
        String::new(),
        "..".to_owned(),
        "opaque-key".to_owned(),
        format!("{header}.{body}"),
        format!("{header}.{body}.{signature}."),
        format!("{header}.{body}.{signature}=="),
        format!("{header}.{body}.+/+/"),
        format!("{header}..{signature}"),
        format!("{header}.{}.{signature}", encoded(&json!(["sub"]))),
        format!("{header}.{body}.{}", "A".repeat(16 * 1024)),
    ] {
        assert_eq!(Token::parse(&text), None, "{text}");
    }
}

#[test]
fn a_user_is_who_the_claims_say_until_the_token_expires() {
    let pro = Some("pro".to_owned());
    let alice = ("alice".to_owned(), pro.clone(), 1_700_000_060_000);
    assert_eq!(user(json!({})), Some(alice.clone()));
    assert_eq!(user(json!({ "aud": ["other", "api"] })), Some(alice));
    let numbered = user(json!({ "sub": 7, "exp": 1_700_000_000.5 }));
    assert_eq!(numbered, Some(("7".to_owned(), pro, 1_700_000_000_500)));
    for plan in [json!(null), json!(7), json!("a plan"), json!("")] {
        let (_, plan, _) = user(json!({ "plan": plan })).unwrap();
        assert_eq!(plan, None);
    }
}

#[test]
fn a_token_that_does_not_claim_what_it_must_stands_for_nobody() {
    for change in [
        json!({ "exp": null }),
        json!({ "exp": 1_700_000_000 }),
        json!({ "exp": "1700000060" }),
        json!({ "exp": -1 }),
        json!({ "nbf": 1_700_000_061 }),
        json!({ "nbf": "soon" }),
        json!({ "iss": null }),
        json!({ "iss": "https://issuer.example/" }),
        json!({ "iss": ["https://issuer.example"] }),
        json!({ "aud": null }),
        json!({ "aud": "API" }),
        json!({ "aud": ["other"] }),
        json!({ "aud": { "api": 1 } }),
        json!({ "sub": null }),
        json!({ "sub": "" }),
        json!({ "sub": 1.5 }),
        json!({ "sub": ["alice"] }),
        json!({ "sub": "a".repeat(1_025) }),
    ] {
        assert_eq!(user(change.clone()), None, "{change}");
    }
    assert!(
        user(json!({ "nbf": 1_700_000_060 })).is_some(),
        "the clocks may differ"
    );
    let anybody = Claims {
        user: "sub".to_owned(),
        ..Claims::default()
    };
    let claims = json!({ "sub": "a", "exp": 1_800_000_000 });
    assert!(anybody.user(claims.as_object().unwrap(), NOW).is_some());
}

fn set(keys: Value) -> Option<KeySet> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

/// An RSA modulus of so many bytes.
fn modulus(bytes: usize) -> String {
    URL_SAFE_NO_PAD.encode(vec![255; bytes])
}

fn rsa(id: &str) -> Value {
    let n = modulus(256);
    json!({ "kty": "RSA", "kid": id, "n": n, "e": "AQAB", "alg": "RS256", "use": "sig" })
}

fn found(set: &KeySet, header: Value) -> Vec<Option<String>> {
    let token = Token::parse(&token(&header, &json!({}))).unwrap();
    let keys = set.candidates(&token).into_iter();
    keys.map(|key| key.id).collect()
}

#[test]
fn a_key_is_found_by_its_name_and_algorithm() {
    let ec = json!({ "kty": "EC", "crv": "P-256", "kid": "b", "x": "x", "y": "y" });
    let okp = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "c", "x": "x", "d": "private" });
    let keys = set(json!([rsa("a"), ec, okp])).unwrap();
    let name = |id: &str| vec![Some(id.to_owned())];
    assert_eq!(
        found(&keys, json!({ "alg": "RS256", "kid": "a" })),
        name("a")
    );
    assert_eq!(
        found(&keys, json!({ "alg": "ES256", "kid": "b" })),
        name("b")
    );
    assert_eq!(
        found(&keys, json!({ "alg": "Ed25519", "kid": "c" })),
        name("c")
    );
    assert_eq!(found(&keys, json!({ "alg": "ES256" })), name("b"));
    for header in [
        json!({ "alg": "RS256", "kid": "d" }),
        json!({ "alg": "RS256", "kid": "b" }),
        json!({ "alg": "ES256", "kid": "A" }),
    ] {
        assert_eq!(found(&keys, header.clone()), [], "{header}");
    }
    let eddsa = token(&json!({ "alg": "EdDSA" }), &json!({}));
    let key = &keys.candidates(&Token::parse(&eddsa).unwrap())[0];
    assert!(!key.jwk.contains("private"), "{}", key.jwk);
}

#[test]
fn keys_that_cannot_be_used_are_left_out() {
    let ec = |change: Value| {
        let mut key = json!({ "kty": "EC", "crv": "P-256", "x": "x", "y": "y" });
        key.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        key
    };
    for key in [
        json!({ "kty": "oct", "k": "secret" }),
        json!({ "kty": "RSA", "n": modulus(255), "e": "AQAB" }),
        json!({ "kty": "RSA", "n": modulus(256) }),
        json!({ "kty": "EC", "crv": "P-256", "x": "x" }),
        json!({ "kty": "OKP", "crv": "X25519", "x": "x" }),
        ec(json!({ "crv": "P-384" })),
        ec(json!({ "use": "enc" })),
        ec(json!({ "alg": "ES384" })),
        ec(json!({ "alg": "RS256" })),
        ec(json!({ "key_ops": ["sign"] })),
        json!("key"),
        json!(null),
    ] {
        assert_eq!(set(json!([key])), None, "{key}");
        assert!(set(json!([key, rsa("a")])).is_some(), "{key}");
    }
    assert!(
        set(json!([ec(
            json!({ "key_ops": ["verify"], "alg": "ES256" })
        )]))
        .is_some()
    );
    for text in ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]}", "<html>"] {
        assert_eq!(KeySet::parse(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn few_keys_are_tried_for_one_token() {
    let many: Vec<_> = (0..100).map(|_| rsa("a")).collect();
    let keys = set(json!(many)).unwrap();
    assert_eq!(found(&keys, json!({ "alg": "RS256" })).len(), 4);
}

proptest! {
    #[test]
    fn any_text_is_a_token_or_none(text in "[A-Za-z0-9_.=-]{0,60}|.{0,40}") {
        let _ = Token::parse(&text);
        let _ = KeySet::parse(text.as_bytes());
    }

    #[test]
    fn any_claims_stand_for_a_user_or_for_nobody(
        exp in any::<f64>(), nbf in any::<i64>(), sub in ".{0,9}",
    ) {
        let claims = json!({ "exp": exp, "nbf": nbf, "sub": sub, "iss": sub, "aud": [sub] });
        if let Some(user) = rules().user(claims.as_object().unwrap(), NOW) {
            prop_assert!(user.until > NOW);
        }
    }
}
