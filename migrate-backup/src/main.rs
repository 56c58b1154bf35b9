//! Makes, proves, restores, carries and cleans up backups of a PostgreSQL database.

mod create;
mod dump;
mod list;
mod load;
mod manifest;
mod names;
mod place;
mod program;
mod progress;
mod scrub;
mod source;
mod store;
mod toc;

use std::process::ExitCode;

use migrate_core::cli::{self, Output, Tool};
use rustix::fs::Mode;

static TOOL: Tool = Tool {
    name: "migrate-backup",
    about: "Make, prove, restore, carry and clean up backups of a PostgreSQL database",
    examples: include_str!("examples.txt"),
    records: &["backup", "retention", "lock", "ledger", "error"],
};

#[derive(clap::Subcommand)]
enum Command {
    /// Make a backup: whole, or not at all
    #[command(after_long_help = create::HELP)]
    Create(create::Args),
    /// List what is in the store; needs no database
    #[command(after_long_help = list::HELP)]
    List(list::Args),
    /// Print the JSON Schema of all records
    Schema,
    /// Print the man page
    #[command(hide = true)]
    Man,
}

fn main() -> ExitCode {
    // Whatever we or a program that we start writes is for its owner alone.
    rustix::process::umask(Mode::from_raw_mode(0o077));
    let output = |command: &Command| match command {
        Command::Create(_) => Output::Stream,
        Command::List(_) => Output::Rows,
        Command::Schema | Command::Man => Output::Raw,
    };
    cli::run(&TOOL, output, |command, ctx| match command {
        Command::Create(args) => create::run(&args, ctx),
        Command::List(args) => list::run(&args, ctx),
        Command::Schema => ctx.print_schema(),
        Command::Man => ctx.print_man_page(cli::command_line::<Command>(&TOOL)),
    })
}
