//! What is wrong with tags.

use serde_json::{Value, json};

use super::errors;

fn tagged(cache: Value) -> Vec<String> {
    errors(json!({ "routes": [{ "path": "/books/{id}", "cache": cache }] }))
}

#[test]
fn a_tag_has_places_for_parameters_of_the_query_and_of_the_path() {
    let tags = ["a", "{query.x}", "b:{path.id}-{query.y.z}", "#1"];
    assert_eq!(tagged(json!({ "tags": tags })), [""; 0]);
    let declared = json!({ "tags": ["s:{query.s}"], "query": ["r", "s"] });
    assert_eq!(tagged(declared), [""; 0]);
}

#[test]
fn what_is_no_tag_is_an_error() {
    for tag in [
        "",
        "@a",
        "a b",
        "a\n",
        "{",
        "a}",
        "{id}",
        "{query.}",
        &"x".repeat(129),
    ] {
        let errors = tagged(json!({ "tags": ["a", tag] }));
        assert_eq!(errors.len(), 1, "{tag:?}: {errors:?}");
        let expected = "routes[0].cache.tags[1]: expected a tag such as \"orderbook\"";
        assert!(errors[0].starts_with(expected), "{errors:?}");
    }
}

#[test]
fn a_place_that_no_request_fills_is_an_error() {
    assert_eq!(
        tagged(json!({ "tags": ["{query.a}", "x:{query.b}"], "query": ["a"] })),
        [
            "routes[0].cache.tags[1]: expected no `{query.b}`, which `query` leaves out, found \
          \"x:{query.b}\""
        ]
    );
    assert_eq!(
        tagged(json!({ "tags": ["{path.id}{path.name}"] })),
        [
            "routes[0].cache.tags[0]: expected no `{path.name}`, which the path does not have, found \
          \"{path.id}{path.name}\""
        ]
    );
}

#[test]
fn a_route_has_no_more_tags_than_are_read_with_an_entry() {
    let tags = |n: usize| (0..n).map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(tagged(json!({ "tags": tags(8) })), [""; 0]);
    assert_eq!(
        tagged(json!({ "tags": tags(9) })),
        ["routes[0].cache.tags: expected at most 8 tags, found 9"]
    );
}
