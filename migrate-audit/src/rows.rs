//! Rows of the log out of the table, one by one, however many there are.

use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
    interrupt,
    ledger::Ledger,
};

const ROWS: &str = include_str!("../sql/log_rows.sql");
/// The server counts from the year 2000.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A row as it stands in the table or in an archive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) id: i64,
    /// Microseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) actor: &'a [u8],
    pub(crate) action: &'a [u8],
    pub(crate) subject: Option<&'a [u8]>,
    pub(crate) run_id: Option<&'a [u8]>,
    /// JSON.
    pub(crate) details: &'a [u8],
    pub(crate) canonical: &'a [u8],
    pub(crate) prev_hash: &'a [u8],
    pub(crate) hash: &'a [u8],
}

/// The rows with numbers between `after` and `before`, under the transaction's snapshot.
pub(crate) fn read(
    session: &Session,
    ledger: &Ledger,
    after: i64,
    before: i64,
    take: &mut dyn FnMut(&Row<'_>) -> Result<()>,
) -> Result<()> {
    // COPY takes no parameters; both are numbers.
    let select =
        ledger.sql(ROWS).replace("$1", &after.to_string()).replace("$2", &before.to_string());
    let copy = format!("copy ({select}) to stdout (format binary)");
    let mut count = 0u64;
    session.copy_rows(&copy, 10, "read the audit log", &mut |fields| {
        count += 1;
        if count.is_multiple_of(4096)
            && let Some(signal) = interrupt::received()
        {
            let state = "it only read; nothing is changed".to_owned();
            return Err(Error::Interrupted { signal, state });
        }
        take(&row(fields))
    })
}

/// What lacks in a column that must not be null is as good as empty: the hash tells.
fn row<'a>(fields: &[Option<&'a [u8]>]) -> Row<'a> {
    let number =
        |it: Option<&[u8]>| it.and_then(|it| it.try_into().ok()).map_or(0, i64::from_be_bytes);
    let bytes = |it: Option<&'a [u8]>| it.unwrap_or_default();
    Row {
        id: number(fields[0]),
        timestamp: number(fields[1]).saturating_add(EPOCH_MICROS),
        actor: bytes(fields[2]),
        action: bytes(fields[3]),
        subject: fields[4],
        run_id: fields[5],
        // In front of the text stands the version of that form.
        details: bytes(fields[6]).strip_prefix(&[1]).unwrap_or_default(),
        canonical: bytes(fields[7]),
        prev_hash: bytes(fields[8]),
        hash: bytes(fields[9]),
    }
}
