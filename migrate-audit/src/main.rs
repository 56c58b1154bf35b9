//! Shows, proves and archives who did what to a database, and lets people approve what is to be done.

mod approve;
mod archive;
mod export;
mod exported;
mod history;
mod log;
mod note;
mod period;
mod place;
mod report;
mod rows;
mod verify;

use std::process::ExitCode;

use migrate_core::cli::{self, Output, Tool};

static TOOL: Tool = Tool {
    name: "migrate-audit",
    about: "Show, prove and archive who did what to a PostgreSQL database",
    examples: include_str!("examples.txt"),
    records: &["audit", "history", "plan", "ledger", "error"],
};

#[derive(clap::Subcommand)]
enum Command {
    /// Show the last rows of the audit log; changes nothing
    #[command(after_long_help = log::HELP)]
    Log(log::Args),
    /// Show the last runs of migrations; changes nothing
    History(history::Args),
    /// Prove that the log is as it was written; changes nothing
    #[command(after_long_help = verify::HELP)]
    Verify(verify::Args),
    /// Write something down in the log
    Note(note::Args),
    /// Say that a plan may run
    #[command(after_long_help = approve::HELP)]
    Approve(approve::Args),
    /// Write the log, with its hashes, to stdout
    #[command(after_long_help = export::HELP)]
    Export(export::Args),
    /// Move old rows into a file, from which the chain goes on
    #[command(after_long_help = archive::HELP)]
    Archive(archive::Args),
    /// Write a page that tells of a run or a period, as HTML
    #[command(after_long_help = report::HELP)]
    Report(report::Args),
    /// Print the JSON Schema of all records
    Schema,
    /// Print the man page
    #[command(hide = true)]
    Man,
}

fn main() -> ExitCode {
    let output = |command: &Command| match command {
        Command::Log(_) | Command::History(_) => Output::Rows,
        Command::Verify(_) => Output::Report,
        Command::Export(_) | Command::Report(_) | Command::Schema | Command::Man => Output::Raw,
        Command::Note(_) | Command::Approve(_) | Command::Archive(_) => Output::Stream,
    };
    cli::run(&TOOL, output, |command, ctx| match command {
        Command::Log(args) => log::run(&args, ctx),
        Command::History(args) => history::run(&args, ctx),
        Command::Verify(args) => verify::run(&args, ctx),
        Command::Note(args) => note::run(&args, ctx),
        Command::Approve(args) => approve::run(&args, ctx),
        Command::Export(args) => export::run(&args, ctx),
        Command::Archive(args) => archive::run(&args, ctx),
        Command::Report(args) => report::run(&args, ctx),
        Command::Schema => ctx.print_schema(),
        Command::Man => ctx.print_man_page(cli::command_line::<Command>(&TOOL)),
    })
}
