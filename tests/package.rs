//! The published crate: its targets, its dependencies and the files of its package.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds nothing there should fail"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_published_crate_is_an_rlib_and_the_wasm_member_a_cdylib() {
    // If a library is also a cdylib, Cargo builds that for every dependent, and leaves out LTO.
    for (package, kind) in [
        ("omnitrade-edge", "rlib"),
        ("omnitrade-edge-wasm", "cdylib"),
    ] {
        let package = package_of(package);
        let targets = package["targets"].as_array().unwrap();
        let library =
            |target: &&Value| target["src_path"].as_str().unwrap().ends_with("src/lib.rs");
        let kinds: Vec<_> = targets
            .iter()
            .filter(library)
            .map(|t| &t["crate_types"])
            .collect();
        assert_eq!(kinds, [&serde_json::json!([kind])]);
    }
}

#[test]
fn only_the_crate_can_be_published() {
    assert_eq!(
        package_of("omnitrade-edge")["publish"],
        Value::Null,
        "anywhere"
    );
    assert_eq!(
        package_of("omnitrade-edge-wasm")["publish"],
        serde_json::json!([]),
        "nowhere"
    );
}

#[test]
fn all_packages_of_the_workspace_have_one_version() {
    let [published, wasm] = ["omnitrade-edge", "omnitrade-edge-wasm"].map(package_of);
    assert_eq!(published["version"], wasm["version"]);
}

#[test]
fn the_crate_asks_for_ranges_of_versions_and_not_for_worker() {
    let package = package_of("omnitrade-edge");
    for dependency in package["dependencies"].as_array().unwrap() {
        let (name, range) = (&dependency["name"], dependency["req"].as_str().unwrap());
        assert!(
            range.starts_with('^'),
            "{name} {range}: others could ask for another patch"
        );
        assert_ne!(name, "worker", "a program that limits has no use for it");
    }
}

#[test]
fn the_package_has_all_sources_and_nothing_else() {
    let list = cargo(&[
        "package",
        "--list",
        "--allow-dirty",
        "--package",
        "omnitrade-edge",
    ]);
    let packed: BTreeSet<_> = list.lines().map(|line| line.replace('\\', "/")).collect();

    let mut expected: BTreeSet<String> = [
        ".cargo_vcs_info.json",
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "Cargo.toml.orig",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "schema/edge.json",
    ]
    .map(str::to_owned)
    .into();
    files_in(Path::new("src"), &mut expected);
    files_in(Path::new("examples"), &mut expected);
    // What lies in a folder of its own is a package of its own.
    expected.retain(|path| {
        let example = path.strip_prefix("examples/");
        example.is_none_or(|file| file.ends_with(".rs") && !file.contains('/'))
    });
    assert!(
        expected
            .iter()
            .filter(|path| path.ends_with(".lua"))
            .count()
            >= 2
    );

    // Cargo writes this file only inside a repository.
    let generated = ".cargo_vcs_info.json";
    let differs = |path: &&String| *path != generated;
    let odd: Vec<_> = packed
        .symmetric_difference(&expected)
        .filter(differs)
        .collect();
    assert!(
        odd.is_empty(),
        "in the package or in the tree, not in both: {odd:#?}"
    );
}

/// Adds all files below a folder of the tree.
fn files_in(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = folder.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            files_in(&path, into);
        } else {
            into.insert(path.to_str().unwrap().replace('\\', "/"));
        }
    }
}

/// What `cargo metadata` says about a package of the workspace.
fn package_of(name: &str) -> Value {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let found = packages.iter().find(|package| package["name"] == name);
    found.expect(name).clone()
}

/// The output of cargo.
fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .arg("--offline")
        .current_dir(ROOT)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
