use proptest::prelude::*;

use super::envelope::{DecodeError, decode, encode};
use super::*;

fn stored() -> (Meta, Freshness) {
    let case = Case::new(&[
        ("cache-control", "max-age=1, stale-while-revalidate=2"),
        ("age", "0"),
        ("vary", "x-a, x-b"),
        ("x-c", "caf\u{e9} \"\\"),
    ])
    .request(&[("x-a", "1")]);
    (made(case.meta()), case.freshness(&rules()))
}

/// The head with epochs, as if the store had been asked for them.
fn made(meta: Meta) -> Meta {
    let epochs = Some("-,5f".to_owned());
    Meta { epochs, ..meta }
}

#[test]
fn the_head_is_what_a_script_reads() {
    let (meta, freshness) = stored();
    let text = encode(&meta, &freshness, b"{\"a\":1}", None).unwrap();
    let t = T0.as_millis();
    let head = format!("2 {} {} {t} - -,5f {{", t + 1_000, t + 3_000);
    assert!(text.starts_with(&head), "{text}");
    assert!(text.ends_with("\n{\"a\":1}"));
    assert_eq!(text.lines().count(), 2);
    let version = Some("18446744073709551615".to_owned());
    let meta = Meta { version, ..meta };
    let text = encode(&meta, &freshness, b"", None).unwrap();
    assert!(text.contains(&format!(" {t} 18446744073709551615 -,5f {{")));
    assert_eq!(decode(&text, &key()).unwrap().0, meta);
}

#[test]
fn what_is_not_known_to_be_unpurged_is_not_written() {
    let (meta, freshness) = stored();
    let meta = Meta {
        epochs: None,
        ..meta
    };
    assert!(encode(&meta, &freshness, b"", None).is_err());
}

#[test]
fn what_never_is_fresh_says_so_in_its_head() {
    let case = Case::new(&[("cache-control", "no-cache"), ("etag", "\"a\"")]);
    let text = encode(&made(case.meta()), &case.freshness(&rules()), b"", None).unwrap();
    assert!(text.starts_with("2 0 0 "), "{text}");
}

#[test]
fn an_entry_that_answers_another_key_is_a_miss() {
    let (meta, freshness) = stored();
    let text = encode(&meta, &freshness, b"x", None).unwrap();
    let other = Target::of("https://api.example/other").unwrap();
    let other = CacheKey::new(&other, None, &[], &HeaderMap::new());
    assert_eq!(decode(&text, &other).err(), Some(DecodeError::Key));
}

#[test]
fn an_entry_of_another_version_is_a_miss() {
    let (meta, freshness) = stored();
    let text = encode(&meta, &freshness, b"x", None).unwrap();
    let newer = text.replacen('2', "3", 1);
    assert_eq!(decode(&newer, &key()).err(), Some(DecodeError::Version));
}

#[test]
fn a_damaged_body_is_a_miss() {
    let (meta, freshness) = stored();
    for body in [&b"0123456789abcdef!"[..], b"\xff\xfe\x00 binary"] {
        let text = encode(&meta, &freshness, body, None).unwrap();
        let start = text.find('\n').unwrap() + 1;
        for at in start..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(damaged).unwrap();
            assert_eq!(decode(&damaged, &key()).err(), Some(DecodeError::Body));
            assert!(decode(&text[..at], &key()).is_err());
        }
    }
}

#[test]
fn a_status_that_is_never_stored_is_a_miss() {
    let (mut meta, freshness) = stored();
    for status in [0, 101, 600, 65_535] {
        meta.status = status;
        let text = encode(&meta, &freshness, b"x", None).unwrap();
        assert_eq!(decode(&text, &key()).err(), Some(DecodeError::Head));
    }
}

proptest! {
    #[test]
    fn any_body_comes_back(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let (meta, freshness) = stored();
        let text = encode(&meta, &freshness, &body, None).unwrap();
        let (read, back) = decode(&text, &key()).unwrap();
        prop_assert_eq!(read, meta);
        prop_assert_eq!(&*back, body.as_slice());
    }

    #[test]
    fn any_text_body_comes_back_as_it_is(body in ".{0,64}") {
        let (meta, freshness) = stored();
        let text = encode(&meta, &freshness, body.as_bytes(), None).unwrap();
        prop_assert!(text.ends_with(&body));
        let (_, back) = decode(&text, &key()).unwrap();
        prop_assert_eq!(&*back, body.as_bytes());
    }

    #[test]
    fn no_text_makes_it_panic(text in "(2 )?([0-9-]{1,2} ){0,6}(\\{|\"[khqpvl]\":|[0-9]|\\}|\\PC|\n){0,20}") {
        prop_assert!(decode(&text, &key()).is_err());
    }
}
