use super::*;

fn errors_of(cors: Value) -> Vec<String> {
    errors(json!({ "cors": cors }))
}

const PAGE: &str = "https://app.example";

#[test]
fn an_origin_that_no_browser_sends_is_an_error_with_its_path() {
    for wrong in [
        "https://app.example/",
        "https://app.example/path",
        "https://app.example:443",
        "http://app.example:80",
        "http://app.example:080",
        "http://app.example:99999",
        "https://App.example",
        "HTTPS://app.example",
        "https://*.app.example",
        "https://app.example:*",
        "*.app.example",
        "app.example",
        "https://me@app.example",
        "https://b\u{fc}cher.example",
        "http://[0:0:0:0:0:0:0:1]:3000",
        "https://",
        "null",
        "",
    ] {
        let errors = errors_of(json!({ "origins": [PAGE, wrong] }));
        assert_eq!(errors.len(), 1, "{wrong}");
        assert!(errors[0].starts_with("cors.origins[1]: expected an origin as browsers send it"));
    }
}

#[test]
fn origins_of_pages_and_of_apps_are_taken() {
    let origins = [
        PAGE,
        "http://localhost:5173",
        "http://192.0.2.7",
        "http://[::1]:3000",
        "https://xn--bcher-kva.example:8443",
        "capacitor://localhost",
        "chrome-extension://abcdefghijklmnop",
    ];
    for cors in [
        json!({ "origins": origins }),
        json!({ "origins": ["*"] }),
        json!({ "origins": [] }),
        json!({ "origins": [PAGE], "credentials": true, "expose": ["ETag"], "preflight": true,
            "allow_methods": ["PUT"], "allow_headers": ["x-api-key"], "max_age": "0s" }),
        json!({ "origins": ["*"], "expose": ["*"], "preflight": true, "allow_headers": ["*", "authorization"] }),
    ] {
        assert_eq!(errors_of(cors), [""; 0]);
    }
}

#[test]
fn an_asterisk_with_credentials_is_an_error_that_says_why() {
    let why = "as `credentials` is true (browsers take no \"*\" for requests with credentials), found \"*\"";
    let cors = json!({
        "origins": ["*"], "credentials": true, "expose": ["etag", "*"],
        "preflight": true, "allow_headers": ["*"],
    });
    let expected = [
        format!("cors.origins[0]: expected an origin by its name, {why}"),
        format!("cors.expose[1]: expected a header by its name, {why}"),
        format!("cors.allow_headers[0]: expected a header by its name, {why}"),
    ];
    assert_eq!(errors_of(cors), expected);
}

#[test]
fn an_asterisk_stands_alone() {
    let errors = errors_of(json!({ "origins": [PAGE, "*"] }));
    assert_eq!(
        errors,
        ["cors.origins[1]: expected \"*\" alone, or no \"*\" in the list, found a list"]
    );
}

#[test]
fn what_preflights_are_told_needs_a_gate_that_answers_them() {
    let cors = json!({
        "origins": [PAGE], "allow_methods": ["PUT"], "allow_headers": ["x-a"], "max_age": "1h",
    });
    let errors = errors_of(cors);
    for (error, field) in errors
        .iter()
        .zip(["allow_methods", "allow_headers", "max_age"])
    {
        let expected = format!("cors.{field}: expected no such field unless `preflight` is true");
        assert!(error.starts_with(&expected), "{error}");
    }
    assert_eq!(errors.len(), 3);
}

#[test]
fn a_table_without_origins_is_an_error() {
    let errors = errors_of(json!({ "credentials": true }));
    assert_eq!(errors, ["cors.origins: expected a list, found nothing"]);
}

#[test]
fn a_misspelt_method_and_a_part_of_a_second_are_errors() {
    for (field, value, path) in [
        ("allow_methods", json!(["DELET"]), "cors.allow_methods[0]: "),
        ("max_age", json!("1500ms"), "cors.max_age: "),
    ] {
        let mut cors = json!({ "origins": [PAGE], "preflight": true });
        cors[field] = value;
        let errors = errors_of(cors);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with(path), "{errors:?}");
    }
}
