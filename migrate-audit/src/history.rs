//! `history`: the last runs of migrations, the newest at the end.

use migrate_core::{
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    record::{Direction, HistoryRow, Record},
};
use tokio_postgres::Row;

use crate::place::Place;

const PAGE: &str = include_str!("../sql/history_page.sql");

#[derive(clap::Args)]
pub(crate) struct Args {
    /// At most so many, the newest; 0 for all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let place = Place::open("history", ctx)?;
    if !place.has_log()? {
        return Ok(Exit::Ok);
    }
    let limit = if args.limit == 0 { i64::MAX } else { i64::from(args.limit) };
    let rows = place
        .session
        .query(&place.ledger.sql(PAGE), &[&limit])
        .map_err(Error::database("read the history"))?;
    let rows = rows.iter().rev().map(row).collect::<Result<Vec<_>>>()?;
    ctx.emit_together(rows.into_iter().map(Record::History).collect());
    Ok(Exit::Ok)
}

fn row(row: &Row) -> Result<HistoryRow> {
    let version: String = row.get("version");
    Ok(HistoryRow {
        id: row.get("id"),
        version: version.parse().map_err(|_| {
            Error::refused(
                "foreign_ledger",
                format!("`_migration_history` holds `{version}`, which is no version"),
                "find out who wrote it; nothing of ours does: `migrate-audit verify`",
            )
        })?,
        name: row.get("name"),
        direction: match row.get::<_, &str>("direction") {
            "down" => Direction::Down,
            _ => Direction::Up,
        },
        status: row.get("status"),
        applied_at: row.get("applied_at"),
        finished_at: row.get("finished_at"),
        execution_ms: row.get("execution_ms"),
        estimate_ms: row.get("estimate_ms"),
        risk: row.get("risk"),
        applied_by: row.get("applied_by"),
        run_id: row.get("run_id"),
        checksum: row.get("checksum"),
        error: row.get("error"),
    })
}
