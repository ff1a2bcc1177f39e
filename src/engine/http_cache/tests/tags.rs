//! Tags and epoch keys.

use proptest::prelude::*;

use super::*;

fn fill(template: &str, url: &str) -> String {
    let tag = TagTemplate::parse(template, "/books/{id}/{*rest}").unwrap();
    tag.fill(&Target::of(url).unwrap()).as_str().to_owned()
}

#[test]
fn a_tag_is_filled_from_the_query_and_the_path() {
    let url = "https://edge.example/books//7%2Fa/x/%79/?symbol=BTC&limit=5&symbol=ETH&%6Eote=a%20b";
    for (template, filled) in [
        ("orderbook", "orderbook"),
        ("symbol:{query.symbol}", "symbol:BTC,ETH"),
        ("{query.limit}{query.symbol}!", "5BTC,ETH!"),
        ("a:{query.absent}", "a:"),
        ("{query.absent}", ""),
        ("book:{path.id}", "book:7/a"),
        ("{path.rest}", "x/y"),
    ] {
        assert_eq!(fill(template, url), filled, "{template}");
    }
    let bare = "https://edge.example/books/7?symbol&limit";
    assert_eq!(fill("s:{query.symbol}:{path.rest}", bare), "s::");
    assert_eq!(
        fill("s:{query.a}", "https://e/books/7?a=%zz%41"),
        "s:%zz%41"
    );
}

#[test]
fn a_tag_is_filled_without_the_parameters_of_the_path() {
    for path in [
        "/books/7/x/y",
        "/books;a/7;x=1/x%3Bb/y;",
        "/;/books/%3b/7/;x/x/y",
    ] {
        let url = format!("https://edge.example{path}");
        assert_eq!(fill("{path.id}", &url), "7", "{path}");
        assert_eq!(fill("{path.rest}", &url), "x/y", "{path}");
    }
    let query = "https://edge.example/books/7;a?symbol=a;b";
    assert_eq!(fill("{path.id}:{query.symbol}", query), "7:a;b");
    assert_eq!(
        fill("{path.id}", "https://edge.example/books/7%253Bx"),
        "7%3Bx"
    );
}

#[test]
fn what_is_no_tag_is_refused() {
    for text in [
        "",
        "@a",
        "{",
        "}",
        "a{}",
        "{query.}",
        "{path.}",
        "{header.a}",
        "{query}",
        "{query.a",
        "a}b",
        "{query.a}}",
        "{query.{a}",
        "}{query.a}",
        "{path.other}",
        "{path.*rest}",
    ] {
        assert_eq!(
            TagTemplate::parse(text, "/books/{id}/{*rest}"),
            Err(TagError),
            "{text}"
        );
    }
    assert_eq!(
        places("a{query.b}{path.c}d"),
        Some(vec![Place::Query("b"), Place::Path("c")])
    );
}

#[test]
fn a_tag_that_does_not_fit_into_a_key_stands_there_by_its_digest() {
    let long = "x".repeat(Tag::MOST_BYTES + 1);
    for name in ["@0123", "#a", "a b", "a\nb", "é", &long] {
        let tag = Tag::of(name.as_bytes());
        assert!(
            tag.as_str().starts_with('#') && tag.as_str().len() == 65,
            "{tag:?}"
        );
        // A name that is the text of a digest has another tag.
        assert_ne!(Tag::of(tag.as_str().as_bytes()), tag);
    }
    let fits = &long[1..];
    assert_eq!(Tag::of(fits.as_bytes()).as_str(), fits);
    let filled = fill("{query.a}", "https://e/books/7?a=%40a%FF");
    assert_eq!(filled, Tag::of(b"@a\xff").as_str());
}

#[test]
fn the_url_comes_first_and_then_the_tags_in_order() {
    let tags = ["z".to_owned(), "s:{query.s}".to_owned()];
    let tags = Tags::parse(&tags, "/book").unwrap();
    let letters = [("s".to_owned(), Letters::Upper)].into();
    let declared = DeclaredQuery::new(&["s".to_owned()], &letters, &[].into());
    let of = |url| {
        let target = Target::of(url).unwrap();
        tags.epoch_keys("ot", &target, Some(&declared))
    };
    let keys = of("https://edge.example/book?s=A&utm=1");
    assert_eq!(keys[1..], ["ot:t:z", "ot:t:s:A"]);
    assert!(
        keys[0].starts_with("ot:t:@") && keys[0].len() == 38,
        "{keys:?}"
    );
    assert_eq!(of("https://EDGE.example:443/book?utm=2&s=%41"), keys);
    assert_eq!(
        of("https://edge.example/book?s=a"),
        keys,
        "an equal question"
    );
    assert_ne!(of("https://edge.example/book?s=B")[0], keys[0]);
}

#[test]
fn no_purge_is_forgotten_while_an_entry_lies_in_the_store_from_before() {
    assert!(PURGE_REMEMBERED >= LONGEST_STORED + Duration::from_secs(3_600));
}

#[test]
fn an_epoch_is_a_word_of_one_length() {
    assert_eq!(epoch(0xa), "000000000000000a");
    assert_eq!(epoch(u64::MAX).len(), 16);
}

proptest! {
    #[test]
    fn two_tags_never_share_a_key(a: Vec<u8>, b: Vec<u8>) {
        let key = |name: &[u8]| tag_key("ot", &Tag::of(name));
        prop_assert_eq!(a == b, key(&a) == key(&b));
        prop_assert!(!key(&a).starts_with("ot:t:@"), "that is a URL's");
    }

    #[test]
    fn a_key_is_short_and_holds_visible_ascii_only(
        path in "/books/[^?#]{0,40}",
        query in ".{0,400}",
        template in "[a-z:{}.]{0,12}|\\{query\\.a\\}|x\\{path\\.(id|rest)\\}",
    ) {
        let url = format!("https://e{path}?{query}").replace(char::REPLACEMENT_CHARACTER, "");
        let target = Target::of(&url).unwrap();
        if let Ok(tags) = Tags::parse(&[template], "/books/{id}/{*rest}") {
            for key in tags.epoch_keys("ot", &target, None) {
                prop_assert!(key.bytes().all(|b| b.is_ascii_graphic()), "{:?}", key);
                prop_assert!(key.len() <= 5 + Tag::MOST_BYTES, "{:?}", key);
            }
        }
    }

    #[test]
    fn a_tag_says_all_of_a_value(value: String) {
        let mut query = String::from("a=");
        for byte in value.bytes() {
            query.push_str(&format!("%{byte:02x}"));
        }
        let url = format!("https://e/?{query}");
        let target = Target::of(&url).unwrap();
        let tag = TagTemplate::parse("{query.a}", "/").unwrap().fill(&target);
        prop_assert_eq!(tag, Tag::of(value.as_bytes()));
    }
}
