use super::*;

fn chosen(tongue: &str, vary: &str) -> Meta {
    let case = Case::new(&[("cache-control", "max-age=60"), ("vary", vary)]);
    case.request(&[("x-tongue", tongue), ("x-b", "1")]).meta()
}

#[test]
fn a_response_that_answers_all_leads_no_family_rfc9111_4_1() {
    assert_eq!(Family::of(&Case::new(&[]).meta()), None);
    assert!(Family::of(&chosen("de", "x-tongue")).is_some());
}

#[test]
fn each_value_of_the_selecting_headers_has_a_key_of_its_own_rfc9111_4_1() {
    let family = Family::of(&chosen("de", "x-tongue, x-b")).unwrap();
    let asked = [
        &[("x-tongue", "en"), ("x-b", "1")][..],
        &[("x-tongue", "en"), ("x-b", "2")],
        &[("x-tongue", "en")],
        &[("x-b", "en")],
        &[("x-tongue", "")],
        &[],
    ];
    let mut keys: Vec<_> = asked
        .iter()
        .map(|request| family.key(&key(), &headers(request)).text().to_owned())
        .collect();
    keys.push(key().text().to_owned());
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), asked.len() + 1);
}

#[test]
fn another_generation_or_another_url_has_other_keys() {
    let leader = chosen("de", "x-tongue");
    let next = Meta {
        generation: leader.generation + 1,
        ..leader.clone()
    };
    let request = headers(&[("x-tongue", "en")]);
    let of = |meta: &Meta, url: &CacheKey| Family::of(meta).unwrap().key(url, &request);
    assert_ne!(of(&leader, &key()), of(&next, &key()));
    let other = Target::of("https://api.example/other").unwrap();
    let other = CacheKey::new(&other, None, &[], &HeaderMap::new());
    assert_ne!(of(&leader, &key()), of(&leader, &other));
}

#[test]
fn the_key_of_what_came_second_is_the_one_that_it_is_looked_for_under() {
    let (leader, second) = (chosen("de", "x-tongue"), chosen("en", "x-tongue"));
    let family = Family::of(&leader).unwrap();
    let beside = family.key_beside(&key(), &leader, &second).unwrap();
    assert_eq!(beside, family.key(&key(), &headers(&[("x-tongue", "en")])));
    assert_eq!(
        family.key_beside(&key(), &leader, &leader),
        None,
        "the same"
    );
    let by_more = chosen("en", "x-tongue, x-b");
    assert_eq!(family.key_beside(&key(), &leader, &by_more), None);
}

#[test]
fn preferences_match_whatever_their_order_and_case_rfc9111_4_1() {
    let matches = |name: &'static str, stored: &'static str, asked: &'static str| {
        let case = Case::new(&[("cache-control", "max-age=60"), ("vary", name)]);
        let case = case.request(&[(name, stored)]);
        is_fresh(case.later(&[(name, asked)], &rules(), SECOND))
    };
    assert!(matches("accept-language", "en, de", "de,EN"));
    assert!(matches(
        "accept-language",
        "en;q=1.0, de;q=0.50",
        "de; q=0.5, en"
    ));
    assert!(matches("accept-encoding", "gzip, br", "BR,gzip"));
    assert!(matches(
        "accept",
        "text/html, */*;q=0.1",
        "*/*;q=0.1,text/html"
    ));
    assert!(!matches("accept-language", "en, de", "en"));
    assert!(!matches("accept-language", "en, de;q=0.5", "en, de"));
    assert!(!matches("accept-language", "en;q=10", "en"));
    assert!(
        !matches("x-list", "1, 2", "2, 1"),
        "no order is known of others"
    );
}
