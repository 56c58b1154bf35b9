//! `baseline save`: writes the numbers of this moment into a file, whole or not at all.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use migrate_core::{
    cli,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    record::{BaselineSaved, Record},
};

use super::reading::{Reading, Statements};
use crate::place::Place;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Where to write it
    #[arg(default_value = "baseline.json")]
    file: PathBuf,

    /// Replace a file that is there
    #[arg(long)]
    force: bool,

    /// How long a query may take
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = cli::duration)]
    timeout: Duration,
}

pub(super) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    if args.file.exists() && !args.force {
        return Err(Error::usage(
            format!("{} is there already", args.file.display()),
            "name another file, or replace it with `--force`",
        ));
    }
    let session = Place::find("baseline", ctx)?.session(ctx)?;
    let reading = Reading::take(&session, args.timeout)?;
    write(&args.file, &reading)
        .map_err(|source| Error::WriteFile { path: args.file.clone(), source })?;
    ctx.emit(Record::BaselineSaved(BaselineSaved {
        file: args.file.display().to_string(),
        database: reading.database.clone(),
        system_identifier: reading.system_identifier.clone(),
        tables: reading.tables.len() as u64,
        indexes: reading.indexes.len() as u64,
        statements: match &reading.statements {
            Statements::Counted { list, .. } => Some(list.len() as u64),
            Statements::Absent | Statements::Unknown => None,
        },
    }));
    Ok(Exit::Ok)
}

/// Beside it first, so that a file that is there is replaced by a whole one.
fn write(path: &Path, reading: &Reading) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    // Queries of an application are nobody else's business.
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(&beside)?;
    let text = serde_json::to_string_pretty(reading).expect("a reading has string keys only");
    let written = writeln!(file, "{text}").and_then(|()| file.sync_all());
    let written = written.and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}
