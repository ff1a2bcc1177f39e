use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::identity::KeySecrets;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + ms)
}

fn token(key: &str, user: &str, exp: u64, nonce: u64) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({ "alg": "EdDSA", "kid": key }));
    let claims =
        part(json!({ "sub": user, "exp": 1_700_000_000 + exp, "plan": "pro", "n": nonce }));
    format!("{header}.{claims}.AAAA")
}

fn keys(ids: &[&str]) -> KeyReply {
    let key = |id: &&str| json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": "x" });
    let keys: Vec<Value> = ids.iter().map(key).collect();
    KeyReply {
        status: 200,
        fields: vec![("cache-control".to_owned(), "max-age=3600".to_owned())],
        body: json!({ "keys": keys }).to_string().into(),
    }
}

fn digests() -> Rc<ClientDigests> {
    Rc::new(ClientDigests::new("ot", KeySecrets::default()))
}

fn identities() -> Identities {
    let claims = Claims {
        user: "sub".to_owned(),
        plan: Some("plan".to_owned()),
        ..Claims::default()
    };
    let mut identities = Identities::new(claims, digests());
    assert!(!identities.begin_fetch(at(0)), "nobody needs the keys yet");
    let _ = find(&mut identities, &token("a", "first", 600, 0), 0);
    identities
}

fn with_keys(ids: &[&str]) -> Identities {
    let mut identities = identities();
    assert!(identities.begin_fetch(at(0)));
    identities.fetched(Some(&keys(ids)), at(0)).unwrap();
    identities
}

fn find(identities: &mut Identities, token: &str, ms: u64) -> Finding {
    identities.find(token, Duration::ZERO, at(ms))
}

fn verify(
    identities: &mut Identities,
    token: &str,
    outcome: Outcome,
    ms: u64,
) -> Option<Arc<Holder>> {
    match find(identities, token, ms) {
        Finding::Verify(verification) => identities.verified(*verification, outcome, at(ms)),
        other => panic!("{other:?}"),
    }
}

fn holder(finding: Finding) -> Option<Arc<Holder>> {
    match finding {
        Finding::Holder(holder) => holder,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_is_verified_once_and_remembered_until_it_expires() {
    let mut identities = with_keys(&["a"]);
    let token = token("a", "alice", 60, 0);
    let first = verify(&mut identities, &token, Outcome::Signed, 1).unwrap();
    assert_eq!(first.plan.as_deref(), Some("pro"));
    let known = holder(find(&mut identities, &token, 59_999)).unwrap();
    assert_eq!(known, first);
    assert_eq!(
        holder(find(&mut identities, &token, 60_000)),
        None,
        "expired"
    );
}

#[test]
fn the_next_token_of_a_user_is_no_other_client() {
    let mut identities = with_keys(&["a"]);
    let first = verify(
        &mut identities,
        &token("a", "alice", 60, 0),
        Outcome::Signed,
        0,
    );
    let next = verify(
        &mut identities,
        &token("a", "alice", 3_660, 1),
        Outcome::Signed,
        0,
    );
    let other = verify(
        &mut identities,
        &token("a", "bob", 60, 0),
        Outcome::Signed,
        0,
    );
    assert_eq!(first, next);
    assert_ne!(first.unwrap().subject, other.unwrap().subject);
}

#[test]
fn what_does_not_verify_stands_for_nobody_and_is_remembered() {
    let mut identities = with_keys(&["a"]);
    let forged = token("a", "alice", 600, 0);
    assert_eq!(
        verify(&mut identities, &forged, Outcome::NotSigned, 0),
        None
    );
    assert_eq!(holder(find(&mut identities, &forged, 59_999)), None);
    assert!(matches!(
        find(&mut identities, &forged, 60_000),
        Finding::Verify(_)
    ));
    for text in ["", "opaque", "a.b.c"] {
        assert_eq!(holder(find(&mut identities, text, 0)), None);
    }
}

#[test]
fn a_request_waits_a_little_for_the_first_keys() {
    let mut identities = identities();
    let token = token("a", "alice", 600, 0);
    assert!(matches!(find(&mut identities, &token, 0), Finding::Wait(_)));
    assert!(identities.begin_fetch(at(0)));
    let late = identities.find(&token, PATIENCE, at(500));
    assert_eq!(holder(late).unwrap().plan, None, "by its digest");
    identities.fetched(Some(&keys(&["a"])), at(600)).unwrap();
    assert!(matches!(
        find(&mut identities, &token, 600),
        Finding::Verify(_)
    ));
}

#[test]
fn while_the_keys_cannot_be_fetched_tokens_count_by_digest() {
    let mut identities = identities();
    let (one, other) = (token("a", "alice", 600, 0), token("a", "alice", 600, 1));
    assert!(identities.begin_fetch(at(0)));
    assert!(identities.fetched(None, at(1)).is_err(), "told once");
    let first = holder(find(&mut identities, &one, 2)).unwrap();
    assert_ne!(first, holder(find(&mut identities, &other, 2)).unwrap());
    assert_eq!(first.subject, digests().of_api_key(&one));
    assert!(identities.begin_fetch(at(2_000)));
    assert_eq!(
        identities.fetched(None, at(2_001)),
        Ok(()),
        "not told again"
    );
    assert_eq!(holder(find(&mut identities, "opaque", 2_002)), None);
}

#[test]
fn a_rotation_of_keys_is_found_out_by_the_first_token_of_the_new_one() {
    let mut identities = with_keys(&["a"]);
    let new = token("b", "alice", 600, 0);
    assert!(matches!(find(&mut identities, &new, 10), Finding::Wait(_)));
    assert!(identities.begin_fetch(at(10)));
    let meanwhile = find(&mut identities, &token("b", "bob", 600, 0), 11);
    assert!(
        matches!(meanwhile, Finding::Wait(_)),
        "others wait for the same fetch"
    );
    identities
        .fetched(Some(&keys(&["a", "b"])), at(20))
        .unwrap();
    let found = identities.find(&new, Duration::from_millis(10), at(20));
    assert!(matches!(found, Finding::Verify(_)));
}

#[test]
fn a_token_whose_key_the_issuer_does_not_have_stands_for_nobody() {
    let mut identities = with_keys(&["a"]);
    let forged = token("x", "alice", 600, 0);
    assert!(matches!(
        find(&mut identities, &forged, 0),
        Finding::Wait(_)
    ));
    assert!(identities.begin_fetch(at(0)));
    identities.fetched(Some(&keys(&["a"])), at(5)).unwrap();
    let found = identities.find(&forged, PAUSE, at(10));
    assert_eq!(holder(found), None);
    assert_eq!(holder(find(&mut identities, &forged, 5_000)), None);
    assert!(!identities.begin_fetch(at(5_000)), "it was looked for");
}

#[test]
fn many_forged_tokens_displace_no_other() {
    let mut identities = with_keys(&["a"]);
    let token_of_alice = token("a", "alice", 600, 0);
    verify(&mut identities, &token_of_alice, Outcome::Signed, 0);
    for n in 0..3 * TOKENS as u64 {
        let _ = find(&mut identities, &token("x", "alice", 600, n), 1);
    }
    assert!(holder(find(&mut identities, &token_of_alice, 2)).is_some());
    assert!(identities.refused.len() <= TOKENS);
}

#[test]
fn no_token_is_kept() {
    let mut identities = with_keys(&["a"]);
    let (right, wrong) = (token("a", "alice", 600, 0), token("a", "bob", 600, 0));
    verify(&mut identities, &right, Outcome::Signed, 0);
    verify(&mut identities, &wrong, Outcome::NotSigned, 0);
    let kept = format!("{:?}{:?}", identities.known, identities.refused);
    for secret in [right.as_str(), wrong.as_str(), "alice", "bob"] {
        assert!(!kept.contains(secret));
    }
}

#[test]
fn a_failed_fetch_for_an_unknown_key_is_repeated() {
    let mut identities = with_keys(&["a"]);
    let new = token("b", "alice", 600, 0);
    assert!(matches!(find(&mut identities, &new, 10), Finding::Wait(_)));
    assert!(identities.begin_fetch(at(10)));
    assert!(identities.fetched(None, at(20)).is_err());
    assert!(
        holder(find(&mut identities, &new, 30)).is_some(),
        "by its digest meanwhile"
    );
    assert!(
        identities.begin_fetch(at(1_020)),
        "the old keys are fresh for an hour"
    );
    identities.fetched(Some(&keys(&["a"])), at(1_030)).unwrap();
    let found = find(&mut identities, &new, 1_040);
    assert!(matches!(found, Finding::Wait(_)), "{found:?}");
    assert!(identities.begin_fetch(at(1_040)));
    identities.fetched(Some(&keys(&["a"])), at(1_050)).unwrap();
    assert_eq!(holder(identities.find(&new, PAUSE, at(1_050))), None);
}

#[test]
fn no_token_or_user_is_in_what_debug_shows() {
    let mut identities = with_keys(&["a"]);
    let text = token("a", "alice", 600, 0);
    let read = Token::parse(&text).unwrap();
    let user = identities.claims.user(&read.claims, at(0));
    let shown = format!("{read:?}{user:?}{:?}", find(&mut identities, &text, 0));
    for secret in text.split('.').chain(["alice", "pro"]) {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
}

#[test]
fn a_rotation_of_keys_without_names_is_found_out_by_a_signature() {
    let nameless = || KeyReply {
        body: r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"x"}]}"#.into(),
        ..keys(&[])
    };
    let mut identities = identities();
    assert!(identities.begin_fetch(at(0)));
    identities.fetched(Some(&nameless()), at(0)).unwrap();
    let new = token("b", "alice", 600, 0);
    assert_eq!(verify(&mut identities, &new, Outcome::NotSigned, 1), None);
    assert!(identities.begin_fetch(at(1)), "long before they are stale");
    identities.fetched(Some(&nameless()), at(2)).unwrap();
    assert_eq!(holder(find(&mut identities, &new, 10_000)), None);
    let later = find(&mut identities, &new, 10_001);
    assert!(matches!(later, Finding::Verify(_)), "{later:?}");
    let mut named = with_keys(&["b"]);
    assert_eq!(verify(&mut named, &new, Outcome::NotSigned, 1), None);
    assert!(
        !named.begin_fetch(at(1)),
        "a forged signature causes no fetch"
    );
}
