use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::errors;
use crate::config::{Config, Keys, Penalty, Strategy};

/// The errors of a limit with `change` merged in.
fn of_limit(change: Value) -> Vec<String> {
    errors(json!({ "limits": { "per-client": change } }))
}

#[test]
fn an_error_of_a_limit_names_the_path_and_what_was_expected() {
    for (change, expected) in [
        (
            json!({ "strategy": "guess" }),
            "strategy: expected \"exact\" or \"lease\", found \"guess\"",
        ),
        (
            json!({ "penalty": true }),
            "penalty: expected a table, found true",
        ),
        (
            json!({ "penalty": { "after": 0 } }),
            "penalty.after: expected a whole number from 1 to 1000000, found 0",
        ),
        (
            json!({ "penalty": { "hold": "0s" } }),
            "penalty.hold: expected a duration such as \"60s\", found \"0s\"",
        ),
        (
            json!({ "penalty": { "max": 60 } }),
            "penalty.max: expected a duration such as \"60s\", found 60",
        ),
        (
            json!({ "penalty": { "hold": "2h" } }),
            "penalty.hold: expected a duration no longer than `max`, \"1h\", found \"2h\"",
        ),
        (
            json!({ "penalty": { "max": "59s" } }),
            "penalty.hold: expected a duration no longer than `max`, \"59s\", found \"60s\"",
        ),
        (
            json!({ "penalty": { "for": "60s" } }),
            "penalty.for: expected one of the fields after, hold, max; there is no such field",
        ),
        (
            json!({ "plans": { "pro": 0 } }),
            "plans.pro: expected a whole number from 1 to 1000000000, found 0",
        ),
    ] {
        let expected = format!("limits.per-client.{expected}");
        assert_eq!(of_limit(change.clone()), [expected], "{change}");
    }
}

#[test]
fn plans_are_for_limits_that_count_by_key() {
    for by in ["ip", "route", "global"] {
        let limit = json!({ "by": by, "window": "1s", "quota": 1, "plans": { "pro": 2 } });
        assert_eq!(
            errors(json!({ "limits": { "x": limit } })),
            [
                "limits.x.plans: expected no such field where `by` is neither \"client\" nor \
                 \"api-key\" nor \"user\""
            ]
        );
    }
    for by in ["client", "user", "api-key"] {
        let change = json!({ "by": by, "plans": { "pro": 1000 } });
        assert_eq!(of_limit(change), [""; 0], "with any key they are in vain");
    }
}

#[test]
fn a_limit_may_have_all_that_there_is() {
    let config = Config::from_json(json!({
        "origin": "https://api.example.com",
        "client": { "keys": "registered" },
        "limits": {
            "all": {
                "by": "client",
                "window": "60s",
                "quota": 10,
                "plans": { "pro": 1000 },
                "strategy": "lease",
                "penalty": { "after": 5, "hold": "30s", "max": "30s" },
            },
            "default-penalty": { "by": "ip", "window": "60s", "quota": 10, "penalty": {} },
        },
    }))
    .unwrap();
    assert_eq!(config.client.keys, Keys::Registered);
    let all = config.limits.get("all").unwrap();
    assert_eq!(all.plans, BTreeMap::from([("pro".to_owned(), 1000)]));
    assert_eq!(all.strategy, Strategy::Lease);
    let penalty = |after, hold, max| Penalty {
        after,
        hold: Duration::from_secs(hold),
        max: Duration::from_secs(max),
    };
    assert_eq!(all.penalty, Some(penalty(5, 30, 30)));
    let default = config.limits.get("default-penalty").unwrap();
    assert_eq!(default.penalty, Some(penalty(20, 60, 3600)));
}
