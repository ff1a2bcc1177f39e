//! An independent, strict parser of structured fields reads the headers of arbitrary limits as they
//! were meant.

use std::time::Duration;

use proptest::prelude::*;
use sfv::{BareItem, Dictionary, FieldType as _, List, ListEntry, Parameters, Parser};

use super::*;

fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![0..20_u64, LARGEST - 2..LARGEST + 3, any::<u64>()]
}

prop_compose! {
    fn any_verdict()(met: bool, remaining in any_number(), reset_ms in any_number()) -> Verdict {
        verdict(met, remaining, reset_ms)
    }
}

prop_compose! {
    fn any_item()(
        name in "[A-Za-z0-9._-]{1,64}",
        permits in any_number(),
        window_ms in any_number(),
        verdict in prop::option::of(any_verdict()),
        partition in prop::option::of(".{0,40}"),
    ) -> Told {
        let quota = Quota { permits, window: Duration::from_millis(window_ms) };
        Told { name, quota, verdict, partition }
    }
}

fn seconds(duration: Duration) -> u64 {
    let seconds = u64::try_from(duration.as_millis().div_ceil(1_000)).unwrap();
    seconds.min(LARGEST)
}

/// An item of a list, with its parameters: integers as they are, bytes as text.
fn member(entry: &ListEntry) -> (BareItem, Vec<(&str, String)>) {
    let ListEntry::Item(item) = entry else {
        panic!("{entry:?}");
    };
    (item.bare_item.clone(), parameters(&item.params))
}

fn parameters(params: &Parameters) -> Vec<(&str, String)> {
    let text = |value: &BareItem| match value {
        BareItem::Integer(number) => number.to_string(),
        BareItem::ByteSequence(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        other => panic!("{other:?}"),
    };
    let named = params
        .iter()
        .map(|(key, value)| (key.as_str(), text(value)));
    named.collect()
}

/// Parses a field as a list, and checks that it is in canonical form.
fn list(value: &str) -> List {
    let list: List = Parser::new(value).parse().unwrap();
    assert_eq!(list.serialize().as_deref(), Some(value));
    list
}

proptest! {
    #[test]
    fn draft_10_is_read_as_it_was_meant(told in prop::collection::vec(any_item(), 1..5)) {
        let items: Vec<_> = told.iter().map(Told::item).collect();
        let fields = fields(Style::Draft10, &items, NOW);
        let expected = |told: &Told, [a, b]: [(&'static str, u64); 2]| {
            let numbers = [a, b].map(|(key, number)| (key, number.to_string()));
            let pk = told.partition.clone().map(|text| ("pk", text));
            let name = BareItem::String(told.name.clone().try_into().unwrap());
            (name, numbers.into_iter().chain(pk).collect::<Vec<_>>())
        };
        let policies: Vec<_> = told
            .iter()
            .map(|told| {
                let (q, w) = (told.quota.permits.min(LARGEST), seconds(told.quota.window).max(1));
                expected(told, [("q", q), ("w", w)])
            })
            .collect();
        let list_of_policies = list(&value(&fields, "ratelimit-policy"));
        prop_assert_eq!(list_of_policies.iter().map(member).collect::<Vec<_>>(), policies);
        let states: Vec<_> = told
            .iter()
            .filter_map(|told| {
                let verdict = told.verdict.as_ref()?;
                let (r, t) = (verdict.remaining.min(LARGEST), seconds(verdict.reset_after));
                Some(expected(told, [("r", r), ("t", t)]))
            })
            .collect();
        if states.is_empty() {
            prop_assert_eq!(fields.len(), 1);
        } else {
            let list_of_states = list(&value(&fields, "ratelimit"));
            prop_assert_eq!(list_of_states.iter().map(member).collect::<Vec<_>>(), states);
        }
    }

    #[test]
    fn draft_7_is_read_as_it_was_meant(told in prop::collection::vec(any_item(), 1..5)) {
        let items: Vec<_> = told.iter().map(Told::item).collect();
        let fields = fields(Style::Draft7, &items, NOW);
        let policies: Vec<(u64, u64)> = list(&value(&fields, "ratelimit-policy"))
            .iter()
            .map(|entry| match member(entry) {
                (BareItem::Integer(quota), parameters) => {
                    let [("w", window)] = parameters.as_slice() else {
                        panic!("{parameters:?}");
                    };
                    (u64::try_from(quota).unwrap(), window.parse().unwrap())
                }
                other => panic!("{other:?}"),
            })
            .collect();
        let mut quotas: Vec<_> = told.iter().map(|told| told.quota.permits.min(LARGEST)).collect();
        quotas.sort_unstable();
        quotas.dedup();
        let mut listed: Vec<_> = policies.iter().map(|(quota, _)| *quota).collect();
        listed.sort_unstable();
        prop_assert_eq!(listed, quotas, "each quota once");

        let Some((quota, verdict)) = tightest(&items) else {
            prop_assert_eq!(fields.len(), 1);
            return Ok(());
        };
        let text = value(&fields, "ratelimit");
        let dictionary: Dictionary = Parser::new(&text).parse().unwrap();
        prop_assert_eq!(dictionary.serialize(), Some(text));
        let read: Vec<_> = dictionary
            .iter()
            .map(|(key, entry)| (key.as_str(), member(entry)))
            .collect();
        let limit = quota.permits.min(LARGEST);
        let meant = [
            ("limit", limit),
            ("remaining", verdict.remaining.min(LARGEST)),
            ("reset", seconds(verdict.reset_after)),
        ];
        let meant = meant.map(|(key, number)| {
            (key, (BareItem::Integer(i64::try_from(number).unwrap().try_into().unwrap()), vec![]))
        });
        prop_assert_eq!(read, meant);
        prop_assert!(policies.contains(&(limit, seconds(quota.window).max(1))), "its own window");
    }

    #[test]
    fn nobody_told_is_tighter(told in prop::collection::vec(any_item(), 0..5)) {
        let items: Vec<_> = told.iter().map(Told::item).collect();
        let all: Vec<_> = told.iter().filter_map(|told| told.verdict.as_ref()).collect();
        match tightest(&items) {
            None => prop_assert!(all.is_empty()),
            Some((_, chosen)) => for other in all {
                prop_assert!(!chosen.met || other.met);
                if chosen.met == other.met {
                    prop_assert!(chosen.remaining <= other.remaining);
                    if chosen.remaining == other.remaining {
                        prop_assert!(chosen.reset_after >= other.reset_after);
                    }
                }
            },
        }
    }

    #[test]
    fn a_legacy_reset_is_less_than_a_second_late(ms in 0..u64::MAX / 4, wait in 0..u64::MAX / 4) {
        let told = Told {
            name: "a".to_owned(),
            quota: quota(1, 1),
            verdict: Some(verdict(false, 0, wait)),
            partition: None,
        };
        let fields = fields(Style::Legacy, &[told.item()], Timestamp::from_millis(ms));
        let reset: u64 = value(&fields, "x-ratelimit-reset").parse().unwrap();
        let late = (reset * 1_000).checked_sub(ms + wait);
        prop_assert!(late.is_some_and(|ms| ms < 1_000), "{late:?}");
    }
}
