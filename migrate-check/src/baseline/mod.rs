//! `baseline`: keeps what the server counts, and tells later what has become worse; reads only.

mod compare;
mod judge;
mod reading;
mod save;

use migrate_core::{cli::Output, ctx::Ctx, error::Result, exit::Exit};

pub(crate) const HELP: &str = "\
Save one before the migration, compare when the application has worked for a
while after it. Statements need the extension pg_stat_statements.

Examples:
  migrate-check baseline save                    into baseline.json
  migrate-check baseline compare                 with it
  migrate-check baseline save before-009.json
  migrate-check baseline compare before-009.json --factor 2
  migrate-check baseline compare | jq -r 'select(.status == \"fail\") | .message'

Exit codes: 0 nothing has become worse · 1 something has";

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Keep the numbers of this moment in a file
    Save(save::Args),
    /// Tell what has become worse since
    Compare(compare::Args),
}

impl Args {
    pub(crate) fn output(&self) -> Output {
        match self.command {
            Command::Save(_) => Output::Stream,
            Command::Compare(_) => Output::Report,
        }
    }
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    match &args.command {
        Command::Save(args) => save::run(args, ctx),
        Command::Compare(args) => compare::run(args, ctx),
    }
}
