use std::time::Duration;

use serde_json::{Value, json};

use super::errors;
use crate::config::{Config, OriginQuota, OriginQuotaOf, Strategy};

fn of_route(origin_quota: &Value) -> Vec<String> {
    errors(json!({
        "origin_quotas": {
            "coingecko": { "limit": 10, "window": "60s" },
            "binance": { "limit": 20, "window": "1s" },
        },
        "routes": [{ "path": "/a", "origin_quota": origin_quota }],
    }))
}

#[test]
fn an_error_names_both_that_may_stand_there_or_what_is_wrong_with_one() {
    for (origin_quota, expected) in [
        (
            json!(7),
            ": expected the name of an origin quota or a table, found 7",
        ),
        (
            json!("a b"),
            ": expected the name of an origin quota or a table, found \"a b\"",
        ),
        (
            json!(["coingecko"]),
            ": expected the name of an origin quota or a table, found a list",
        ),
        (
            json!("coingeko"),
            ": expected the name of an origin quota (binance, coingecko), found \"coingeko\"",
        ),
        (
            json!({ "limit": 10 }),
            ".window: expected a duration such as \"60s\", found nothing",
        ),
        (
            json!({ "limit": 0, "window": "60s" }),
            ".limit: expected a whole number from 1 to 1000000000, found 0",
        ),
        (
            json!({ "limit": 1, "window": "60s", "name": "coingecko" }),
            ".name: expected one of the fields limit, window, strategy; there is no such field",
        ),
    ] {
        let expected = format!("routes[0].origin_quota{expected}");
        assert_eq!(of_route(&origin_quota), [expected], "{origin_quota}");
    }
}

#[test]
fn a_name_needs_a_quota() {
    assert_eq!(
        errors(json!({ "routes": [{ "path": "/a", "origin_quota": "coingecko" }] })),
        [
            "routes[0].origin_quota: expected the name of an origin quota (there are none under \
             `origin_quotas`), found \"coingecko\""
        ]
    );
    assert_eq!(
        errors(json!({ "origin_quotas": { "coingecko": { "window": "60s" } } })),
        [
            "origin_quotas.coingecko.limit: expected a whole number from 1 to 1000000000, found \
             nothing"
        ]
    );
}

#[test]
fn a_quota_is_the_routes_own_or_a_shared_one() {
    let config = Config::from_json(json!({
        "origin": "https://api.example.com",
        "origin_quotas": {
            "coingecko": { "limit": 10, "window": "60s" },
            "nobody-s": { "limit": 1, "window": "1s" },
        },
        "routes": [
            { "path": "/a", "origin_quota": "coingecko" },
            { "path": "/b", "origin_quota": { "limit": 5, "window": "2s", "strategy": "lease" } },
        ],
    }))
    .unwrap();
    let quota = |limit, secs, strategy| OriginQuota {
        limit,
        window: Duration::from_secs(secs),
        strategy,
    };
    let coingecko = quota(10, 60, Strategy::Exact);
    assert_eq!(config.origin_quotas.get("coingecko"), Some(&coingecko));
    let of_routes: Vec<_> = config.routes.into_iter().map(|r| r.origin_quota).collect();
    assert_eq!(
        of_routes,
        [
            Some(OriginQuotaOf::Named("coingecko".to_owned())),
            Some(OriginQuotaOf::Own(quota(5, 2, Strategy::Lease))),
        ]
    );
}

#[test]
fn the_schema_allows_both() {
    let schema = Config::schema();
    let either = schema.pointer("/properties/routes/items/properties/origin_quota");
    let either = either.and_then(|field| field["anyOf"].as_array()).unwrap();
    let types: Vec<_> = either.iter().map(|one| &one["type"]).collect();
    assert_eq!(types, ["string", "object"]);
}
