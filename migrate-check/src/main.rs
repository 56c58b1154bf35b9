//! Asks a database whether its data, its schema and its state are sound; changes nothing.

mod ask;
mod catalogue;
mod check_file;
mod definition;
mod file_run;
mod integrity;
mod list;
mod place;
mod project;
mod report;
mod run;
mod runner;
mod selection;
mod trouble;
mod verdict;

use std::process::ExitCode;

use migrate_core::cli::{self, Output, Tool};

static TOOL: Tool = Tool {
    name: "migrate-check",
    about: "Ask a PostgreSQL database whether its data, its schema and its state are sound",
    examples: include_str!("examples.txt"),
    records: &["check", "query", "error"],
};

#[derive(clap::Subcommand)]
enum Command {
    /// Look for data that breaks its own rules: orphans, broken indexes, duplicate keys, …
    #[command(after_long_help = integrity::HELP)]
    Integrity(integrity::Args),
    /// Run files of queries that say what is wrong; nothing in them can write
    #[command(after_long_help = run::HELP)]
    Run(run::Args),
    /// List the checks that there are, with their meaning, hint, fix and SQL
    #[command(after_long_help = list::HELP)]
    List(list::Args),
    /// Print the JSON Schema of all records
    Schema,
    /// Print the man page
    #[command(hide = true)]
    Man,
}

fn main() -> ExitCode {
    let output = |command: &Command| match command {
        Command::Integrity(_) | Command::Run(_) => Output::Report,
        Command::List(_) => Output::Rows,
        Command::Schema | Command::Man => Output::Raw,
    };
    cli::run(&TOOL, output, |command, ctx| match command {
        Command::Integrity(args) => integrity::run(&args, ctx),
        Command::Run(args) => run::run(&args, ctx),
        Command::List(args) => list::run(&args, ctx),
        Command::Schema => ctx.print_schema(),
        Command::Man => ctx.print_man_page(cli::command_line::<Command>(&TOOL)),
    })
}
