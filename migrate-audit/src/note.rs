//! `note`: writes something down in the log, for those who read it later.

use migrate_core::{
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    record::{AuditNoted, Record},
};

use crate::place::Place;

/// More than this is a document, and belongs elsewhere.
const LONGEST_BYTES: usize = 64 * 1024;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to write down
    text: String,

    /// What it is about: a version, a ticket, a plan
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let text = args.text.trim();
    if text.is_empty() {
        return Err(Error::usage(
            "the note is empty",
            "say what happened: migrate-audit note 'TEXT'",
        ));
    }
    if text.len() > LONGEST_BYTES || args.subject.as_ref().is_some_and(|it| it.len() > 1024) {
        return Err(Error::usage(
            "the note is longer than 64 KiB, or its subject than 1 KiB",
            "keep the document elsewhere, and note its name and its hash",
        ));
    }
    let place = Place::open("note", ctx)?;
    let note = Record::AuditNoted(AuditNoted { text: text.to_owned() });
    place.append(note, args.subject.as_deref(), ctx)?;
    Ok(Exit::Ok)
}
