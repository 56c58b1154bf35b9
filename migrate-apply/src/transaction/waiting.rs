//! Who is in the way where a table lock is not to be had.

use migrate_core::{
    connect::session::Session,
    error::{Error, Result, StatementError},
    ledger::quote_literal,
    record::Holder,
    text,
};

const PREPARED: &str = include_str!("../../sql/prepared_locks.sql");

/// A prepared transaction that was left behind and still holds its locks.
pub(super) struct Prepared {
    gid: String,
    owner: String,
    age_ms: i64,
    tables: String,
}

/// Those that hold locks on tables, the oldest first.
pub(super) fn prepared(session: &Session) -> Result<Vec<Prepared>> {
    let rows =
        session.query(PREPARED, &[]).map_err(Error::database("look for prepared transactions"))?;
    let prepared = rows.iter().filter_map(|row| {
        Some(Prepared {
            gid: row.get("gid"),
            owner: row.get("owner"),
            age_ms: row.get("age_ms"),
            tables: row.get::<_, Option<String>>("tables")?,
        })
    });
    Ok(prepared.collect())
}

impl Prepared {
    pub(super) fn holder(&self) -> Holder {
        Holder {
            user: Some(self.owner.clone()),
            state: Some("prepared transaction".to_owned()),
            query: Some(format!("prepare transaction {}", quote_literal(&self.gid))),
            age_ms: Some(self.age_ms),
            ..Holder::default()
        }
    }

    /// Adds it to an error that is about to be said.
    pub(super) fn explain(&self, error: &mut StatementError) {
        error.detail = Some(format!(
            "the prepared transaction {} of `{}`, {} old, holds locks on {}",
            quote_literal(&self.gid),
            self.owner,
            text::took(self.age_ms.unsigned_abs()),
            self.tables
        ));
        error.hint = Some(format!(
            "if nobody will finish it: rollback prepared {}",
            quote_literal(&self.gid)
        ));
    }
}
