//! Asks a database whether its data, its schema and its state are sound; changes nothing.

mod catalogue;
mod definition;
mod input;
mod integrity;
mod lint;
mod list;
mod place;
mod rehearse;
mod report;
mod runner;
mod schema;
mod selection;

use std::process::ExitCode;

use migrate_core::cli::{self, Output, Tool};

static TOOL: Tool = Tool {
    name: "migrate-check",
    about: "Ask a PostgreSQL database whether its data, its schema and its state are sound",
    examples: include_str!("examples.txt"),
    records: &["check", "rehearsal", "error"],
};

#[derive(clap::Subcommand)]
enum Command {
    /// Look for data that breaks its own rules: orphans, broken indexes, duplicate keys, …
    #[command(after_long_help = integrity::HELP)]
    Integrity(integrity::Args),
    /// Say what is dangerous about migrations, and what to do instead
    #[command(after_long_help = lint::HELP)]
    Lint(lint::Args),
    /// List the checks that there are, with their meaning, hint, fix and SQL
    #[command(after_long_help = list::HELP)]
    List(list::Args),
    /// Try what is pending on a throwaway copy: up, checks, down, up
    #[command(after_long_help = rehearse::HELP)]
    Rehearse(rehearse::Args),
    /// Look for what somebody changed by hand since the last migration
    #[command(after_long_help = schema::HELP)]
    Schema(schema::Args),
    /// Print the man page
    #[command(hide = true)]
    Man,
}

fn main() -> ExitCode {
    let output = |command: &Command| match command {
        Command::Integrity(_) | Command::Lint(_) | Command::Rehearse(_) => Output::Report,
        Command::List(_) => Output::Rows,
        Command::Schema(args) => schema::output(args),
        Command::Man => Output::Raw,
    };
    cli::run(&TOOL, output, |command, ctx| match command {
        Command::Integrity(args) => integrity::run(&args, ctx),
        Command::Lint(args) => lint::run(&args, ctx),
        Command::List(args) => list::run(&args, ctx),
        Command::Rehearse(args) => rehearse::run(&args, ctx),
        Command::Schema(args) => schema::run(&args, ctx),
        Command::Man => ctx.print_man_page(cli::command_line::<Command>(&TOOL)),
    })
}
