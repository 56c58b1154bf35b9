//! Holds, shows and breaks the lock that lets one run at a time change a database.

mod acquire;
mod break_lock;
mod place;
mod release;
mod renew;
mod run;
mod status;

use std::process::ExitCode;

use migrate_core::cli::{self, Output, Tool};

static TOOL: Tool = Tool {
    name: "migrate-lock",
    about: "Hold, look at and break the lock that serialises changes of a PostgreSQL database",
    examples: include_str!("examples.txt"),
    records: &["lock", "command", "ledger", "error"],
};

#[derive(clap::Subcommand)]
enum Command {
    /// Take a lease that lives until it expires, is released or broken
    #[command(after_long_help = acquire::HELP)]
    Acquire(acquire::Args),
    /// Give a lease more time
    Renew(renew::Args),
    /// Give a lease back
    Release(release::Args),
    /// List locks and who holds them; changes nothing
    Status(status::Args),
    /// Remove the lease of somebody else
    #[command(after_long_help = break_lock::HELP)]
    Break(break_lock::Args),
    /// Hold a lease while a command runs
    #[command(after_long_help = run::HELP)]
    Run(run::Args),
    /// Print the JSON Schema of all records
    Schema,
    /// Print the man page
    #[command(hide = true)]
    Man,
}

fn main() -> ExitCode {
    let output = |command: &Command| match command {
        Command::Status(_) => Output::Rows,
        Command::Run(_) | Command::Schema | Command::Man => Output::Raw,
        _ => Output::Stream,
    };
    cli::run(&TOOL, output, |command, ctx| match command {
        Command::Acquire(args) => acquire::run(&args, ctx),
        Command::Renew(args) => renew::run(&args, ctx),
        Command::Release(args) => release::run(&args, ctx),
        Command::Status(args) => status::run(&args, ctx),
        Command::Break(args) => break_lock::run(&args, ctx),
        Command::Run(args) => run::run(&args, ctx),
        Command::Schema => ctx.print_schema(),
        Command::Man => ctx.print_man_page(cli::command_line::<Command>(&TOOL)),
    })
}
