//! `migrate-check list`, and the page that is made of it.

use std::fs;

use migrate_core::exit::Exit;
use migrate_tests::{World, source};
use serde_json::Value;

const PAGE: &str = "docs/checks.md";

/// `UPDATE=1 cargo test` writes it anew.
#[test]
fn the_page_of_checks_is_what_the_tool_lists() {
    let listed =
        World::new().run("migrate-check list").expect(Exit::Ok).of_type("check.definition");
    let mut page = "# Checks\n\nWhat `migrate-check` looks at, and what to do when it fails. Made from the files in\n\
                    `migrate-check/checks/`, as `migrate-check list` prints them; `list --only NAME` shows the SQL.\n\
                    Commands run the checks of their own group.\n"
        .to_owned();
    for group in ["integrity", "health", "preflight", "baseline"] {
        page += &format!("\n## {group}\n");
        for it in listed.iter().filter(|it| it["groups"][0] == group) {
            page += &section(it);
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(format!("{}/{PAGE}", source::ROOT), &page).unwrap();
    }
    // Not both texts: the page is long.
    assert!(source::read(PAGE) == page, "{PAGE} is not what `list` says: run UPDATE=1 tests/run");
}

fn section(check: &Value) -> String {
    let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
    let mut section =
        format!("\n### {}\n\n{} {}\n\n", text("name"), text("title"), text("meaning"));
    section += &format!("- What to do: {}.\n", text("hint"));
    if !text("fix").is_empty() {
        section += &format!("- Fix: `{}`\n", text("fix"));
    }
    let list = |field: &str| -> Vec<String> {
        let values = check[field].as_array().cloned().unwrap_or_default();
        values.iter().map(|it| it.as_str().unwrap().to_owned()).collect()
    };
    if !list("needs").is_empty() {
        section += &format!("- Needs {}.\n", list("needs").join(", "));
    }
    if list("groups").len() > 1 {
        section += &format!("- Also in: {}.\n", list("groups")[1..].join(", "));
    }
    section
}
