use super::entry::Entry;
use super::*;

fn listed(digest: &str, plan: Option<&str>, name: Option<&str>) -> Listed {
    Listed {
        digest: digest.to_owned(),
        plan: plan.map(str::to_owned),
        under: Under::Current,
        entry: Entry {
            name: name.map(str::to_owned),
            added: 0,
            until: 86_400_000,
            sealed: None,
        },
    }
}

#[test]
fn a_list_is_a_line_each_in_columns() {
    let keys = [
        listed(
            "0123456789abcdef0123456789abcdef",
            Some("pro"),
            Some("Acme Ltd"),
        ),
        listed("fedcba9876543210fedcba9876543210", None, None),
    ];
    assert_eq!(
        as_lines(&keys),
        "0123456789ab  pro  1970-01-01T00:00:00Z  1970-01-02T00:00:00Z  Acme Ltd\n\
         fedcba987654  -    1970-01-01T00:00:00Z  1970-01-02T00:00:00Z  -\n"
    );
    assert_eq!(as_lines(&[]), "");
    assert_eq!(as_json(&[]), "[]\n");
}

#[test]
fn what_is_no_id_is_refused_and_not_shown() {
    assert_eq!(id_start("0123ABCD").unwrap(), "0123abcd");
    for text in ["", "0123abc", "ote_0123456789abcdef", &"a".repeat(33)] {
        let error = id_start(text).unwrap_err().to_string();
        assert!(error.starts_with("ID: expected "), "{error}");
        assert!(text.is_empty() || !error.contains(text), "{error}");
    }
}

#[test]
fn a_plan_that_no_limit_knows_is_an_error_that_names_those_known() {
    let config: Config = r#"{
        "origin": "https://api.example.com",
        "limits": {
            "a": { "by": "client", "window": "60s", "quota": 1, "plans": { "pro": 2 } },
            "b": { "by": "client", "window": "60s", "quota": 1, "plans": { "pro": 3, "free": 1 } }
        }
    }"#
    .parse()
    .unwrap();
    assert!(known_plan("pro", &config).is_ok());
    assert_eq!(
        known_plan("gold", &config).unwrap_err().to_string(),
        r#"--plan: expected a plan that a limit knows (free, pro), found "gold""#
    );
    let without: Config = r#"{ "origin": "https://api.example.com" }"#.parse().unwrap();
    assert!(
        known_plan("gold", &without).is_ok(),
        "as yet without effect"
    );
}

#[test]
fn a_registration_has_an_end() {
    assert_eq!(validity("90d"), Ok(Duration::from_secs(90 * 86_400)));
    for text in ["", "0s", "90", "1y", "-1d", "3651d"] {
        assert!(validity(text).is_err(), "{text}");
    }
}
