//! The man page of a tool: one page, with a section for each command.

use std::io::{self, Write};

use clap::Command;
use clap_mangen::Man;

/// In roff, for `man` and `mandoc`.
pub(crate) fn page(command: Command) -> Vec<u8> {
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let commands: Vec<Command> =
        command.get_subcommands().filter(|it| !it.is_hide_set()).cloned().collect();
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    // Writing to memory does not fail.
    let _ = man.render_title(&mut page);
    page.extend(part(&man, Man::render_name_section).into_bytes());
    page.extend(part(&man, Man::render_synopsis_section).into_bytes());
    page.extend(format!(".SH DESCRIPTION\n{}\n", escape(&about)).into_bytes());
    page.extend(part(&man, Man::render_options_section).into_bytes());
    for it in commands {
        section(&mut page, command.get_name(), it);
    }
    if let Some((examples, codes)) = examples.split_once("\n\n") {
        let examples = examples.strip_prefix("Examples:\n").unwrap_or(examples);
        let examples = format!(".SH EXAMPLES\n.nf\n{}\n.fi\n", escape(examples));
        page.extend(examples.into_bytes());
        let codes = codes.strip_prefix("Exit codes: ").unwrap_or(codes);
        page.extend(format!(".SH EXIT STATUS\n{}\n", escape(codes)).into_bytes());
    }
    page
}

fn section(page: &mut Vec<u8>, tool: &str, command: Command) {
    let name = command.get_name().to_owned();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let after = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let command = command.bin_name(format!("{tool} {name}"));
    let title = format!(".SH {}\n{}\n.PP\n", name.to_uppercase(), escape(&about));
    page.extend(title.into_bytes());
    let man = Man::new(command);
    for render in [Man::render_synopsis_section, Man::render_options_section] {
        // A part of this section, not one of the page.
        page.extend(part(&man, render).replace(".SH ", ".SS ").into_bytes());
    }
    if let Some(after) = after {
        page.extend(format!(".PP\n.nf\n{}\n.fi\n", escape(after.trim_end())).into_bytes());
    }
}

/// A section as it stands inside a page: without the definitions that each one begins with.
fn part(man: &Man, render: fn(&Man, &mut dyn Write) -> io::Result<()>) -> String {
    let mut part = Vec::new();
    let _ = render(man, &mut part);
    let text = String::from_utf8_lossy(&part).into_owned();
    let own = |line: &&str| !line.starts_with(".ie ") && !line.starts_with(".el ");
    text.split_inclusive('\n').filter(own).collect()
}

/// Text that roff would take for its own.
fn escape(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_each_command_and_its_own_flags() {
        let command = Command::new("tool")
            .about("Does it")
            .after_help("Examples:\n  tool go -v\n\nExit codes: 0 done")
            .subcommand(
                Command::new("go")
                    .about("Goes")
                    .arg(clap::arg!(--far "Far away"))
                    .after_help("Not back.\n"),
            )
            .subcommand(Command::new("man").hide(true));
        let page = String::from_utf8(page(command)).unwrap();
        for part in [
            ".TH tool 1",
            ".SH DESCRIPTION\nDoes it\n",
            ".SH GO\nGoes\n.PP\n.SS SYNOPSIS\n",
            "\\fB\\-\\-far\\fR\nFar away\n",
            ".PP\n.nf\nNot back.\n.fi\n",
            ".SH EXAMPLES\n.nf\n  tool go \\-v\n.fi\n",
            ".SH EXIT STATUS\n0 done\n",
        ] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
        assert!(!page.contains("SH MAN"), "{page}");
    }

    #[test]
    fn text_is_not_taken_for_roff() {
        assert_eq!(escape(".SH\n'x\na\\b"), "\\&.SH\n\\&'x\na\\eb");
    }
}
