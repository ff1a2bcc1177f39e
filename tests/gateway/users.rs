//! Whom limits count: API keys in several headers, and the users of verified tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use omnitrade_edge::gateway::Step;
use omnitrade_edge::identity::{ClientDigests, KeyReply, KeySecrets};
use serde_json::{Value, json};

use crate::rig::{Rig, START, Seen, get};

const KEYS: &str = "https://login.example/keys";

fn config(client: Value) -> Value {
    json!({
        "origin": "https://api.example",
        "client": client,
        "limits": {
            "client": { "by": "client", "window": "60s", "quota": 2, "keyed_quota": 5 },
            "user": {
                "by": "user", "window": "60s", "quota": 2, "keyed_quota": 5, "plans": { "pro": 9 },
            },
            "key": { "by": "api-key", "window": "60s", "quota": 7 },
            "ip": { "by": "ip", "window": "60s", "quota": 3 },
        },
        "routes": [
            { "path": "/client", "limits": ["client"] },
            { "path": "/user", "limits": ["user"] },
            { "path": "/key", "limits": ["key"] },
            { "path": "/ip", "limits": ["ip"] },
            { "path": "/both", "limits": ["user", "ip"] },
        ],
    })
}

fn verifying(keys: &str) -> Rig {
    let jwt = json!({ "jwks": KEYS, "issuer": "login", "plan_claim": "plan" });
    let headers = ["x-api-key", "authorization"];
    let client = json!({ "api_key_header": headers, "jwt": jwt, "keys": keys });
    let mut rig = Rig::new(config(client));
    first_token(&mut rig);
    rig
}

/// Sends the first token to a gate. Before that nobody needs the keys.
fn first_token(rig: &mut Rig) {
    let now = rig.shown();
    assert_eq!(rig.gate.take_key_fetch(now), None);
    let first = token("a", json!({ "sub": "first" }));
    let request = get("/user").with("authorization", &first);
    let step = rig.gate.decide(&request, now);
    assert!(matches!(step, Step::AwaitKeys(..)));
}

/// The issuer's response, with a key of each name. A signature by it is its name in capitals.
fn keys(names: &[&str]) -> KeyReply {
    let key = |name: &&str| json!({ "kty": "OKP", "crv": "Ed25519", "kid": name, "x": name.to_uppercase() });
    let keys: Vec<Value> = names.iter().map(key).collect();
    KeyReply {
        status: 200,
        fields: vec![("cache-control".to_owned(), "max-age=3600".to_owned())],
        body: json!({ "keys": keys }).to_string().into(),
    }
}

/// A gate that has fetched the keys with these names.
fn with_keys(names: &[&str]) -> Rig {
    let mut rig = verifying("any");
    let now = rig.shown();
    assert_eq!(rig.gate.take_key_fetch(now).as_deref(), Some(KEYS));
    rig.gate.keys_fetched(Some(&keys(names)), now);
    rig
}

/// A token, signed with the key of this name.
fn token(key: &str, claims: Value) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut all =
        json!({ "iss": "login", "sub": "alice", "exp": START.as_millis() / 1_000 + 3_600 });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    let header = part(json!({ "alg": "EdDSA", "kid": key.to_lowercase() }));
    let signature = URL_SAFE_NO_PAD.encode(key.to_uppercase());
    format!("Bearer {header}.{}.{signature}", part(all))
}

fn with(rig: &mut Rig, path: &str, headers: &[(&'static str, &str)]) -> Seen {
    let request = headers.iter().fold(get(path), |request, (name, value)| {
        request.with(name, value)
    });
    rig.send(&request)
}

/// The quota and what is left of it.
fn told(seen: &Seen) -> (u64, u64) {
    let number = |header: &str, name: &str| {
        let field = seen.header(header);
        let at = field.split_once(name).unwrap().1;
        let digits: String = at.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    (number("ratelimit-policy", "q="), number("ratelimit", "r="))
}

#[test]
fn the_first_header_that_holds_a_key_counts() {
    let headers = json!({ "api_key_header": ["x-api-key", "authorization"] });
    let mut rig = Rig::new(config(headers));
    let mut ask = |headers: &[(&'static str, &str)]| told(&with(&mut rig, "/client", headers));
    assert_eq!(
        ask(&[("x-api-key", "a"), ("authorization", "Bearer b")]),
        (5, 4)
    );
    assert_eq!(ask(&[("x-api-key", "a")]), (5, 3));
    assert_eq!(ask(&[("authorization", "Bearer b")]), (5, 4));
    assert_eq!(
        ask(&[("x-api-key", " "), ("authorization", "bearer  b ")]),
        (5, 3)
    );
    assert_eq!(
        ask(&[("authorization", "Bearer a")]),
        (5, 2),
        "a key is one in any header"
    );
    assert_eq!(
        ask(&[("authorization", "Basic b")]),
        (2, 1),
        "counts by address"
    );
    assert_eq!(ask(&[("authorization", "Bearer c, Bearer d")]), (2, 0));
}

#[test]
fn the_next_token_of_a_user_counts_in_the_same_bucket() {
    let mut rig = with_keys(&["a"]);
    let first = token("a", json!({ "jti": 1 }));
    let next = token(
        "a",
        json!({ "jti": 2, "exp": START.as_millis() / 1_000 + 7_200 }),
    );
    let bob = token("a", json!({ "sub": "bob" }));
    let mut ask = |token: &str| told(&with(&mut rig, "/user", &[("authorization", token)]));
    assert_eq!(ask(&first), (5, 4));
    assert_eq!(ask(&next), (5, 3));
    assert_eq!(ask(&bob), (5, 4));
    assert_eq!(
        ask(&token("a", json!({ "sub": "carol", "plan": "pro" }))),
        (9, 8)
    );
    assert_eq!(
        ask(&token("a", json!({ "sub": "dora", "plan": "none" }))),
        (5, 4)
    );
}

#[test]
fn with_a_secret_the_store_gets_no_digest_of_a_user_that_can_be_guessed() {
    let secret = KeySecrets::read(Some("of at least 16 characters"), None).unwrap();
    let [open, closed] = [KeySecrets::default(), secret.clone()]
        .map(|secrets| ClientDigests::new("ot", secrets).of_user("alice"));
    for (secrets, expected) in [(KeySecrets::default(), open), (secret, closed)] {
        let mut rig = verifying("any");
        rig.another_isolate_with(secrets);
        first_token(&mut rig);
        let now = rig.shown();
        assert_eq!(rig.gate.take_key_fetch(now).as_deref(), Some(KEYS));
        rig.gate.keys_fetched(Some(&keys(&["a"])), now);
        let alice = token("a", json!({}));
        assert_eq!(
            told(&with(&mut rig, "/user", &[("authorization", &alice)])),
            (5, 4)
        );
        assert_eq!(rig.asks[0].keys, [format!("ot:l:user:{expected}")]);
    }
}

#[test]
fn a_token_that_does_not_verify_counts_as_none() {
    let mut rig = with_keys(&["a"]);
    let past = START.as_millis() / 1_000;
    let forged = token("a", json!({})).replace(&URL_SAFE_NO_PAD.encode("A"), "AAAA");
    for wrong in [
        forged,
        token("a", json!({ "exp": past })),
        token("a", json!({ "iss": "another" })),
        "Bearer opaque".to_owned(),
    ] {
        let mut fresh = with_keys(&["a"]);
        let headers = [("authorization", wrong.as_str())];
        assert_eq!(
            told(&with(&mut fresh, "/user", &headers)),
            (2, 1),
            "{wrong}"
        );
        assert_eq!(
            told(&with(&mut fresh, "/client", &headers)),
            (2, 1),
            "{wrong}"
        );
        assert_eq!(
            with(&mut fresh, "/key", &headers).limiter(),
            "none",
            "{wrong}"
        );
        assert_eq!(
            fresh.sent[0].headers["authorization"],
            wrong.as_str(),
            "it goes on"
        );
    }
    // The issuer is asked for its keys once more, and has the same.
    let unknown = token("x", json!({}));
    let request = get("/user").with("authorization", &unknown);
    let now = rig.shown();
    let step = rig.gate.decide(&request, now);
    assert!(rig.gate.take_key_fetch(now).is_some());
    rig.gate.keys_fetched(Some(&keys(&["a"])), now);
    assert_eq!(told(&rig.carry_on(&request, step)), (2, 1));
    assert!(rig.notes().is_empty());
}

#[test]
fn a_token_comes_before_or_after_a_key_as_the_limit_says() {
    let mut rig = with_keys(&["a"]);
    let token = token("a", json!({}));
    let both = [("x-api-key", "k"), ("authorization", token.as_str())];
    let only = [("authorization", token.as_str())];
    assert_eq!(told(&with(&mut rig, "/user", &both)), (5, 4));
    assert_eq!(told(&with(&mut rig, "/user", &only)), (5, 3), "by the user");
    assert_eq!(told(&with(&mut rig, "/client", &only)), (5, 4));
    assert_eq!(
        told(&with(&mut rig, "/client", &both)),
        (5, 4),
        "by the key"
    );
    assert_eq!(
        told(&with(&mut rig, "/key", &only)),
        (7, 6),
        "a user is as good as a key"
    );
    assert_eq!(
        told(&with(&mut rig, "/user", &[("x-api-key", "j")])),
        (5, 4),
        "else as client"
    );
    assert_eq!(told(&with(&mut rig, "/user", &[])), (2, 1));
}

#[test]
fn a_key_that_nobody_registered_leaves_a_user_what_it_is() {
    let mut rig = verifying("registered");
    let now = rig.shown();
    assert!(rig.gate.take_key_fetch(now).is_some());
    rig.gate.keys_fetched(Some(&keys(&["a"])), now);
    let token = token("a", json!({}));
    let only = [("authorization", token.as_str())];
    let both = [("x-api-key", "made-up"), ("authorization", token.as_str())];
    assert_eq!(told(&with(&mut rig, "/client", &only)), (5, 4));
    assert_eq!(
        told(&with(&mut rig, "/client", &both)),
        (5, 3),
        "by the user, not the address"
    );
    assert_eq!(
        told(&with(&mut rig, "/client", &[("x-api-key", "made-up")])),
        (2, 1)
    );
}

#[test]
fn without_a_header_for_keys_an_invented_key_counts_as_none() {
    for which in ["any", "registered"] {
        let jwt = json!({ "jwks": KEYS, "issuer": "login" });
        let client = json!({ "api_key_header": [], "jwt": jwt, "keys": which });
        let mut rig = Rig::new(config(client));
        first_token(&mut rig);
        let now = rig.shown();
        assert!(rig.gate.take_key_fetch(now).is_some());
        rig.gate.keys_fetched(Some(&keys(&["a"])), now);
        let token = token("a", json!({}));
        for path in ["/client", "/user"] {
            let both = [("x-api-key", "made-up"), ("authorization", token.as_str())];
            assert_eq!(told(&with(&mut rig, path, &both)), (5, 4), "{which} {path}");
            let made_up = [("x-api-key", "made-up")];
            assert_eq!(told(&with(&mut rig, path, &made_up)), (2, 1));
        }
        assert!(!rig.model.keys().any(|key| key.contains(":k:")));
        assert!(
            !rig.asks
                .iter()
                .any(|ask| ask.keys.iter().any(|k| k.contains(":k:")))
        );
    }
}

#[test]
fn without_the_store_a_users_tokens_count_in_one_bucket_too() {
    let jwt = json!({ "jwks": KEYS, "issuer": "login" });
    let mut config = config(json!({ "jwt": jwt }));
    config["limits"]["user"]["keyed_quota"] = json!(20);
    let mut rig = Rig::without_store(config);
    first_token(&mut rig);
    let now = rig.shown();
    assert!(rig.gate.take_key_fetch(now).is_some());
    rig.gate.keys_fetched(Some(&keys(&["a"])), now);
    let mut admitted = 0;
    for n in 0..40 {
        let token = token("a", json!({ "jti": n }));
        let seen = with(&mut rig, "/user", &[("authorization", &token)]);
        admitted += u64::from(seen.status == 200);
    }
    assert_eq!(admitted, 10, "half of the quota at once");
}

#[test]
fn with_two_plans_at_once_a_user_gets_the_larger_one_and_no_more() {
    let mut config = config(json!({
        "jwt": { "jwks": KEYS, "issuer": "login", "plan_claim": "plan" },
    }));
    config["limits"]["user"] = json!({
        "by": "user", "window": "60s", "quota": 2, "keyed_quota": 100, "plans": { "pro": 300 },
        "strategy": "lease",
    });
    let mut rig = Rig::new(config);
    first_token(&mut rig);
    let now = rig.shown();
    assert!(rig.gate.take_key_fetch(now).is_some());
    rig.gate.keys_fetched(Some(&keys(&["a"])), now);
    let (usual, pro) = (token("a", json!({})), token("a", json!({ "plan": "pro" })));
    let mut admitted = 0;
    for n in 0..800 {
        let (token, quota) = if n % 2 == 0 {
            (&usual, 100)
        } else {
            (&pro, 300)
        };
        let seen = with(&mut rig, "/user", &[("authorization", token)]);
        let (told, left) = told(&seen);
        assert!(told == quota && left <= quota, "{told}, {left}");
        admitted += u64::from(seen.status == 200);
        rig.wait(50);
    }
    assert!((250..=300).contains(&admitted), "{admitted} in 40 s");
}

#[test]
fn without_keys_tokens_count_by_digest_and_one_note_says_so() {
    let mut rig = verifying("any");
    let now = rig.shown();
    assert!(rig.gate.take_key_fetch(now).is_some());
    rig.gate.keys_fetched(None, now);
    let notes = rig.notes();
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].starts_with("client.jwt.jwks: the keys cannot be fetched (no whole answer in 5 s")
    );
    let token = token("a", json!({}));
    let seen = with(&mut rig, "/user", &[("authorization", &token)]);
    assert_eq!(told(&seen), (5, 4));
    let stored: Vec<_> = rig.model.keys().map(str::to_owned).collect();
    assert!(
        stored
            .iter()
            .all(|key| !key.contains("alice") && !key.contains('.')),
        "{stored:?}"
    );
    rig.wait(2_000);
    let now = rig.shown();
    assert!(rig.gate.take_key_fetch(now).is_some());
    rig.gate.keys_fetched(None, now);
    assert!(rig.notes().is_empty(), "told once");
}

#[test]
fn a_route_that_counts_no_users_verifies_nothing() {
    let mut rig = verifying("any");
    let token = token("a", json!({}));
    let before = rig.now;
    assert_eq!(
        with(&mut rig, "/ip", &[("authorization", &token)]).status,
        200
    );
    assert_eq!(rig.now, before, "nor does it wait for keys");
    with(&mut rig, "/user", &[("authorization", &token)]);
    let waited = rig.now.since(before).as_millis();
    assert!((1..=520).contains(&waited), "{waited}");
}

#[test]
fn a_request_goes_on_even_if_the_clock_stands_still() {
    let mut rig = verifying("any");
    let request = get("/user").with("authorization", &token("a", json!({})));
    let now = rig.shown();
    let mut step = rig.gate.decide(&request, now);
    assert!(rig.gate.take_key_fetch(now).is_some());
    let mut looks = 0;
    while let Step::AwaitKeys(_, awaited) = step {
        looks += 1;
        assert!(looks <= 50, "it waits for half a second");
        step = rig.gate.keys_awaited(&request, awaited, now);
    }
    assert_eq!(told(&rig.carry_on(&request, step)), (5, 4));
}
