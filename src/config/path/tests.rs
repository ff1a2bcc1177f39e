use proptest::prelude::*;

use super::*;
use crate::engine::route::{Pattern, segments};

/// What is advised in place of a path.
fn advised(path: &str) -> String {
    in_our_words(path).unwrap_or_default()
}

#[test]
fn a_wildcard_of_another_tool_is_told_in_ours() {
    for (path, expected) in [
        ("/api/*", "/api/{*rest}"),
        ("^~ /static/", "/static/{*rest}"),
        ("~* ^/api/", "/api/{*rest}"),
        ("~* ^/a", "/a/{*rest}"),
        ("~ ^/api/v[0-9]+/", "/api/{id}/{*rest}"),
        ("= /a", "/a"),
        ("https://x.example/a", "/a"),
        ("/api/**", "/api/{*rest}"),
        ("/api/**/", "/api/{*rest}"),
        ("/*", "/{*rest}"),
        ("*", "/{*rest}"),
        ("/**/orders", "/{*rest}"),
        ("/api/*/orders", "/api/{id}/orders"),
        ("/api/*/orders/*", "/api/{id}/orders/{*rest}"),
        ("/api/*/orders/*/x", "/api/{id}/orders/{id2}/x"),
        ("/api/:id", "/api/{id}"),
        ("/api/:id/:id", "/api/{id}/{id2}"),
        ("/api/:user-id/x", "/api/{user_id}/x"),
        ("/api/:id(\\d+)", "/api/{id}"),
        ("/api/:path*", "/api/{*path}"),
        ("/api/:path+", "/api/{*path}"),
        ("/api/:path(.*)", "/api/{*path}"),
        ("/api/:id?", "/api/{*id}"),
        ("/api/*splat", "/api/{*splat}"),
        ("/api/(.*)", "/api/{*rest}"),
        ("/api/.*", "/api/{*rest}"),
        ("/api/.+", "/api/{*rest}"),
        ("/api/([^/]+)", "/api/{id}"),
        ("/api/[^/]+/x", "/api/{id}/x"),
        ("/api/\\d+", "/api/{id}"),
        ("/api/(v1|v2)/x", "/api/{id}/x"),
        ("/api/<id>", "/api/{id}"),
        ("/api/<int:id>", "/api/{id}"),
        ("/api/<path:rest>", "/api/{*rest}"),
        ("/api/[id]", "/api/{id}"),
        ("/api/[...slug]", "/api/{*slug}"),
        ("/api/[[...slug]]", "/api/{*slug}"),
        ("/api/$id", "/api/{id}"),
        ("/api/$", "/api/{*rest}"),
        ("/api/{id:int}", "/api/{id}"),
        ("/api/{id:[0-9]+}/x", "/api/{id}/x"),
        ("/api/{id:[^/]+}", "/api/{id}"),
        ("/api/{tail:.*}", "/api/{*tail}"),
        ("/api/{id?}", "/api/{*id}"),
        ("/api/{user-id}", "/api/{user_id}"),
        ("/api/{}", "/api/{id}"),
        ("/api/{*}", "/api/{*rest}"),
        ("/api/{**slug}", "/api/{*slug}"),
        ("/api/{rest...}", "/api/{*rest}"),
        ("/api/{path=**}", "/api/{*path}"),
        ("/api/{+path}", "/api/{*path}"),
        ("/api/{$}", "/api"),
        ("/api/{id}.json", "/api/{id}"),
        ("/api/*.json", "/api/{id}"),
        ("/api/user-*", "/api/{id}"),
        ("/api/+/x", "/api/{id}/x"),
        ("^/api", "/api/{*rest}"),
        ("^/api/", "/api/{*rest}"),
        ("^/api/.*", "/api/{*rest}"),
        ("^/api/book$", "/api/book"),
        ("~ ^/api/", "/api/{*rest}"),
        ("= /api", "/api"),
        ("/api/book$", "/api/book"),
        ("/api/book?limit=5", "/api/book"),
        ("/v1/users:batchGet", "/v1/{batchGet}"),
        ("/odata/$metadata", "/odata/{metadata}"),
    ] {
        assert!(has_wildcard_of_others(path), "{path}");
        let told = advised(path);
        assert!(
            told.starts_with(&format!("{expected:?} (")),
            "{path}: {told}"
        );
        assert!(Pattern::parse(expected).is_ok(), "{path}: {expected}");
        assert!(!has_wildcard_of_others(expected), "{path}: {expected}");
    }
}

#[test]
fn what_stands_for_itself_is_told_percent_encoded() {
    for (path, expected) in [
        (
            "/odata/$metadata",
            "/odata/%24metadata\" if `$` stands for itself",
        ),
        (
            "/v1/users:batchGet",
            "/v1/users%3AbatchGet\" if `:` stands for itself",
        ),
        ("/api/*", "/api/%2A\" if `*` stands for itself"),
        (
            "/Products(1)",
            "/Products%281%29\" if `(` and `)` stand for themselves",
        ),
        ("/{id}/a|b", "/{id}/a%7Cb\" if `|` stands for itself"),
        ("/sensors/+", "/sensors/%2B\" if `+` stands for itself"),
    ] {
        let told = advised(path);
        assert!(told.ends_with(expected), "{path}: {told}");
    }
    for braces in ["/api/{id:int}", "/api/{id?}", "^/api", "/api/book?x=1", "*"] {
        assert!(!advised(braces).contains(", or "), "{braces}");
    }
}

#[test]
fn what_is_no_wildcard_anywhere_stays_as_it_is() {
    for path in [
        "/",
        "/api",
        "/api/{id}",
        "/api/{*rest}",
        "/~user",
        "/@scope/pkg",
        "/a,b",
        "/a=b&c",
        "/c++",
        "/a+b",
        "/it's",
        "/wow!",
        "/v1.2/x-y_z",
        "/ordérs",
        "/%24metadata",
        "/users%3AbatchGet",
        "/%2A",
        "/a b",
        "/sensors/%2B",
        "//x/",
        "/.well-known/x",
    ] {
        assert!(!has_wildcard_of_others(path), "{path}");
        assert_eq!(in_our_words(path), None, "{path}");
        assert!(Pattern::parse(path).is_ok(), "{path}");
    }
}

/// A path that no route can have is not advised, with or without the wildcard.
#[test]
fn what_no_route_can_have_is_not_advised() {
    for path in ["/./(", "/a/../:id", "/*/.."] {
        assert!(has_wildcard_of_others(path), "{path}");
        assert_eq!(in_our_words(path), None, "{path}");
    }
}

/// Brackets may hold a slash, and so a dot segment that shows only once they are gone.
#[test]
fn a_literal_that_no_route_can_have_is_not_advised() {
    assert_eq!(literal("/</."), None);
    assert!(literal("/</x").is_some());
}

proptest! {
    #[test]
    fn what_is_advised_is_taken_and_the_literal_matches_both_spellings(
        path in "/([a-z]{0,2}[*:$()<>^|+\\[\\].?{}-]{0,2}[a-z]{0,2}/?){0,4}|[~^*/a-z{}?$ ]{1,8}",
    ) {
        if has_wildcard_of_others(&path) && let Some(ours) = translated(&path) {
            prop_assert!(Pattern::parse(&ours).is_ok(), "{} -> {}", path, ours);
            prop_assert!(!has_wildcard_of_others(&ours), "{} -> {}", path, ours);
            if let Some((literal, _)) = literal(&path) {
                let pattern = Pattern::parse(&literal);
                prop_assert!(pattern.is_ok(), "{} -> {}", path, literal);
                for spelling in [&path, &literal] {
                    let asked = segments(spelling).unwrap();
                    prop_assert!(pattern.as_ref().unwrap().matches(&asked), "{} {}", literal, spelling);
                }
            }
        }
    }
}
