//! `check` tells what a configuration does, or what is wrong with it.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod common;

use std::process::Command;

use common::TempDir;
use common::rest::PROGRAM;

#[test]
fn it_ends_with_0_when_all_is_right_and_with_1_otherwise() {
    let directory = TempDir::new();
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
        let file = directory.path().join("wrangler.toml");
        std::fs::write(&file, text).unwrap();
        let output = Command::new(PROGRAM).arg("check").arg(&file).output();
        let output = output.unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}\n{stdout}{stderr}");
        assert!(stdout.contains(told), "{text}\n{stdout}");
        assert!(stderr.contains(complained), "{text}\n{stderr}");
    }
    let absent = Command::new(PROGRAM)
        .args(["check", "absent.toml"])
        .output();
    assert_eq!(absent.unwrap().status.code(), Some(1));
}
