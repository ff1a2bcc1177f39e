//! `check` says what a configuration does, or what is wrong with it.

use crate::rig::Folder;

#[test]
fn it_ends_with_0_when_all_is_right_and_with_1_otherwise() {
    let folder = Folder::new();
    for (text, code, told, complained) in [
        (
            "[vars.EDGE]\norigin = 'https://api.example.com'\ndefault_limits = []",
            0,
            "origin   https://api.example.com",
            "",
        ),
        (
            "[vars.EDGE]\norigin = 'x'\ndefault_limits = ['none']\nnonsense = 1",
            1,
            "",
            "wrangler.toml: origin: ",
        ),
        ("name = 'x'", 1, "", "[vars.EDGE]"),
        ("= =", 1, "", "expected TOML"),
    ] {
        folder.write("wrangler.toml", text);
        let done = folder.call(&["check", "wrangler.toml"]);
        assert_eq!(done.code, Some(code), "{text}\n{done:?}");
        assert!(done.stdout.contains(told), "{text}\n{done:?}");
        assert!(done.stderr.contains(complained), "{text}\n{done:?}");
    }
    assert_eq!(folder.call(&["check", "absent.toml"]).code, Some(1));
}

#[test]
fn a_wildcard_of_another_tool_is_refused_with_what_to_write() {
    let folder = Folder::new();
    let edge =
        "[vars.EDGE]\norigin = 'https://api.example.com'\n[[vars.EDGE.routes]]\npath = '/api/*'";
    folder.write("wrangler.toml", edge);
    let done = folder.call(&["check"]);
    done.failed(
        1,
        "wrangler.toml: routes[0].path: expected \"/api/{*rest}\" (`{name}` stands for one segment, \
         `{*name}` for the rest), or \"/api/%2A\" if `*` stands for itself, found \"/api/*\"",
    );
}

#[test]
fn it_reads_the_edge_toml_beside_the_file_and_each_environment() {
    let folder = Folder::new();
    folder.write("edge.toml", "[[routes]]\npath = '/book'");
    folder.write(
        "wrangler.jsonc",
        r#"{
            // One for each environment, for variables are not inherited.
            "vars": { "EDGE": { "origin": "https://api.example.com" } },
            "env": { "staging": { "vars": { "EDGE": { "origin": "https://staging.example.com" } } } },
        }"#,
    );
    let done = folder.call(&["check"]).ok();
    for told in [
        "edge.toml, and over it origin from [vars.EDGE] of wrangler.jsonc\norigin   https://api.",
        "edge.toml, and over it origin from [env.staging.vars.EDGE] of wrangler.jsonc\norigin   \
         https://staging.",
    ] {
        assert!(done.stdout.contains(told), "{done:?}");
    }
    assert_eq!(done.stdout.matches("all methods /book: none").count(), 2);
    folder.write("edge.toml", "[[routes]]\npath = '/book'\nmethods = ['get']");
    let wrong = folder.call(&["check"]);
    wrong.failed(
        1,
        "error: edge.toml: routes[0].methods[0]: expected \"GET\"",
    );
    assert_eq!(wrong.stderr.lines().count(), 1, "once for both: {wrong:?}");
}

#[test]
fn a_table_beyond_5_kb_is_right_in_edge_toml_only() {
    let folder = Folder::new();
    let routes = |prefix: &str| -> String {
        let each = (0..60).map(|n| {
            format!(
                "[[{prefix}routes]]\npath = '/api/v1/things-{n}/{{id}}'\nmethods = ['GET', 'HEAD']\n\
                 cache = {{ ttl = '1m', query = ['page'] }}\n"
            )
        });
        each.collect()
    };
    let origin = "origin = 'https://api.example.com'\n";
    folder.write(
        "wrangler.toml",
        &format!("[vars.EDGE]\n{origin}{}", routes("vars.EDGE.")),
    );
    let done = folder.call(&["check"]);
    done.failed(
        1,
        "wrangler.toml: vars.EDGE: expected at most 5 KB (5120 bytes",
    );
    assert!(done.stderr.contains("edge.toml"), "{done:?}");
    folder.write("edge.toml", &routes(""));
    folder.write("wrangler.toml", &format!("[vars.EDGE]\n{origin}"));
    let done = folder.call(&["check"]).ok();
    assert_eq!(done.stdout.matches("GET HEAD /api/v1/things-").count(), 60);
}
