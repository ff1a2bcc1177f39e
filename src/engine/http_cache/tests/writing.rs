//! How bodies are written: compressed, in base64 or unchanged.

use proptest::prelude::*;

use super::envelope::{DecodeError, LARGEST_BODY, decode, encode};
use super::*;

fn stored() -> (Meta, Freshness) {
    let case = Case::new(&[("cache-control", "max-age=1")]);
    let meta = Meta {
        epochs: Some("-".to_owned()),
        ..case.meta()
    };
    (meta, case.freshness(&rules()))
}

fn written(body: &[u8], compress_from: Option<usize>) -> String {
    let (meta, freshness) = stored();
    encode(&meta, &freshness, body, compress_from).unwrap()
}

fn read(text: &str) -> Result<Vec<u8>, DecodeError> {
    decode(text, &key()).map(|(_, body)| body.into_owned())
}

/// Like an order book: text that repeats its words, but not its numbers.
fn book(levels: usize) -> Vec<u8> {
    let level = |n: usize| {
        format!(
            "[\"{}.{:02}\",\"0.{:06}\"]",
            89_000 + n,
            n % 97,
            n * 7_919 % 999_983
        )
    };
    let levels: Vec<_> = (0..levels).map(level).collect();
    format!("{{\"bids\":[{}]}}", levels.join(",")).into_bytes()
}

/// Numbers without any order (xorshift).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(next).collect()
}

#[test]
fn a_body_is_compressed_from_the_size_that_is_configured() {
    let body = book(40);
    let plain = written(&body, None);
    assert!(plain.as_bytes().ends_with(&body));
    assert_eq!(written(&body, Some(body.len() + 1)), plain);
    let packed = written(&body, Some(body.len()));
    assert!(
        packed.len() * 4 < plain.len() * 3,
        "{} of {}",
        packed.len(),
        plain.len()
    );
    assert_eq!(read(&packed).unwrap(), body);
    assert_eq!(read(&plain).unwrap(), body);
}

#[test]
fn what_compression_does_not_shorten_is_left_as_it_is() {
    let short = b"{\"a\":1}";
    assert!(written(short, Some(0)).as_bytes().ends_with(short));
    for length in [100, 100_000] {
        let noise = noise(length);
        let text = written(&noise, Some(0));
        assert_eq!(text, written(&noise, None), "{length}");
        assert_eq!(read(&text).unwrap(), noise);
    }
}

#[test]
fn bytes_that_are_no_text_are_compressed_too() {
    let mut body = book(40);
    body.push(0xff);
    let text = written(&body, Some(0));
    assert!(text.len() < written(&body, None).len());
    assert_eq!(read(&text).unwrap(), body);
}

#[test]
fn a_large_body_comes_back_whole() {
    let body = book(60_000);
    assert!(body.len() > 1 << 20);
    assert_eq!(read(&written(&body, Some(0))).unwrap(), body);
}

#[test]
fn of_a_damaged_entry_nothing_wrong_is_read() {
    let body = book(40);
    let text = written(&body, Some(0));
    let start = text.find('\n').unwrap() + 1;
    let mut misses = 0;
    for at in start..text.len() {
        assert_eq!(read(&text[..at]), Err(DecodeError::Body), "cut at {at}");
        for other in ["A", "B", "-", "\n", "é"] {
            let mut damaged = text.clone();
            damaged.replace_range(at..=at, other);
            match read(&damaged) {
                // The bits that fill up the last byte have no meaning.
                Ok(read) => assert_eq!(read, body, "{other} at {at}"),
                Err(error) => {
                    assert_eq!(error, DecodeError::Body);
                    misses += 1;
                }
            }
        }
    }
    assert!(misses > 4 * (text.len() - start), "{misses}");
}

#[test]
fn a_body_that_swells_to_more_than_was_stated_or_is_ever_kept_is_a_miss() {
    let bomb = vec![b'0'; LARGEST_BODY];
    let text = written(&bomb, Some(0));
    assert!(text.len() < 64 << 10);
    let larger = vec![b'0'; LARGEST_BODY + 1];
    assert_eq!(read(&written(&larger, Some(0))), Err(DecodeError::Body));
    assert_eq!(read(&text).unwrap().len(), bomb.len());
    let length = format!("\"l\":{}", bomb.len());
    for stated in [
        0,
        1,
        1_000,
        bomb.len() - 1,
        bomb.len() + 1,
        LARGEST_BODY + 1,
        usize::MAX,
    ] {
        let other = text.replacen(&length, &format!("\"l\":{stated}"), 1);
        assert_ne!(other, text);
        assert_eq!(read(&other), Err(DecodeError::Body), "{stated}");
    }
}

proptest! {
    #[test]
    fn any_body_comes_back(
        body in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'a'), Just(b'"')], 0..300),
        from in proptest::option::of(0_usize..300),
    ) {
        let text = written(&body, from);
        prop_assert_eq!(read(&text).unwrap(), body);
    }

    #[test]
    fn nothing_hostile_in_place_of_the_body_makes_it_panic(
        body in "[A-Za-z0-9+/]{0,200}", length in 0_usize..5_000,
    ) {
        let text = written(&book(40), Some(0));
        let (head, _) = text.split_once('\n').unwrap();
        let stated = format!("\"l\":{}", book(40).len());
        let head = head.replacen(&stated, &format!("\"l\":{length}"), 1);
        prop_assert_eq!(read(&format!("{head}\n{body}")), Err(DecodeError::Body));
    }
}
