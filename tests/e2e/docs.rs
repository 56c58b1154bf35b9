//! What the documents promise is what the code does.

use std::path::Path;

use migrate_core::exit::Exit;
use migrate_tests::{World, source};

const TOOLS: [&str; 5] =
    ["migrate-apply", "migrate-audit", "migrate-backup", "migrate-check", "migrate-lock"];

#[test]
fn the_readme_lists_every_exit_code() {
    let readme = source::read("README.md");
    for exit in Exit::ALL {
        let row = format!("| {} | {} |", exit.code(), exit.meaning());
        assert!(readme.contains(&row), "README.md lacks: {row}");
    }
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    for path in source::files("md") {
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|it| it.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if link.contains("://") || file.is_empty() {
                continue;
            }
            let target = path.parent().unwrap().join(file);
            assert!(target.exists(), "{}: {link} leads nowhere", path.display());
        }
    }
}

#[test]
fn every_file_that_the_documents_name_is_there() {
    for document in ["README.md", "docs/architecture.md"] {
        for name in source::read(document).split('`').skip(1).step_by(2) {
            let is_path = name.starts_with("tests/")
                || name.starts_with("docs/")
                || (name.starts_with("migrate-") && name.contains('/'));
            if is_path && !name.contains([' ', '*', '{', '<', '\n']) {
                let there = Path::new(source::ROOT).join(name).exists();
                assert!(there, "{document}: {name} is not there");
            }
        }
    }
}

#[test]
fn the_examples_in_help_are_accepted() {
    let world = World::new();
    for tool in TOOLS {
        let mut seen = 0;
        for command in commands(&world, tool) {
            let help = world.run(&format!("{tool} {command} --help")).expect(Exit::Ok).stdout;
            for line in help.lines().filter(|it| it.starts_with(&format!("  {tool} "))) {
                accepted(&world, line);
                seen += 1;
            }
        }
        assert!(seen > 3, "{tool} has no examples");
    }
}

#[test]
fn the_commands_in_the_readme_are_accepted() {
    let world = World::new();
    let readme = source::read("README.md");
    let shell = readme.split("```sh\n").skip(1).filter_map(|it| it.split("```").next());
    let mut seen = 0;
    for line in shell.flat_map(str::lines).filter(|it| it.starts_with("migrate-")) {
        line.split(" | ").filter(|it| it.starts_with("migrate-")).for_each(|it| {
            accepted(&world, it);
            seen += 1;
        });
    }
    assert!(seen > 8, "the commands were not found");
}

#[test]
fn help_fits_into_80_columns() {
    let world = World::new().env("COLUMNS", "80");
    for tool in TOOLS {
        for command in commands(&world, tool) {
            let help = world.run(&format!("{tool} {command} --help")).expect(Exit::Ok).stdout;
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{tool} {command}: {line}");
            }
        }
    }
}

#[test]
fn a_man_page_names_every_command() {
    let world = World::new();
    for tool in TOOLS {
        let page = world.run(&format!("{tool} man")).expect(Exit::Ok).stdout;
        assert!(page.contains(&format!(".TH {tool} 1")), "{page}");
        for command in commands(&world, tool).iter().filter(|it| !it.is_empty() && *it != "help") {
            assert!(page.contains(&format!("\n.SH {}\n", command.to_uppercase())), "{command}");
        }
        for section in ["EXAMPLES", "EXIT STATUS"] {
            assert!(page.contains(&format!("\n.SH {section}\n")), "{tool} lacks {section}");
        }
    }
}

#[test]
fn a_wrong_command_line_is_an_error_record_too() {
    let world = World::new();
    let outcome = world.run("migrate-apply up --stepss 1").expect(Exit::Usage);
    let error = outcome.one("error");
    assert_eq!(error["message"], "unexpected argument '--stepss' found");
    assert_eq!(error["exit_code"], 2);
    assert!(outcome.stderr.contains("a similar argument exists: '--steps'"), "{outcome}");
    let text = world.run("migrate-apply up --output text --stepss 1").expect(Exit::Usage);
    assert_eq!(text.stdout, "");
}

/// The commands that `--help` lists, and the tool by itself.
fn commands(world: &World, tool: &str) -> Vec<String> {
    let help = world.run(&format!("{tool} --help")).expect(Exit::Ok).stdout;
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let name = |it: &str| it.split_whitespace().next().map(str::to_owned);
    // Wrapped lines are indented further.
    let listed = list.lines().filter(|it| !it.starts_with("   ")).filter_map(name);
    std::iter::once(String::new()).chain(listed.filter(|it| it != "help")).collect()
}

/// Whether clap takes the command line: nothing of it is run.
fn accepted(world: &World, line: &str) {
    let line = line.trim_start();
    let end = ["  ", " |", " >", " 2>", " < ", " -- "].iter().filter_map(|it| line.find(it)).min();
    let command = line[..end.unwrap_or(line.len())].replace('"', "'");
    let outcome = world.run(&format!("{command} --help"));
    assert_eq!(outcome.status.code(), Some(0), "{command}: {outcome}");
}

#[test]
fn every_scenario_has_a_test_or_a_reason() {
    let text = source::read("docs/architecture.md");
    let scenarios = [("A", 50), ("B", 44), ("C", 17), ("L", 22), ("D", 20)];
    let scenarios = scenarios
        .into_iter()
        .flat_map(|(of, last)| (1..=last).map(move |it| format!("{of}{it:02}")));
    for scenario in scenarios {
        let start = format!("| {scenario} | ");
        let row = text.lines().find(|it| it.starts_with(&start));
        let tested = row.and_then(|it| it.split(" | ").nth(2)).unwrap_or_default();
        let said = tested.contains(".rs`") || tested.contains("not yet: ");
        assert!(said, "{scenario} has neither a test nor a reason: {row:?}");
    }
}
