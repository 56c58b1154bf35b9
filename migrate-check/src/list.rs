//! `list`: the checks that there are, from the same files that they are run from.

use migrate_core::{ctx::Ctx, error::Result, exit::Exit, record::Record};

use crate::{catalogue, selection::Selection};

pub(crate) const HELP: &str = "\
Examples:
  migrate-check list
  migrate-check list --only orphans | jq -r .sql";

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    selection: Selection,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let names: Vec<&str> = catalogue::all().iter().map(|it| it.name).collect();
    args.selection.refuse_unknown(&names)?;
    let picked = catalogue::all().iter().filter(|it| args.selection.has(it.name));
    ctx.emit_together(picked.map(|it| Record::CheckDefinition(it.record())).collect());
    Ok(Exit::Ok)
}
