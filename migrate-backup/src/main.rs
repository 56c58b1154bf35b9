//! Makes, proves, restores, carries and cleans up backups of a PostgreSQL database.

mod anchor;
mod archive;
mod checksum;
mod export;
mod import;
mod label;
mod list;
mod manifest;
mod pin;
mod prune;
mod retention;
mod store;
mod verify;
mod which;

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
    /// List what is in the store; needs no database
    #[command(after_long_help = list::HELP)]
    List(list::Args),
    /// Prove that a backup is what was written; ends with 1 if it is not
    #[command(after_long_help = verify::HELP)]
    Verify(verify::Args),
    /// Remove backups that no rule keeps, and what killed runs left
    #[command(after_long_help = prune::HELP)]
    Prune(prune::Args),
    /// Write a backup to stdout as one .tar.gz
    #[command(after_long_help = export::HELP)]
    Export(export::Args),
    /// Take a backup that `export` wrote from stdin
    #[command(after_long_help = import::HELP)]
    Import(import::Args),
    /// Keep a backup from ever being pruned
    Pin(pin::PinArgs),
    /// Let a backup be pruned again
    Unpin(pin::UnpinArgs),
    /// Give a backup a name for people
    Label(label::Args),
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
        Command::List(_) => Output::Rows,
        Command::Verify(_) => Output::Report,
        Command::Prune(_) | Command::Pin(_) | Command::Unpin(_) | Command::Label(_) => {
            Output::Stream
        }
        Command::Import(_) => Output::Stream,
        Command::Export(_) | Command::Schema | Command::Man => Output::Raw,
    };
    cli::run(&TOOL, output, |command, ctx| match command {
        Command::List(args) => list::run(&args, ctx),
        Command::Verify(args) => verify::run(&args, ctx),
        Command::Prune(args) => prune::run(&args, ctx),
        Command::Export(args) => export::run(&args, ctx),
        Command::Import(args) => import::run(&args, ctx),
        Command::Pin(args) => pin::pin(&args, ctx),
        Command::Unpin(args) => pin::unpin(&args, ctx),
        Command::Label(args) => label::run(&args, ctx),
        Command::Schema => ctx.print_schema(),
        Command::Man => ctx.print_man_page(cli::command_line::<Command>(&TOOL)),
    })
}
