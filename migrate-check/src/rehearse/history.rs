//! Carries what is applied over to the copy: without it every migration would be pending there.

use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
    ledger::{Ledger, Presence},
};

/// Each reads all rows of a table as one value, and the other puts them into the same table.
const TABLES: [(&str, &str); 2] = [
    (
        include_str!("../../sql/rehearse_read_history.sql"),
        include_str!("../../sql/rehearse_write_history.sql"),
    ),
    (
        include_str!("../../sql/rehearse_read_progress.sql"),
        include_str!("../../sql/rehearse_write_progress.sql"),
    ),
];

pub(super) fn carry_over(target: &Session, copy: &Session, ledger: &Ledger) -> Result<()> {
    if ledger.look(target)? == Presence::Absent {
        return Ok(());
    }
    for (read, write) in TABLES {
        let row = target
            .query_one(&ledger.sql(read), &[])
            .map_err(Error::database("read the history of the target"))?;
        let rows: String = row.get(0);
        copy.query(&ledger.sql(write), &[&rows])
            .map_err(Error::database("write the history into the copy"))?;
    }
    Ok(())
}
