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
    /// Whether the table says that it runs in a transaction.
    pub transaction: bool,
    pub audited: Audited,
}

/// What the audit log says of a way back: both must agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audited {
    As {
        checksum: String,
        /// Absent in a row of an earlier version.
        transaction: Option<bool>,
    },
    /// The row that said so is in an archive.
    Archived,
    /// There is no such row, although there must be one.
    Missing,
}

impl Stored {
    /// Whether it is what was kept when the migration was applied.
    pub fn is_as_audited(&self) -> bool {
        let kept = checksum(&self.script) == self.checksum;
        kept && match &self.audited {
            Audited::As { checksum, transaction } => {
                *checksum == self.checksum && transaction.is_none_or(|it| it == self.transaction)
            }
            Audited::Archived | Audited::Missing => true,
        }
    }
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
    let transaction = row.get::<_, bool>("transactional");
    let audited = match (row.get("audited_checksum"), row.get::<_, bool>("archived")) {
        (Some(checksum), _) => {
            Audited::As { checksum, transaction: row.get("audited_transaction") }
        }
        (None, true) => Audited::Archived,
        (None, false) => Audited::Missing,
    };
    Ok(Some(Stored {
        script: Script {
            file,
            text: text.into(),
            first_line,
            transaction: transaction && batches.is_empty(),
            marked: true,
            batches,
        },
        checksum: row.get("down_checksum"),
        transaction,
        audited,
    }))
}

/// The checksum of a way back as it stands in the table.
pub fn checksum(script: &Script) -> String {
    checksum::checksum(&script.text)
}
