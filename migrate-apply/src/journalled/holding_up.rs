//! Whom a CONCURRENTLY statement would wait for, half done and without a time limit: waited for before it runs.

use std::{
    thread,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use migrate_core::{
    ctx::Ctx,
    error::{Error, StatementError},
    record::{Holder, LockWaited, Record},
    sql::{
        alone::{Alone, ReindexTarget},
        words::Name,
    },
    text,
};

use super::{At, Work};
use crate::{catalog, guard, send::Stop};

const HOLDING_UP: &str = include_str!("../../sql/holding_up.sql");
const PAUSE: Duration = Duration::from_millis(100);

/// What such a statement waits for.
struct Waits {
    names: Vec<String>,
    snapshots: bool,
    readers: bool,
}

/// A transaction, told apart from a later one of the same session.
type Transaction = (i32, DateTime<Utc>);

impl Work<'_> {
    /// Waits for those that are there now, not for who comes later: on a busy database that would
    /// be for ever. The session has the script's view.
    pub(super) fn let_them_end(
        &self,
        alone: &Alone,
        at: &At<'_>,
        ctx: &mut Ctx,
    ) -> Result<(), Stop> {
        let Some(waits) = waits(alone) else { return Ok(()) };
        let start = Instant::now();
        let first = self.holding_up(&waits)?;
        let Some((oldest, _)) = first.first() else { return Ok(()) };
        log::warn!(
            "migration {}: {} would wait for transactions that are older, so it begins when they have ended: {}",
            self.step.version,
            at.statement.tag(),
            text::holder(oldest)
        );
        ctx.emit(Record::LockWaited(LockWaited {
            waiting_for: waits.names.join(", "),
            version: Some(self.step.version.clone()),
            statement: Some(at.number as u64),
            waited_ms: 0,
            holders: first.iter().map(|it| it.0.clone()).collect(),
            queue: 0,
        }));
        let progress = self.progress(at);
        let mut said = 0;
        loop {
            thread::sleep(PAUSE);
            let now = self.holding_up(&waits)?;
            let left: Vec<&Holder> = now
                .iter()
                .filter(|it| first.iter().any(|other| it.1 == other.1))
                .map(|it| &it.0)
                .collect();
            let Some(oldest) = left.first() else { return Ok(()) };
            if let Some(err) = self.run.stopped(|| self.state()) {
                return Err(err.into());
            }
            if start.elapsed() >= self.limits.retry_budget {
                return Err(Stop::Refused(Box::new(StatementError {
                    at: Some(self.location(at.statement)),
                    statement: Some(at.number as u64),
                    sqlstate: Some("55P03".to_owned()),
                    message: format!(
                        "an older transaction would hold up {}: {}",
                        at.statement.tag(),
                        text::holder(oldest)
                    ),
                    ..StatementError::default()
                })));
            }
            if start.elapsed().as_secs() > said {
                said = start.elapsed().as_secs();
                progress.tick(start.elapsed(), ctx);
            }
        }
    }

    fn holding_up(&self, waits: &Waits) -> Result<Vec<(Holder, Transaction)>, Stop> {
        let rows = self
            .run
            .session
            .query(HOLDING_UP, &[&waits.names, &waits.snapshots, &waits.readers])
            .map_err(Error::database("look for older transactions"))?;
        Ok(rows
            .iter()
            .map(|row| (guard::holder(row), (row.get("pid"), row.get("xact_start"))))
            .collect())
    }
}

/// PostgreSQL's manual: building waits for writers and for old snapshots, dropping for everybody.
fn waits(alone: &Alone) -> Option<Waits> {
    let of = |names: &[&Name], snapshots, readers| {
        let names = names.iter().map(|it| catalog::quoted(it)).collect();
        Some(Waits { names, snapshots, readers })
    };
    match alone {
        Alone::CreateIndexConcurrently { table, .. } => of(&[table], true, false),
        Alone::DropIndexConcurrently { indexes, .. } => {
            of(&indexes.iter().collect::<Vec<_>>(), false, true)
        }
        Alone::Reindex {
            target: ReindexTarget::Index(name) | ReindexTarget::Table(name),
            concurrently: true,
        } => of(&[name], true, true),
        Alone::Reindex { concurrently: true, .. } => of(&[], true, false),
        Alone::DetachPartitionConcurrently { table, .. } => of(&[table], false, true),
        _ => None,
    }
}
