use proptest::prelude::*;

use super::*;

fn of(url: &str) -> CacheKey {
    CacheKey::new(&Target::of(url).unwrap(), None, &[], &HeaderMap::new())
}

#[test]
fn equivalent_urls_have_one_key_rfc3986_6_2_2() {
    let plain = of("https://h/a~b?c=%2F");
    for same in [
        "HTTPS://H/a~b?c=%2F",
        "https://h:443/a~b?c=%2F",
        "https://h/a%7eb?c=%2f",
        "https://h/%61%7Eb?%63=%2F",
    ] {
        assert_eq!(of(same), plain, "{same}");
    }
}

#[test]
fn different_questions_have_different_keys() {
    let urls = [
        "https://h/a",
        "http://h/a",
        "https://h:80/a",
        "https://i/a",
        "https://h/A",
        "https://h/a/",
        "https://h/a%2F",
        "https://h/a?",
        "https://h/a?b",
        "https://h/a?b=",
        "https://h/a?b&c",
        "https://h/a?c&b",
        "https://h/a?b=%26c",
        "https://h/a?b=+",
        "https://h/a?b=%20",
    ];
    for (at, a) in urls.iter().enumerate() {
        for b in urls.iter().skip(at + 1) {
            assert_ne!(of(a), of(b), "{a} {b}");
        }
    }
}

#[test]
fn the_routes_request_headers_count_and_are_not_kept() {
    let target = Target::of("https://h/").unwrap();
    let vary = ["Authorization", "x-a"].map(str::to_owned);
    let key = |fields: &[_]| CacheKey::new(&target, None, &vary, &headers(fields));
    let secret = key(&[("authorization", "Bearer secret")]);
    assert!(!secret.text().contains("secret"));
    assert_ne!(secret, key(&[("authorization", "Bearer other")]));
    assert_ne!(secret, key(&[("x-a", "Bearer secret")]));
    assert_ne!(secret, key(&[]));
    assert_ne!(key(&[("x-a", "")]), key(&[]));
}

#[test]
fn a_key_is_bounded_however_long_the_url() {
    let long = |end| of(&format!("https://h/{}{end}", "a".repeat(16_384)));
    assert!(long("x").text().len() < 100);
    assert_ne!(long("x"), long("y"));
    assert_eq!(long("x").hex().len(), 32);
}

/// Reads the fields of a key's text back.
fn fields(text: &str) -> Vec<Option<&str>> {
    let mut rest = text.strip_prefix('1').unwrap();
    let mut fields = Vec::new();
    while let Some(next) = rest.strip_prefix(' ') {
        if let Some(next) = next.strip_prefix('-') {
            fields.push(None);
            rest = next;
        } else {
            let (length, next) = next.split_once(':').unwrap();
            let (value, next) = next.split_at(length.parse().unwrap());
            fields.push(Some(value));
            rest = next;
        }
    }
    assert!(rest.is_empty());
    fields
}

proptest! {
    /// The text can be read back, so no two lists of fields have the same text.
    #[test]
    fn the_text_of_a_key_says_what_was_asked(
        host in "[a-z0-9.-]{1,8}",
        path in "/[^?#]{0,20}",
        query in proptest::option::of("[^#]{0,20}"),
        header in proptest::option::of("[ -~]{0,8}"),
    ) {
        let query = query.map_or(String::new(), |query| format!("?{query}"));
        let url = format!("https://{host}{path}{query}");
        let Some(target) = Target::of(&url) else {
            prop_assert!(url.contains(char::REPLACEMENT_CHARACTER));
            return Ok(());
        };
        let request: Vec<(String, String)> =
            header.iter().map(|value| ("x-a".to_owned(), value.clone())).collect();
        let key = CacheKey::new(&target, None, &["x-a".to_owned()], request.as_slice());
        let read = fields(key.text());
        prop_assert_eq!(read.len(), 7);
        prop_assert_eq!(read[0], Some("GET"));
        prop_assert_eq!(read[1..5].to_vec(), [
            Some("https"), Some(host.as_str()), Some(target.path()), target.query(),
        ]);
        prop_assert_eq!(read[6].is_some(), header.is_some());
    }

    #[test]
    fn no_url_makes_it_panic(url in "\\PC{0,60}", names in proptest::collection::vec(".{0,5}", 0..4)) {
        if let Some(target) = Target::of(&url) {
            let _ = CacheKey::new(&target, None, &names, &headers(&[]));
        }
    }
}
