use super::*;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + ms)
}

fn reply(id: &str, fields: &[(&str, &str)]) -> KeyReply {
    let key = format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{id}","x":"x"}}"#);
    KeyReply {
        status: 200,
        fields: fields
            .iter()
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect(),
        body: format!(r#"{{"keys":[{key}]}}"#).into(),
    }
}

#[test]
fn keys_are_fetched_once_and_again_when_they_are_stale() {
    let mut keys = IssuerKeys::default();
    assert!(keys.begin(at(0)));
    assert!(!keys.begin(at(1)), "one fetch is under way");
    let age = [("cache-control", "public, max-age=100"), ("age", "40")];
    assert_eq!(
        keys.fetched(Some(&reply("a", &age)), at(10)),
        Ok(Changed(true))
    );
    assert!(!keys.begin(at(60_009)));
    assert!(keys.begin(at(60_010)));
    assert!(
        keys.set(at(60_010)).is_some(),
        "stale keys are used meanwhile"
    );
    assert_eq!(
        keys.fetched(Some(&reply("a", &age)), at(60_020)),
        Ok(Changed(false))
    );
}

#[test]
fn a_fetch_that_was_lost_is_made_again() {
    let mut keys = IssuerKeys::default();
    assert!(keys.begin(at(0)));
    assert!(!keys.begin(at(5_999)) && keys.begin(at(6_000)));
}

#[test]
fn a_lifetime_is_what_the_response_says_within_bounds() {
    let date = crate::engine::http_cache::http_date(at(30_000)).unwrap();
    for (fields, seconds) in [
        (vec![], 300),
        (vec![("cache-control", "max-age=19")], 19),
        (vec![("cache-control", "max-age=0")], 1),
        (vec![("cache-control", "max-age=9999999")], 86_400),
        (vec![("cache-control", "max-age=5"), ("age", "9")], 1),
        (vec![("cache-control", "no-store")], 10),
        (vec![("cache-control", "no-cache, max-age=60")], 10),
        (vec![("cache-control", "max-age=x")], 300),
        (vec![("expires", date.as_str())], 30),
        (vec![("expires", "0")], 300),
        (vec![("cache-control", "max-age=7"), ("expires", "0")], 7),
    ] {
        let lifetime = lifetime(&reply("a", &fields), at(0));
        assert_eq!(lifetime, Duration::from_secs(seconds), "{fields:?}");
    }
}

#[test]
fn failures_keep_the_old_keys_and_are_repeated_ever_later() {
    let mut keys = IssuerKeys::default();
    let short = [("cache-control", "max-age=1")];
    keys.fetched(Some(&reply("a", &short)), at(0)).unwrap();
    let mut now = at(1_000);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        assert!(keys.begin(now));
        assert!(keys.fetched(None, now).is_err());
        assert!(keys.is_failing() && keys.set(now).is_some());
        let before = now;
        while !keys.begin(now) {
            now = now + Duration::from_secs(1);
        }
        keys.fetching_until = None;
        pauses.push(now.since(before).as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert!(keys.set(at(1_000) + STALE).is_none(), "not for ever");
    keys.fetched(Some(&reply("b", &short)), now).unwrap();
    assert!(!keys.is_failing() && keys.set(now).is_some());
}

#[test]
fn an_answer_without_keys_is_a_failure() {
    for (status, body) in [(200, ""), (200, "{\"keys\":[]}"), (404, "x"), (302, "")] {
        let body = Bytes::from_static(body.as_bytes());
        let reply = KeyReply {
            status,
            fields: Vec::new(),
            body,
        };
        assert!(IssuerKeys::default().fetched(Some(&reply), at(0)).is_err());
    }
}

#[test]
fn made_up_keys_cause_few_fetches() {
    let mut keys = IssuerKeys::default();
    let long = [("cache-control", "max-age=86400")];
    keys.fetched(Some(&reply("a", &long)), at(0)).unwrap();
    let mut fetches = 0;
    for ms in (0..60_000).step_by(100) {
        keys.force(at(ms));
        if keys.begin(at(ms)) {
            fetches += 1;
            keys.fetched(Some(&reply("a", &long)), at(ms)).unwrap();
        }
    }
    assert_eq!(fetches, 5 + 3);
    assert!(keys.force(at(86_000_000)), "later there are more");
}
