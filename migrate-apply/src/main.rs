//! Applies migrations in order, each in its own transaction, one run at a time.

mod baseline;
mod batch;
mod catalog;
mod down;
mod dry_run;
mod failure;
mod gate;
mod guard;
mod input;
mod journalled;
mod limits;
mod new;
mod nothing;
mod plan;
mod progress;
mod resolve;
mod run;
mod send;
mod status;
mod step;
mod transaction;
mod up;
mod validate;
mod verdict;
mod view;

use std::process::ExitCode;

use migrate_core::cli::{self, Output, Tool};

static TOOL: Tool = Tool {
    name: "migrate-apply",
    about: "Apply SQL migrations to a PostgreSQL database: fenced, audited, resumable",
    examples: include_str!("examples.txt"),
    records: &[
        "apply",
        "gate",
        "migration",
        "statement",
        "lock",
        "plan",
        "validation",
        "finding",
        "dry_run",
        "ledger",
        "error",
    ],
};

#[derive(clap::Subcommand)]
enum Command {
    /// Apply what is pending
    #[command(after_help = include_str!("examples_up.txt"))]
    Up(up::Args),
    /// Roll back what was applied, by default the last migration
    #[command(after_help = include_str!("examples_down.txt"))]
    Down(down::Args),
    /// List migrations and their state; changes nothing
    Status(status::Args),
    /// Check the files, and the history against them; exit 1 if something is wrong
    Validate(validate::Args),
    /// Say what `up` would do, with a hash that binds it to this database
    Plan(plan::Args),
    /// Make an empty migration file
    New(new::Args),
    /// Decide what an interrupted or failed migration is
    #[command(after_help = include_str!("examples_resolve.txt"))]
    Resolve(resolve::Args),
    /// Record migrations up to a version as applied, without running them
    Baseline(baseline::Args),
    /// Print the JSON Schema of all records
    Schema,
    /// Print the man page
    #[command(hide = true)]
    Man,
}

fn main() -> ExitCode {
    let output = |command: &Command| match command {
        Command::Status(_) => Output::Rows,
        Command::Validate(_) | Command::Plan(_) => Output::Report,
        Command::Schema | Command::Man => Output::Raw,
        _ => Output::Stream,
    };
    cli::run(&TOOL, output, |command, ctx| match command {
        Command::Up(args) => up::run(&args, ctx),
        Command::Down(args) => down::run(&args, ctx),
        Command::Status(args) => status::run(&args, ctx),
        Command::Validate(args) => validate::run(&args, ctx),
        Command::Plan(args) => plan::run(&args, ctx),
        Command::New(args) => new::run(&args, ctx),
        Command::Resolve(args) => resolve::run(&args, ctx),
        Command::Baseline(args) => baseline::run(&args, ctx),
        Command::Schema => ctx.print_schema(),
        Command::Man => ctx.print_man_page(cli::command_line::<Command>(&TOOL)),
    })
}
