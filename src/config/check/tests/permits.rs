use serde_json::{Value, json};

use crate::config::Config;

/// The errors of these routes, with limits of 10 for each client (100 with a key), 9 for all
/// together, and 5 for each route.
fn errors(default_limits: &Value, routes: &Value) -> Vec<String> {
    super::errors(json!({
        "limits": {
            "all": { "by": "global", "window": "60s", "quota": 9 },
            "each-route": { "by": "route", "window": "60s", "quota": 5 },
        },
        "default_limits": default_limits,
        "routes": routes,
    }))
}

#[test]
fn an_error_of_a_share_names_the_path_and_what_was_expected() {
    for (reserve, expected) in [
        (json!("20%"), ": expected a table, found \"20%\""),
        (
            json!({ "all": 20 }),
            ".all: expected a share such as \"20%\", from \"1%\" to \"90%\", found 20",
        ),
        (
            json!({ "all": "20" }),
            ".all: expected a share such as \"20%\", from \"1%\" to \"90%\", found \"20\"",
        ),
        (
            json!({ "all": "91%" }),
            ".all: expected a share such as \"20%\", from \"1%\" to \"90%\", found \"91%\"",
        ),
        (
            json!({ "per-client": "20%" }),
            ".per-client: expected one of the route's `limits` (all, each-route)",
        ),
        (
            json!({ "each-route": "20%" }),
            ".each-route: expected a limit that routes share, not one whose `by` is \"route\"",
        ),
    ] {
        let routes = json!([{
            "path": "/a",
            "limits": ["all", "each-route"],
            "reserve": reserve,
        }]);
        let expected = format!("routes[0].reserve{expected}");
        assert_eq!(errors(&json!([]), &routes), [expected], "{reserve}");
    }
    let routes = json!([{ "path": "/a", "reserve": { "all": "20%" } }]);
    assert_eq!(
        errors(&json!([]), &routes),
        ["routes[0].reserve.all: expected one of the route's `limits` (it has none)"]
    );
}

#[test]
fn a_share_is_a_whole_number_of_hundredths() {
    let read = crate::config::parse_share;
    assert_eq!((read("1%"), read("90%")), (Some(1), Some(90)));
    for wrong in [
        "",
        "%",
        "0%",
        "+5%",
        "-5%",
        "2.5%",
        " 5%",
        "5 %",
        "5%%",
        "99999999999999999999%",
    ] {
        assert_eq!(read(wrong), None, "{wrong:?}");
    }
}

#[test]
fn all_shares_of_a_limit_leave_a_tenth_of_it() {
    let routes = |last: &str| {
        json!([
            { "path": "/a", "limits": ["per-client"], "reserve": { "per-client": "50%" } },
            { "path": "/b", "limits": ["all"], "reserve": { "all": "80%" } },
            { "path": "/c", "limits": ["per-client"], "reserve": { "per-client": last } },
        ])
    };
    assert_eq!(errors(&json!([]), &routes("40%")), [""; 0]);
    assert_eq!(
        errors(&json!([]), &routes("41%")),
        [
            "routes[2].reserve.per-client: expected at most \"90%\" of limits.per-client kept by all \
             routes together, of which those before this one keep \"50%\", found \"41%\""
        ]
    );
}

#[test]
fn what_others_keep_leaves_what_a_request_costs() {
    let routes = |share: &str, cost: u64, own_cost: u64| {
        json!([
            { "path": "/a", "limits": ["all"], "cost": cost },
            {
                "path": "/b",
                "limits": ["all"],
                "cost": own_cost,
                "reserve": { "all": share },
            },
        ])
    };
    // 1.8 of 9 permits are reserved, rounded up to 2.
    assert_eq!(errors(&json!(["all"]), &routes("20%", 7, 9)), [""; 0]);
    assert_eq!(
        errors(&json!([]), &routes("20%", 8, 9)),
        [
            "routes[0].cost: expected at most 7, what is left of 9, the smallest quota of limits.all, \
             of which other routes keep \"20%\", found 8"
        ]
    );
    assert_eq!(
        errors(&json!([]), &routes("20%", 7, 10)),
        ["routes[1].cost: expected at most 9, the smallest quota of limits.all, found 10"]
    );
    let nothing = |path: &str| {
        format!(
            "{path}: expected a limit of which other routes leave a permit: they keep \"90%\" of \
             each quota, and the smallest is 9, found \"all\""
        )
    };
    assert_eq!(
        errors(&json!(["per-client", "all"]), &routes("90%", 1, 9)),
        [nothing("routes[0].limits[0]"), nothing("default_limits[1]")]
    );
}

#[test]
fn the_smallest_quota_of_a_limit_counts_that_of_any_plan_too() {
    let with = |limit: Value| {
        super::errors(json!({
            "limits": { "per-client": limit },
            "routes": [
                { "path": "/a", "limits": ["per-client"], "cost": 4 },
                { "path": "/b", "limits": ["per-client"], "reserve": { "per-client": "20%" } },
            ],
        }))
    };
    let expected = |quota: u64, left: u64| {
        [format!(
            "routes[0].cost: expected at most {left}, what is left of {quota}, the smallest quota of \
             limits.per-client, of which other routes keep \"20%\", found 4"
        )]
    };
    assert_eq!(with(json!({})), [""; 0]);
    assert_eq!(with(json!({ "quota": 4 })), expected(4, 3));
    assert_eq!(with(json!({ "keyed_quota": 3 })), expected(3, 2));
    assert_eq!(
        with(json!({ "plans": { "free": 4, "pro": 1000 } })),
        expected(4, 3)
    );
}

#[test]
fn shares_are_read_in_hundredths() {
    let config = Config::from_json(json!({
        "origin": "https://api.example.com",
        "limits": { "all": { "by": "global", "window": "60s", "quota": 10 } },
        "routes": [{
            "path": "/a",
            "limits": ["all"],
            "reserve": { "all": "20%" },
            "refund_on": [500, 502, 503, 504],
        }],
    }))
    .unwrap();
    let route = config.routes.first().unwrap();
    assert_eq!(route.reserve.get("all"), Some(&20));
    assert_eq!(route.refund_on, [500, 502, 503, 504]);
}
