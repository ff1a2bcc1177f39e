use proptest::prelude::*;

use super::*;

fn of(reference: &str) -> Option<String> {
    same_origin_reference(
        "https://edge.example/a/b?x=1",
        "http://api.internal:8080/v1",
        reference,
    )
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
}
