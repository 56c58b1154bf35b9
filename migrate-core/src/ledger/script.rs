//! `_migration_scripts`: the down SQL of each applied migration, as it stood when it was applied.

use super::Ledger;
use crate::{
    connect::session::Session,
    error::{Error, Result},
    migration::{checksum, directive, script::Script},
};

pub(crate) const INSERT: &str = include_str!("../../sql/script_insert.sql");
const READ: &str = include_str!("../../sql/script_read.sql");

/// The way back of a run, out of the database.
#[derive(Debug, Clone)]
pub struct Stored {
    pub script: Script,
    pub checksum: String,
    /// The checksum as the audit log has it: both must agree.
    pub audited_checksum: Option<String>,
}

/// Keeps the way back of run `history_id`.
pub fn insert(
    session: &Session,
    ledger: &Ledger,
    history_id: i64,
    script: &Script,
    checksum: &str,
) -> Result<()> {
    session
        .execute(
            &ledger.sql(INSERT),
            &[
                &history_id,
                &script.file,
                &(script.first_line as i32),
                &script.transaction,
                &&*script.text,
                &checksum,
            ],
        )
        .map_err(Error::database("keep the down SQL"))
        .map(drop)
}

/// The way back of run `history_id`, if it has one.
pub fn read(session: &Session, ledger: &Ledger, history_id: i64) -> Result<Option<Stored>> {
    let row = session
        .query_opt(&ledger.sql(READ), &[&history_id])
        .map_err(Error::database("read the down SQL"))?;
    let Some(row) = row else { return Ok(None) };
    let (file, text): (String, String) = (row.get("file"), row.get("down_sql"));
    let first_line = row.get::<_, i32>("first_line").unsigned_abs();
    let batches = directive::batches(&file, &text, first_line)?;
    Ok(Some(Stored {
        script: Script {
            file,
            text: text.into(),
            first_line,
            transaction: row.get::<_, bool>("transactional") && batches.is_empty(),
            marked: true,
            batches,
        },
        checksum: row.get("down_checksum"),
        audited_checksum: row.get("audited_checksum"),
    }))
}

/// The checksum of a way back as it stands in the table.
pub fn checksum(script: &Script) -> String {
    checksum::checksum(&script.text)
}
