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
