//! Asks a database whether its data, its schema and its state are sound; changes nothing.

mod activity;
mod ask;
mod baseline;
mod catalogue;
mod check_file;
mod definition;
mod file_run;
mod health;
mod input;
mod integrity;
mod lint;
mod list;
mod metrics;
mod place;
mod preflight;
mod project;
mod rehearse;
mod report;
mod run;
mod runner;
mod schema;
mod selection;
mod trouble;
mod verdict;

use std::process::ExitCode;

use migrate_core::cli::{self, Output, Tool};

static TOOL: Tool = Tool {
    name: "migrate-check",
    about: "Ask a PostgreSQL database whether its data, its schema and its state are sound",
    examples: include_str!("examples.txt"),
    records: &["check", "query", "metric", "activity", "baseline", "rehearsal", "error"],
};

#[derive(clap::Subcommand)]
enum Command {
    /// Look for data that breaks its own rules: orphans, broken indexes, duplicate keys, …
    #[command(after_long_help = integrity::HELP)]
    Integrity(integrity::Args),
    /// Run files of queries that say what is wrong; nothing in them can write
    #[command(after_long_help = run::HELP)]
    Run(run::Args),
    /// Numbers and checks of the server's state; also for Prometheus
    #[command(after_long_help = health::HELP)]
    Health(health::Args),
    /// What runs now, and who waits for whom
    #[command(after_long_help = activity::HELP)]
    Activity(activity::Args),
    /// The checklist before a migration, each line answered by looking
    #[command(after_long_help = preflight::HELP)]
    Preflight(preflight::Args),
    /// Keep what the server counts, and tell later what has become worse
    #[command(after_long_help = baseline::HELP)]
    Baseline(baseline::Args),
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
        Command::Integrity(_) | Command::Run(_) | Command::Preflight(_) => Output::Report,
        Command::Lint(_) | Command::Rehearse(_) => Output::Report,
        Command::Baseline(args) => args.output(),
        Command::Health(_) => Output::Metrics,
        Command::Activity(_) | Command::List(_) => Output::Rows,
        Command::Schema(args) => schema::output(args),
        Command::Man => Output::Raw,
    };
    cli::run(&TOOL, output, |command, ctx| match command {
        Command::Integrity(args) => integrity::run(&args, ctx),
        Command::Run(args) => run::run(&args, ctx),
        Command::Lint(args) => lint::run(&args, ctx),
        Command::Health(args) => health::run(&args, ctx),
        Command::Activity(args) => activity::run(&args, ctx),
        Command::Preflight(args) => preflight::run(&args, ctx),
        Command::Baseline(args) => baseline::run(&args, ctx),
        Command::List(args) => list::run(&args, ctx),
        Command::Rehearse(args) => rehearse::run(&args, ctx),
        Command::Schema(args) => schema::run(&args, ctx),
        Command::Man => ctx.print_man_page(cli::command_line::<Command>(&TOOL)),
    })
}
