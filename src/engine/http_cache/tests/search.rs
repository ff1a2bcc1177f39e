use super::*;

fn canonical(field: &str, query: &str) -> Option<String> {
    let rule = NoVarySearch::of(&headers(&[("no-vary-search", field)])).unwrap();
    rule.canonical(query)
}

#[test]
fn parameters_that_do_not_count_are_left_out_no_vary_search() {
    let some = |text: &str| Some(text.to_owned());
    let list = "params=(\"utm\" \"ref\")";
    assert_eq!(canonical(list, "utm=1&a=2&ref&b=3"), some("a=2&b=3"));
    assert_eq!(canonical(list, "%75tm=1&a=2"), some("a=2"));
    assert_eq!(canonical("params", "a=1&b=2"), None);
    assert_eq!(canonical("params, except=(\"a\")", "b=2&a=1"), some("a=1"));
    assert_eq!(canonical("key-order", "b=2&a=1&b=1"), some("a=1&b=2&b=1"));
    assert_eq!(
        canonical("params=(\"b\")", "c=1&a=1"),
        some("c=1&a=1"),
        "the order counts"
    );
}

#[test]
fn what_is_malformed_makes_all_count_no_vary_search() {
    for field in [
        "",
        "x",
        "params=?0",
        "params=1",
        "params=(a)",
        "params=(\"a\"",
        "key-order=1",
        "except=(\"a\")",
        "params=(\"a\"), except=(\"b\")",
        "params=(\"a\\\"\")",
    ] {
        let headers = headers(&[("no-vary-search", field)]);
        assert_eq!(NoVarySearch::of(&headers), None, "{field}");
    }
    assert_eq!(NoVarySearch::of(&HeaderMap::new()), None);
}
