use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// `symbol` in upper case, `side` in lower case, `limit` 100 if absent, and some without a rule.
fn declared() -> DeclaredQuery {
    let names = ["symbol", "side", "limit", "a", "b c", "a[]"].map(str::to_owned);
    let letters = [("symbol", Letters::Upper), ("side", Letters::Lower)];
    DeclaredQuery::new(
        &names,
        &letters
            .map(|(name, letters)| (name.to_owned(), letters))
            .into(),
        &[("limit".to_owned(), "100".to_owned())].into(),
    )
}

fn canonical(query: &str) -> String {
    declared().canonical(Some(query)).unwrap()
}

/// Without defaults.
fn plain(names: &[&str], query: &str) -> Option<String> {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    DeclaredQuery::new(&names, &BTreeMap::new(), &BTreeMap::new()).canonical(Some(query))
}

#[test]
fn only_declared_parameters_count_sorted_by_name() {
    let names = ["symbol", "limit"];
    let expected = Some("limit=5&symbol=A".to_owned());
    assert_eq!(plain(&names, "symbol=A&limit=5&x=1&&=&y"), expected);
    assert_eq!(plain(&names, "x=1"), None);
    assert_eq!(plain(&names, ""), None);
    assert_eq!(plain(&[], "symbol=A"), None);
}

#[test]
fn equal_questions_are_one() {
    let one = "limit=100&symbol=BTCUSDT";
    for query in [
        "symbol=BTCUSDT&limit=100",
        "symbol=btcusdt",
        "limit=%31%300&symbol=BtcUsdt",
        "%73ymbol=%62tcusdt&utm=1",
        "symbol=btcusdt&Limit=5",
    ] {
        assert_eq!(canonical(query), one, "{query}");
    }
}

#[test]
fn an_absent_parameter_has_its_default_and_an_empty_one_has_none() {
    assert_eq!(declared().canonical(None), Some("limit=100".to_owned()));
    assert_eq!(canonical("limit="), "limit=");
    assert_eq!(canonical("limit"), "limit");
    assert_eq!(canonical("limit=&limit=7"), "limit=&limit=7");
}

#[test]
fn only_ascii_letters_of_the_decoded_value_change() {
    assert_eq!(
        canonical("symbol=%c3%a4%2fa%7aé1"),
        "limit=100&symbol=%C3%A4%2FAZ%C3%A91"
    );
    assert_eq!(
        canonical("side=%C3%84%2FB%5auy"),
        "limit=100&side=%C3%84%2Fbzuy"
    );
    assert_eq!(canonical("a=Bb"), "a=Bb&limit=100");
}

#[test]
fn a_value_with_a_broken_escape_stays_as_it_is() {
    for broken in ["%", "%4", "%zz", "%%341", "b%+1", "ab%e"] {
        assert_eq!(
            canonical(&format!("symbol={broken}")),
            format!("limit=100&symbol={broken}")
        );
    }
}

#[test]
fn repeated_parameters_keep_their_order() {
    assert_eq!(
        plain(&["a", "b"], "b=2&a=2&b=1&a=1").unwrap(),
        "a=2&a=1&b=2&b=1"
    );
    assert_eq!(plain(&["a", "b"], "a=&a&b==").unwrap(), "a=&a&b==");
    assert_eq!(
        canonical("symbol=b&symbol=a"),
        "limit=100&symbol=B&symbol=A"
    );
}

#[test]
fn names_are_declared_as_they_are_before_encoding() {
    for query in ["b%20c=1", "b+c=1", "%62%20c=1"] {
        assert_eq!(canonical(query), "b%20c=1&limit=100", "{query}");
    }
    assert_eq!(
        canonical("a[]=1&a%5b%5D=2"),
        "a%5B%5D=1&a%5B%5D=2&limit=100"
    );
    assert_eq!(canonical("symbol%=1&%7=1"), "limit=100");
}

#[test]
fn defaults_are_written_as_values_are() {
    let name = || "q".to_owned();
    let query = DeclaredQuery::new(
        &[name()],
        &[(name(), Letters::Upper)].into(),
        &[(name(), "a b&ä".to_owned())].into(),
    );
    assert_eq!(query.canonical(None).unwrap(), "q=A%20B%26%C3%A4");
    assert_eq!(
        query.canonical(Some("q=a%20b%26%c3%a4")),
        query.canonical(None)
    );
}

#[test]
fn a_value_is_the_only_one_or_none() {
    assert_eq!(only_value("a=1&interval=1m", "interval"), Some("1m"));
    for none in [
        "interval=1m&interval=1h",
        "interval",
        "interval=",
        "xinterval=1m",
        "interval=&interval=1m",
    ] {
        assert_eq!(only_value(none, "interval"), None, "{none}");
    }
}

#[derive(Debug, Clone)]
enum Asked {
    Absent,
    Bare,
    Value(String),
}

/// The values of each parameter in a query, computed independently of the code under test: decoded,
/// with the rules declared for `symbol` and `limit` applied.
fn meaning(query: &str) -> BTreeMap<String, Vec<Option<Vec<u8>>>> {
    let mut said: BTreeMap<String, Vec<Option<Vec<u8>>>> = BTreeMap::new();
    for pair in query.split('&') {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (pair, None),
        };
        if !["symbol", "limit", "a"].contains(&name) {
            continue;
        }
        let value = value.map(|value| {
            let mut bytes = value.as_bytes().to_vec();
            while let Some(at) = bytes.iter().position(|&b| b == b'%') {
                let digits = std::str::from_utf8(&bytes[at + 1..at + 3]).unwrap();
                let byte = u8::from_str_radix(digits, 16).unwrap();
                bytes.splice(at..at + 3, [byte]);
            }
            if name == "symbol" {
                bytes.make_ascii_uppercase();
            }
            bytes
        });
        said.entry(name.to_owned()).or_default().push(value);
    }
    said.entry("limit".to_owned())
        .or_insert_with(|| vec![Some(b"100".to_vec())]);
    said
}

fn asked() -> impl Strategy<Value = Asked> {
    prop_oneof![
        Just(Asked::Absent),
        Just(Asked::Bare),
        // Without `%25`, so that decoding once is enough.
        "([aAbB1]|%4[12]|%6[12]|%C3%A4|%c3%a4|100){0,3}".prop_map(Asked::Value),
    ]
}

fn questions() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["symbol", "limit", "a", "utm"]);
    proptest::collection::vec((name, asked()), 0..4).prop_map(|parameters| {
        let pairs = parameters
            .into_iter()
            .filter_map(|(name, asked)| match asked {
                Asked::Absent => None,
                Asked::Bare => Some(name.to_owned()),
                Asked::Value(value) => Some(format!("{name}={value}")),
            });
        pairs.collect::<Vec<_>>().join("&")
    })
}

fn key_of(query: &str) -> CacheKey {
    let url = format!("https://h/?{query}");
    let declared = declared();
    CacheKey::new(
        &Target::of(&url).unwrap(),
        Some(&declared),
        &[],
        &headers(&[]),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// In both directions: different requests have different keys, and equivalent requests have the
    /// same key.
    #[test]
    fn two_questions_have_one_key_if_and_only_if_they_mean_the_same(
        one in questions(),
        other in questions(),
    ) {
        let same = meaning(&one) == meaning(&other);
        prop_assert_eq!(key_of(&one) == key_of(&other), same, "{} and {}", one, other);
    }

    #[test]
    fn a_canonical_query_is_its_own_canonical_form(query in "[abcABlimt%0-9&=+é\\[\\]]{0,24}") {
        let once = canonical(&query);
        prop_assert_eq!(&canonical(&once), &once);
        prop_assert_eq!(key_of(&query), key_of(&once));
    }

    /// The origin receives exactly the query that the key is made of, and nothing that is not
    /// declared.
    #[test]
    fn a_canonical_query_has_declared_parameters_only(query in "[abcABlimt%0-9&=+é\\[\\]]{0,24}") {
        let names: BTreeSet<_> = ["symbol", "side", "limit", "a", "b%20c", "a%5B%5D"].into();
        for pair in canonical(&query).split('&') {
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            prop_assert!(names.contains(name), "{} of {}", name, query);
        }
    }

    #[test]
    fn no_query_makes_it_panic(
        query in "\\PC{0,40}",
        names in proptest::collection::vec(".{0,5}", 0..4),
    ) {
        let letters = names.iter().map(|name| (name.clone(), Letters::Upper)).collect();
        let defaults = names.iter().map(|name| (name.clone(), query.clone())).collect();
        let declared = DeclaredQuery::new(&names, &letters, &defaults);
        let once = declared.canonical(Some(&query));
        prop_assert_eq!(declared.canonical(once.as_deref()), once);
        let _ = canonical_query(Some(&query), None);
        let _ = only_value(&query, "interval");
    }
}
