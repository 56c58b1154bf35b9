//! `export`: a backup as one file on stdout, to be carried elsewhere; needs no database.

use std::{io::BufWriter, time::Duration};

use migrate_core::{
    cli,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    interrupt, text,
};

use crate::{archive, store::Store, which::Which};

/// Shown below `--help`.
pub(crate) const HELP: &str = "\
Pins, labels and proven levels stay here: who imports it proves it anew. `tar xzf` unpacks it to
the folder that the store has.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The backup; `-` reads the record of `create` from stdin
    #[arg(value_name = "ID")]
    backup: Which,

    /// How long to wait for a `prune` to end
    #[arg(long, value_name = "DURATION", value_parser = cli::duration, default_value = "30s")]
    wait: Duration,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let out = ctx.bytes_output()?;
    let id = args.backup.resolve()?;
    let store = Store::open(&ctx.config.backups)?;
    let reading = store.reading(args.wait)?;
    let backup = store.backup(&id, &reading)?;
    let mut go_on = |_| {
        interrupt::received().map_or(Ok(()), |signal| {
            let state = "what was written to stdout is of no use".to_owned();
            Err(Error::Interrupted { signal, state })
        })
    };
    archive::write(&backup, BufWriter::new(out), &mut go_on)?;
    let size = text::bytes(i64::try_from(backup.manifest.summary.bytes).unwrap_or(i64::MAX));
    log::info!("{id} exported ({size})");
    Ok(Exit::Ok)
}
