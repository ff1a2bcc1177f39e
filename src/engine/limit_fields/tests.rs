//! Examples of each version of the headers.

mod properties;

use std::time::Duration;

use super::item::tightest;
use super::*;
use crate::engine::limit::{Quota, Verdict};

const LARGEST: u64 = 999_999_999_999_999;
const NOW: Timestamp = Timestamp::from_millis(1_700_000_040_001);

/// An [`Item`] that owns its data.
#[derive(Debug, Clone)]
struct Told {
    name: String,
    quota: Quota,
    verdict: Option<Verdict>,
    partition: Option<String>,
}

impl Told {
    fn item(&self) -> Item<'_> {
        Item {
            name: &self.name,
            quota: self.quota,
            verdict: self.verdict.as_ref(),
            partition: self.partition.as_deref(),
        }
    }
}

fn quota(permits: u64, seconds: u64) -> Quota {
    Quota {
        permits,
        window: Duration::from_secs(seconds),
    }
}

fn verdict(met: bool, remaining: u64, reset_ms: u64) -> Verdict {
    let reset_after = Duration::from_millis(reset_ms);
    Verdict {
        met,
        remaining,
        retry_after: if met { Duration::ZERO } else { reset_after },
        reset_after,
    }
}

/// The headers for these limits, which are named `a`, `b` and so on.
fn told(style: Style, limits: &[(Quota, Option<Verdict>)]) -> Vec<(&'static str, String)> {
    let limits: Vec<_> = limits
        .iter()
        .zip(["a", "b", "c", "d"])
        .map(|((quota, verdict), name)| Told {
            name: name.to_owned(),
            quota: *quota,
            verdict: verdict.clone(),
            partition: None,
        })
        .collect();
    let items: Vec<_> = limits.iter().map(Told::item).collect();
    fields(style, &items, NOW)
}

fn value(fields: &[(&str, String)], name: &str) -> String {
    let mut found = fields.iter().filter(|(known, _)| *known == name);
    let value = found.next().map(|(_, value)| value.clone());
    assert!(found.next().is_none(), "{name} twice");
    value.unwrap_or_default()
}

#[test]
fn no_limits_are_no_headers() {
    for style in [Style::Draft10, Style::Draft7, Style::Legacy, Style::None] {
        assert_eq!(told(style, &[]), []);
    }
}

#[test]
fn a_limit_that_was_not_asked_has_a_policy_and_no_state() {
    let limits = [
        (quota(10, 60), None),
        (quota(300, 60), Some(verdict(true, 299, 61_001))),
    ];
    assert_eq!(
        told(Style::Draft10, &limits),
        [
            (
                "ratelimit-policy",
                r#""a";q=10;w=60, "b";q=300;w=60"#.to_owned()
            ),
            ("ratelimit", r#""b";r=299;t=62"#.to_owned()),
        ]
    );
    assert_eq!(
        told(Style::Draft7, &limits),
        [
            ("ratelimit-policy", "10;w=60, 300;w=60".to_owned()),
            ("ratelimit", "limit=300, remaining=299, reset=62".to_owned()),
        ]
    );
    let unasked = &limits[..1];
    assert_eq!(told(Style::Draft10, unasked).len(), 1);
    assert_eq!(told(Style::Draft7, unasked).len(), 1);
    assert_eq!(told(Style::Legacy, unasked), []);
}

#[test]
fn a_partition_key_is_a_byte_sequence_after_the_others() {
    let item = Told {
        name: "a".to_owned(),
        quota: quota(10, 60),
        verdict: Some(verdict(true, 9, 5_000)),
        partition: Some("bucket?>~".to_owned()),
    };
    let fields = |style| fields(style, &[item.item()], NOW);
    assert_eq!(
        fields(Style::Draft10),
        [
            (
                "ratelimit-policy",
                r#""a";q=10;w=60;pk=:YnVja2V0Pz5+:"#.to_owned()
            ),
            ("ratelimit", r#""a";r=9;t=5;pk=:YnVja2V0Pz5+:"#.to_owned()),
        ]
    );
    for style in [Style::Draft7, Style::Legacy] {
        assert!(fields(style).iter().all(|(_, value)| !value.contains("pk")));
    }
}

#[test]
fn a_window_is_never_zero_and_no_number_too_long() {
    let limits = [(
        Quota {
            permits: u64::MAX,
            window: Duration::from_millis(1),
        },
        Some(verdict(true, u64::MAX, u64::MAX)),
    )];
    assert_eq!(
        told(Style::Draft10, &limits),
        [
            ("ratelimit-policy", format!("\"a\";q={LARGEST};w=1")),
            ("ratelimit", format!("\"a\";r={LARGEST};t={LARGEST}")),
        ]
    );
    assert_eq!(told(Style::Draft7, &limits)[0].1, format!("{LARGEST};w=1"));
    let zero = [(quota(1, 0), None)];
    assert_eq!(told(Style::Draft10, &zero)[0].1, r#""a";q=1;w=1"#);
    assert_eq!(told(Style::Draft7, &zero)[0].1, "1;w=1");
    // The time is past the end of the clock's range: it is late, but still a number.
    let reset = value(&told(Style::Legacy, &limits), "x-ratelimit-reset");
    assert_eq!(reset, u64::MAX.div_ceil(1_000).to_string());
}

#[test]
fn the_one_that_is_told_refuses_or_has_the_least_left_or_resets_last() {
    let (least, late, early) = (
        verdict(true, 1, 1_000),
        verdict(true, 2, 9_000),
        verdict(true, 2, 3_000),
    );
    let refusal = verdict(false, 3, 5_000);
    for (verdicts, limit) in [
        (vec![&late, &least, &early], 11),
        (vec![&early, &late], 11),
        (vec![&late, &early], 10),
        (vec![&late, &late], 10),
        (vec![&least, &late, &refusal], 12),
    ] {
        let limits: Vec<_> = verdicts
            .into_iter()
            .zip(10..)
            .map(|(verdict, permits)| (quota(permits, 60), Some(verdict.clone())))
            .collect();
        let legacy = told(Style::Legacy, &limits);
        assert_eq!(value(&legacy, "x-ratelimit-limit"), limit.to_string());
        let draft_7 = value(&told(Style::Draft7, &limits), "ratelimit");
        let start = format!("limit={limit}, ");
        assert!(draft_7.starts_with(&start), "{draft_7}, not {start}");
    }
}

#[test]
fn draft_7_tells_one_window_for_each_quota() {
    let known = |remaining| Some(verdict(true, remaining, 1_000));
    for (limits, policy) in [
        (vec![(quota(10, 1), None), (quota(10, 60), None)], "10;w=60"),
        (
            vec![(quota(10, 1), known(3)), (quota(10, 60), known(5))],
            "10;w=1",
        ),
        (
            vec![
                (quota(10, 60), known(5)),
                (quota(7, 5), known(2)),
                (quota(10, 1), known(3)),
            ],
            "10;w=60, 7;w=5",
        ),
    ] {
        assert_eq!(
            value(&told(Style::Draft7, &limits), "ratelimit-policy"),
            policy
        );
    }
}

#[test]
fn a_legacy_reset_is_in_unix_seconds_and_never_early() {
    for (reset_ms, unix) in [
        (0, 1_700_000_041),
        (999, 1_700_000_041),
        (1_000, 1_700_000_042),
        (60_000, 1_700_000_101),
    ] {
        let limits = [(quota(10, 60), Some(verdict(false, 0, reset_ms)))];
        assert_eq!(
            told(Style::Legacy, &limits),
            [
                ("x-ratelimit-limit", "10".to_owned()),
                ("x-ratelimit-remaining", "0".to_owned()),
                ("x-ratelimit-reset", unix.to_string()),
            ]
        );
    }
}

#[test]
fn every_header_that_is_sent_has_its_name_in_the_list() {
    for style in [Style::Draft10, Style::Draft7, Style::Legacy, Style::None] {
        let sent = told(style, &[(quota(10, 60), Some(verdict(true, 9, 1_000)))]);
        let mut sent: Vec<_> = sent.into_iter().map(|(name, _)| name.to_owned()).collect();
        let mut listed: Vec<_> = names(style)
            .iter()
            .map(|n| n.to_ascii_lowercase())
            .collect();
        sent.sort();
        listed.sort();
        assert_eq!(sent, listed);
    }
}
