//! A client whose store is named by variables.

use std::collections::HashMap;

use omnitrade_edge::error::{Error, ErrorKind};
#[cfg(feature = "reqwest")]
use omnitrade_edge::redis::Options;
use omnitrade_edge::redis::RestClient;

use crate::scripted::*;

/// A client by these variables.
fn client_of(variables: &[(&str, &str)]) -> Result<RestClient<Scripted>, Error> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    let lookup = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    RestClient::from_vars(Scripted::default(), lookup)
}

/// Where a client by these variables sends a command, and with which token.
async fn target(variables: &[(&str, &str)]) -> (String, String) {
    let client = client_of(variables).unwrap();
    let steps = &client.transport().steps;
    steps.borrow_mut().push_back(ok(r#"{"result":1}"#));
    assert!(client.command(&get()).await.is_ok());
    let uri = client.transport().sent.borrow()[0].0.uri().to_string();
    (uri, header(&client, 0, "authorization").unwrap())
}

/// What is wrong with these variables.
#[track_caller]
fn wrong(variables: &[(&str, &str)]) -> String {
    let error = client_of(variables).unwrap_err();
    assert_eq!(
        (error.kind(), error.may_have_run()),
        (ErrorKind::Config, false)
    );
    assert_clean(&error);
    error.detail().to_owned()
}

const UPSTASH: [(&str, &str); 2] = [
    ("UPSTASH_REDIS_REST_URL", "https://one.example"),
    ("UPSTASH_REDIS_REST_TOKEN", "first"),
];
const VERCEL: [(&str, &str); 2] = [
    ("KV_REST_API_URL", "https://two.example"),
    ("KV_REST_API_TOKEN", "second"),
];

#[tokio::test]
async fn upstash_variables_come_first_and_those_of_vercel_kv_else() {
    let first = ("https://one.example/".to_owned(), "Bearer first".to_owned());
    let second = (
        "https://two.example/".to_owned(),
        "Bearer second".to_owned(),
    );
    assert_eq!(target(&UPSTASH).await, first);
    assert_eq!(target(&VERCEL).await, second);
    assert_eq!(target(&[UPSTASH, VERCEL].concat()).await, first);
    let blank = [
        ("UPSTASH_REDIS_REST_URL", " "),
        ("UPSTASH_REDIS_REST_TOKEN", ""),
    ];
    assert_eq!(target(&[&blank[..], &VERCEL].concat()).await, second);
    let wide = [
        ("UPSTASH_REDIS_REST_URL", " https://one.example\n"),
        ("UPSTASH_REDIS_REST_TOKEN", "first\r\n"),
    ];
    assert_eq!(target(&wide).await, first);
}

#[test]
fn a_variable_that_is_missing_or_wrong_is_named_and_not_shown() {
    let nothing = "expected a value, found nothing";
    assert_eq!(wrong(&[]), format!("UPSTASH_REDIS_REST_URL: {nothing}"));
    // Half a pair comes before a whole one, because somebody meant it.
    assert_eq!(
        wrong(&[&UPSTASH[..1], &VERCEL].concat()),
        format!("UPSTASH_REDIS_REST_TOKEN: {nothing}")
    );
    assert_eq!(
        wrong(&[("KV_REST_API_TOKEN", "s3cret")]),
        format!("KV_REST_API_URL: {nothing}")
    );
    let with_url = |url| [("KV_REST_API_URL", url), ("KV_REST_API_TOKEN", "s3cret")];
    assert_eq!(
        wrong(&with_url("redis://s3cret.example")),
        "KV_REST_API_URL: expected an address that starts with https:// or http://"
    );
    assert!(
        wrong(&with_url("https://u:s3cret@h.example")).starts_with("KV_REST_API_URL: expected")
    );
    assert_eq!(
        wrong(&[UPSTASH[0], ("UPSTASH_REDIS_REST_TOKEN", "s3 cret")]),
        "UPSTASH_REDIS_REST_TOKEN: expected visible ASCII characters without spaces"
    );
}

/// Runs itself once more, since a process cannot change its own variables while others read them.
#[cfg(feature = "reqwest")]
#[test]
fn the_environment_is_looked_up_by_the_same_names() {
    const CHILD: &str = "OMNITRADE_TEST_IS_CHILD";
    if std::env::var(CHILD).is_err() {
        let test = "variables::the_environment_is_looked_up_by_the_same_names";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args([test, "--exact"]).env(CHILD, "1");
        for (name, _) in UPSTASH {
            child.env_remove(name);
        }
        let [url, token] = VERCEL;
        child.env(url.0, "nowhere-s3cret").env(token.0, token.1);
        let output = child.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(printed.contains("1 passed"), "{output:?}");
        return;
    }
    for error in [
        Options::from_env().unwrap_err(),
        RestClient::from_env().unwrap_err(),
    ] {
        assert!(
            error.to_string().contains("KV_REST_API_URL: expected"),
            "{error}"
        );
        assert_clean(&error);
    }
}
