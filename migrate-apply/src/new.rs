//! `new`: an empty migration file, named and laid out as the tools expect it.

use std::{fs, io::Write};

use migrate_core::{
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    migration::{dir, name::FileName, version::Version},
    record::{MigrationCreated, Record},
};

const TEMPLATE: &str = "-- risk: low\n-- migrate:up\n\n-- migrate:down\n";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What it does, such as `add_users`
    name: String,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let folder = ctx.config.migrations.clone();
    fs::create_dir_all(&folder)
        .map_err(|source| Error::WriteFile { path: folder.clone(), source })?;
    let name = args.name.trim().replace([' ', '-'], "_").to_lowercase();
    let newest = dir::read_dir(&folder)?.pop().map(|it| it.version);
    let version = next(newest.as_ref(), ctx)?;
    let file = format!("{version}_{name}.sql");
    FileName::parse(&file)?;
    let path = folder.join(&file);
    fs::File::create_new(&path)
        .and_then(|mut it| it.write_all(TEMPLATE.as_bytes()))
        .map_err(|source| Error::WriteFile { path: path.clone(), source })?;
    ctx.emit(Record::MigrationCreated(MigrationCreated {
        version,
        name,
        file: path.display().to_string(),
    }));
    Ok(Exit::Ok)
}

/// Goes on as the folder does: counted up where it counts, a time stamp where there are such.
fn next(newest: Option<&Version>, ctx: &Ctx) -> Result<Version> {
    let stamp = || ctx.now().format("%Y%m%d%H%M%S").to_string();
    let text = match newest.map(ToString::to_string) {
        Some(newest) if newest.len() < 12 => count_up(&newest),
        _ => stamp(),
    };
    text.parse()
        .map_err(|_| Error::usage(format!("`{text}` is no version"), "name the file by hand"))
}

/// The last number plus one, with the same width: 009 → 010, 1.2.9 → 1.2.10.
fn count_up(version: &str) -> String {
    let (head, last) = match version.rsplit_once('.') {
        Some((head, last)) => (format!("{head}."), last),
        None => (String::new(), version),
    };
    let number = last.parse::<u64>().unwrap_or(0) + 1;
    let padded = if last.starts_with('0') { last.len() } else { 0 };
    format!("{head}{number:0padded$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_version_keeps_the_width() {
        for (newest, next) in [("009", "010"), ("1", "2"), ("9", "10"), ("1.2.9", "1.2.10")] {
            assert_eq!(count_up(newest), next);
        }
    }
}
