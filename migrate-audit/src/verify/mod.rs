//! `verify`: whether the log is as it was written, and whether the history agrees with it.

mod anchors;
pub(crate) mod chain;
mod damage;
mod fingerprint;
mod guards;
mod history;
mod row;
pub(crate) mod source;

use std::{path::PathBuf, time::Instant};

use migrate_core::{
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    plan::hex,
    record::{AuditArchived, AuditDamaged, AuditVerified, LogDamage, OtherDamage, Record},
};

use self::{
    anchors::{Anchor, Anchors},
    chain::Chain,
    damage::{Lookup, damage, judge},
    history::History,
    row::NOTHING,
    source::Table,
};
use crate::{place::Place, rows, rows::Row};

/// Shown below `--help`.
pub(crate) const HELP: &str = "\
Reads the log once, in one snapshot, and writes nothing. Exit 0: it holds. Exit 1: it does not,
and the last record names the first bad row and what was done to it.

What a chain proves, and what it does not:
- A row that was changed, removed, inserted or moved is found, as far as a head that is known.
- That the newest rows were not cut off is proven only by an anchor: a head that was kept elsewhere.
- Whoever owns the table can compute the whole chain anew; only an anchor shows that, too.
- What stands in the log is what was written; whether that was true, no chain can know.
- What was done past the tools leaves no row, but the history is compared with the log, both ways.

Anchors are `head_id:head_hash` of an earlier run of this command, `audit_head` in the last record
of each `migrate-apply up`, the manifest of a backup, and the file that `anchors` in migrate.toml
or MIGRATE_ANCHORS names, which is read by itself.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A head that was kept: a hash, or `NUMBER:HASH`; it must be in the chain
    #[arg(long, value_name = "HASH")]
    anchor: Vec<Anchor>,

    /// Read these files of `archive` too, before the table
    #[arg(long, value_name = "FILE", num_args = 1..)]
    archive: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let start = Instant::now();
    let place = Place::open("verify", ctx)?;
    let mut anchors = Anchors::new(&args.anchor);
    if let Some(path) = &ctx.config.anchors {
        anchors.add_file(path, place.session.facts(), place.ledger.schema())?;
    }
    place.read_only()?;
    let guards = guards::look(&place.session, &place.ledger)?;
    if guards.iter().any(|it| it.damage == LogDamage::Truncated) {
        if place.is_empty()? && anchors.is_empty() {
            return Err(place.no_ledger());
        }
        return Ok(say(Findings { found: guards, ..Findings::default() }, start, ctx));
    }
    let history = match place.has_history()? {
        true => History::read(&place.session, &place.ledger)?,
        false => History::default(),
    };
    let mut walk = Walk { anchors, history, ..Walk::default() };
    for path in source::in_order(&args.archive)? {
        source::file(&path, &mut |row| walk.take(row))?;
    }
    walk.in_archive = walk.chain.id;
    rows::read(&place.session, &place.ledger, i64::MIN, i64::MAX, &mut |row| walk.take(row))?;
    let lookup = Table { session: &place.session, ledger: &place.ledger };
    let mut findings = walk.end(&lookup)?;
    findings.found.extend(guards);
    Ok(say(findings, start, ctx))
}

/// One way through all rows, with all that is looked at on it.
#[derive(Default)]
struct Walk {
    chain: Chain,
    anchors: Anchors,
    history: History,
    /// The last row that came out of an archive.
    in_archive: i64,
    in_table: u64,
    archives: Vec<AuditArchived>,
    first_action: Option<String>,
    first_micros: i64,
}

/// What was found, and what the log says of itself.
#[derive(Default)]
struct Findings {
    found: Vec<OtherDamage>,
    warnings: Vec<String>,
    head: Option<(i64, String)>,
    rows: u64,
    anchors: u64,
    anchored_id: Option<i64>,
    archived: Option<i64>,
    history_rows: u64,
}

impl Walk {
    fn take(&mut self, row: &Row<'_>) -> Result<()> {
        if self.in_archive > 0 {
            self.in_table += 1;
            if self.in_table == 1 && row.id <= self.in_archive {
                return Err(Error::usage(
                    format!(
                        "the archive ends with row {}, and the table begins with row {}",
                        self.in_archive, row.id
                    ),
                    "give the files that `migrate-audit archive` made; what is in the table is read from there",
                ));
            }
        }
        if self.first_action.is_none() {
            self.first_action = Some(String::from_utf8_lossy(row.action).into_owned());
            self.first_micros = row.timestamp;
        }
        if row.action == b"audit.archived"
            && let Ok(archived) = serde_json::from_slice(row.details)
        {
            self.archives.push(archived);
        }
        self.chain.take(row);
        self.anchors.take(row);
        self.history.take(row);
        Ok(())
    }

    fn end(mut self, lookup: &dyn Lookup) -> Result<Findings> {
        let chain = &self.chain;
        let mut found = judge(&chain.suspects, &chain.edited, lookup)?;
        let archived = self.beginning(&mut found, lookup)?;
        if let Some(id) = chain.unknown.filter(|id| found.iter().all(|it| it.id > Some(*id))) {
            return Err(Error::refused(
                "unknown_format",
                format!("row {id} is in a form that this version does not know"),
                "a later version of the tools wrote it: verify the log with that version",
            ));
        }
        found.extend(self.anchors.end(chain.id));
        let history_rows = self.history.rows();
        let (history, unproven) = self.history.end(archived.map(|_| self.first_micros));
        found.extend(history);
        let mut warnings = Vec::new();
        if let Some((count, first)) = chain.back_in_time {
            warnings.push(format!(
                "the time goes back {count} times by more than 10 s, first at row {} by {} s: \
                 the server's clock was set, or is another one",
                first.id,
                first.micros / 1_000_000
            ));
        }
        if unproven > 0 {
            warnings
                .push(format!("{unproven} rows of the history have their event in the archive"));
        }
        Ok(Findings {
            found,
            warnings,
            head: (chain.rows > 0).then(|| (chain.id, hex(&chain.hash))),
            rows: chain.rows,
            anchors: self.anchors.met,
            anchored_id: self.anchors.newest,
            archived,
            history_rows,
        })
    }

    /// The first row begins the chain, or continues an archive that a later row tells of. Returns
    /// the last row of that.
    fn beginning(&self, found: &mut Vec<OtherDamage>, lookup: &dyn Lookup) -> Result<Option<i64>> {
        let Some(action) = &self.first_action else {
            let message = "the log is empty, though it began with the ledger".to_owned();
            found.push(damage(LogDamage::Truncated, None, None, message));
            return Ok(None);
        };
        let Some(first) = &self.chain.begins_at else {
            if action != "ledger.created" && found.iter().all(|it| it.id != Some(1)) {
                let message = format!("the first row is `{action}`, not `ledger.created`");
                found.insert(0, damage(LogDamage::Genesis, 1, None, message));
            }
            return Ok(None);
        };
        let before = hex(&first.prev_hash);
        let last = first.id - 1;
        if self.archives.iter().any(|it| it.last_id == last && it.last_hash == before) {
            return Ok(Some(last));
        }
        let moved = lookup.successor(&NOTHING)?.filter(|it| it.is(1, &NOTHING));
        found.insert(
            0,
            match moved {
                Some(moved) => {
                    let message = format!("row 1 has the number {} now", moved.id);
                    damage(LogDamage::Edited, 1, Some("id"), message)
                }
                None => {
                    let message = format!(
                        "the beginning is missing: the log begins with row {}, and no archive that \
                         it tells of ends before it",
                        first.id
                    );
                    damage(LogDamage::Genesis, 1, None, message)
                }
            },
        );
        Ok(None)
    }
}

/// Rows of the log first, in their order; then what is of no row; then the history.
fn order(it: &OtherDamage) -> (bool, bool, Option<i64>) {
    (it.damage == LogDamage::History, it.id.is_none(), it.id)
}

fn say(mut findings: Findings, start: Instant, ctx: &mut Ctx) -> Exit {
    let ms = start.elapsed().as_millis() as u64;
    for warning in &findings.warnings {
        log::warn!("{warning}");
    }
    findings.found.sort_by_key(order);
    let mut found = findings.found.into_iter();
    let Some(first) = found.next() else {
        let (head_id, head_hash) = findings.head.unwrap_or_default();
        ctx.emit(Record::AuditVerified(AuditVerified {
            head_id,
            head_hash,
            rows: findings.rows,
            anchors: findings.anchors,
            anchored_id: findings.anchored_id,
            archived: findings.archived,
            history_rows: findings.history_rows,
            warnings: findings.warnings,
            ms,
        }));
        return Exit::Ok;
    };
    log::error!("{}", first.message);
    let (head_id, head_hash) = findings.head.unzip();
    ctx.emit(Record::AuditDamaged(AuditDamaged {
        id: first.id,
        damage: first.damage,
        column: first.column,
        message: first.message,
        others: found.collect(),
        head_id,
        head_hash,
        rows: findings.rows,
        warnings: findings.warnings,
        ms,
    }));
    Exit::No
}
