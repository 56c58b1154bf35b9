//! The rules of the house: who may know whom, and how files read.

use std::{fs, path::Path, process::Command};

use migrate_tests::source;
use serde_json::Value;

#[test]
fn tools_depend_on_the_core_only() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--locked", "--format-version=1"])
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let ours: Vec<&str> = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["path"].is_string())
            .map(|dependency| dependency["name"].as_str().unwrap())
            .collect();
        let allowed: &[&str] = if name == "migrate-core" { &[] } else { &["migrate-core"] };
        assert_eq!(ours, allowed, "{name}");
    }
}

#[test]
fn every_source_file_says_what_it_is_for_and_is_not_too_long() {
    for path in source::files("rs") {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} does not say what it is for", path.display());
        let lines = text.lines().count();
        assert!(lines <= 450, "{} has {lines} lines: look for the seam", path.display());
    }
}

#[test]
fn the_core_keeps_its_invariants() {
    let core = Path::new(source::ROOT).join("migrate-core/src");
    for path in source::files("rs").into_iter().filter(|it| it.starts_with(&core)) {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(&core).unwrap().to_str().unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (what, allowed) in [
            ("io::stdout()", ["ctx.rs", "cli.rs"].as_slice()),
            ("Command::new(", &["process.rs", "man.rs"]),
            ("Utc::now(", &["ctx.rs", "cli.rs"]),
        ] {
            assert!(allowed.contains(&name) || !code.contains(what), "{name} has `{what}`");
        }
        if name == "plan.rs" {
            let reaches_out = ["std::fs", "Session", "env::var"].iter().any(|it| code.contains(it));
            assert!(!reaches_out, "what to do is decided without input or output");
        }
    }
}
