use proptest::prelude::*;

use super::*;

fn of(reference: &str) -> Option<String> {
    let base = Target::of("https://edge.example/a/b?x=1").unwrap();
    let named = same_origin_reference(&base, "http://api.internal:8080/v1", reference)?;
    Some(named.to_string())
}

#[test]
fn a_reference_is_resolved_rfc3986_5_2() {
    for (reference, path) in [
        ("/c", "/c"),
        ("c", "/a/c"),
        ("../c", "/c"),
        ("./c/./d", "/a/c/d"),
        ("../../../c", "/c"),
        ("/c/..", "/"),
        ("..", "/"),
        (".", "/a/"),
        ("", "/a/b?x=1"),
        ("?y=2", "/a/b?y=2"),
        ("#top", "/a/b?x=1"),
        ("/c?y=/../z", "/c?y=/../z"),
        ("/%2e%2E/c", "/c"),
        ("//edge.example/c", "/c"),
        ("HTTPS://EDGE.example:443/c", "/c"),
        ("https:c", "/a/c"),
        ("1:c", "/a/1:c"),
        (" c\t", "/a/c"),
        ("\\c\\..\\d?\\", "/d?%5C"),
        ("\\\\edge.example\\c", "/c"),
        ("/%63{'\"|}?'%7e", "/c%7B'%22%7C%7D?%27~"),
        ("/é?é", "/%C3%A9?%C3%A9"),
    ] {
        let expected = format!("https://edge.example{path}");
        assert_eq!(of(reference), Some(expected), "{reference}");
    }
}

#[test]
fn the_name_that_the_origin_has_for_itself_counts() {
    let expected = Some("https://edge.example/c".to_owned());
    assert_eq!(of("http://api.internal:8080/v1/c"), expected);
    assert_eq!(of("http://api.internal:8080/v2/c"), None);
    assert_eq!(of("http://api.internal:8080/v1c"), None);
    assert_eq!(of("http://api.internal:8080/v1/../c"), None);
    assert_eq!(of("HTTP://API.internal:8080/%761/x/../c"), expected);
}

#[test]
fn another_origin_is_never_touched_rfc9111_4_4() {
    for reference in [
        "https://other.example/c",
        "http://edge.example/c",
        "https://edge.example:8443/c",
        "//other.example/c",
        "mailto:a@edge.example",
        "https://",
        "https://edge.example@other.example/c",
        "http:c",
        "//edge.example #",
        "https://edge.example ?x=1",
        "/caf\u{FFFD}",
    ] {
        assert_eq!(of(reference), None, "{reference}");
    }
}

proptest! {
    #[test]
    fn no_reference_makes_it_panic_or_leaves_the_origin(reference in "\\PC{0,40}") {
        if let Some(url) = of(&reference) {
            prop_assert!(url.starts_with("https://edge.example/"));
        }
    }

    /// References are resolved as the clients that follow them do it.
    #[test]
    fn a_reference_is_what_the_url_standard_makes_of_it(
        reference in "(https:|http:|//edge\\.example|\\\\|/|\\.\\.|\\.|%2e|[a-b:;'|{é%?# \t]){0,8}",
    ) {
        let base = url::Url::parse("https://edge.example/a/b?x=1").unwrap();
        let joined = base.join(&reference).ok();
        let here = joined.filter(|url| url.origin() == base.origin() && url.username().is_empty());
        let expected = here.and_then(|url| Some(Target::of(url.as_str())?.to_string()));
        let found = of(&reference);
        prop_assert!(found.is_none() || found == expected, "{:?} and {:?}", found, expected);
        let odd = reference.trim_start().starts_with(|c: char| c.is_ascii_alphabetic() || "/\\".contains(c));
        prop_assert!(odd || found.is_some() || expected.is_none(), "{:?}", expected);
    }
}
