//! A step: one migration in one direction, with all that is needed to run and to record it.

use std::time::Duration;

use migrate_core::{
    error::{Error, Result},
    ledger::history::{NewRun, Run as HistoryRun, Status},
    migration::{
        Migration,
        batch::{self, Batched},
        risk::Risk,
        script::Script,
        version::Version,
    },
    plan::Pending,
    record::{Direction, MigrationApplied, MigrationStarted},
    sql::{
        check::Summary,
        effects::{Effects, Judge},
    },
};

use crate::{run::Run, send::Totals};

#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) version: Version,
    pub(crate) name: String,
    pub(crate) direction: Direction,
    pub(crate) script: Script,
    /// Of the migration, in either direction.
    pub(crate) checksum: String,
    /// What `down` will need, kept in the database when the migration is applied.
    pub(crate) way_back: Option<(Script, String)>,
    pub(crate) risk: Risk,
    pub(crate) estimate: Option<Duration>,
    /// How long the same file took when it was applied here before.
    pub(crate) earlier_ms: Option<u64>,
    pub(crate) summary: Summary,
    /// Its statements that run in ranges.
    batched: Vec<Batched>,
    /// The history row of an earlier run outside a transaction that did not end.
    pub(crate) unfinished: Option<i64>,
}

impl Step {
    /// Looks through the whole script first, so that nothing is sent of a file that cannot run.
    pub(crate) fn up(pending: &Pending<'_>) -> Result<Step> {
        let Migration { version, name, checksum, .. } = pending.migration;
        let mut up = pending.migration.up.clone();
        let stated = pending.migration.risk;
        let mut judge = Judge::default();
        let summary = up.check_each(|statement, kind| {
            if stated.is_none() {
                judge.see(&Effects::of(statement, kind));
            }
        })?;
        up.transaction = summary.transaction;
        if let Some(run) = pending
            .unfinished
            .filter(|it| up.transaction && (it.in_part || it.status == Status::Running))
        {
            return Err(done_in_part(run));
        }
        let mut down = pending.migration.down.clone();
        if let Some(down) = down.as_mut().filter(|it| !it.marked) {
            // One that cannot be parsed is refused when it is to run.
            down.transaction = down.check().map_or(true, |it| it.transaction);
        }
        Ok(Step {
            version: version.clone(),
            name: name.clone(),
            direction: Direction::Up,
            unfinished: unfinished(pending, &up),
            batched: batch::of_script(&up)?,
            script: up,
            checksum: checksum.clone(),
            way_back: down.zip(pending.migration.down_checksum.clone()),
            risk: stated.unwrap_or(judge.worst()),
            estimate: pending.migration.estimate,
            earlier_ms: pending
                .earlier
                .filter(|it| it.checksum == *checksum)
                .and_then(|it| it.execution_ms)
                .map(i64::unsigned_abs),
            summary,
        })
    }

    /// Whether it was made for the same file and the same state of the history.
    pub(crate) fn is_of(&self, pending: &Pending<'_>) -> bool {
        self.version == pending.migration.version
            && self.unfinished == unfinished(pending, &self.script)
    }

    /// The way back of an applied run, out of the database.
    pub(crate) fn down(run: &HistoryRun, script: Script, unfinished: Option<i64>) -> Result<Step> {
        Ok(Step {
            version: run.version.clone(),
            name: run.name.clone(),
            direction: Direction::Down,
            summary: script.check()?,
            batched: batch::of_script(&script)?,
            script,
            checksum: run.checksum.clone(),
            way_back: None,
            risk: Risk::High,
            estimate: None,
            earlier_ms: None,
            unfinished,
        })
    }

    /// How statement `number` is to be cut into ranges, if it is.
    pub(crate) fn batched(&self, number: u64) -> Option<&Batched> {
        self.batched.iter().find(|it| it.statement == number)
    }

    /// Comments alone occur in real histories, but hardly ever on purpose.
    pub(crate) fn warning(&self) -> Option<String> {
        (self.summary.statements == 0).then(|| {
            format!("{} holds no statement for `{}`", self.script.file, self.direction.as_str())
        })
    }

    pub(crate) fn estimate_ms(&self) -> Option<u64> {
        self.estimate.map(|it| it.as_millis() as u64)
    }

    pub(crate) fn started(&self, resumed_at: Option<u64>) -> MigrationStarted {
        MigrationStarted {
            version: self.version.clone(),
            name: self.name.clone(),
            direction: self.direction,
            transaction: self.script.transaction,
            statements: self.summary.statements,
            estimate_ms: self.estimate_ms(),
            resumed_at,
        }
    }

    pub(crate) fn applied(
        &self,
        totals: Totals,
        execution_ms: i64,
        retries: u32,
    ) -> MigrationApplied {
        MigrationApplied {
            version: self.version.clone(),
            name: self.name.clone(),
            direction: self.direction,
            checksum: self.checksum.clone(),
            down_checksum: self.way_back.as_ref().map(|(_, checksum)| checksum.clone()),
            down_transaction: self.way_back.as_ref().map(|(script, _)| script.transaction),
            statements: totals.statements,
            rows: totals.rows,
            execution_ms: execution_ms.unsigned_abs(),
            estimate_ms: self.estimate_ms(),
            retries,
            transaction: self.script.transaction,
            commit: None,
            warning: self.warning(),
        }
    }

    /// Its history row in `run`.
    pub(crate) fn new_run<'a>(
        &'a self,
        run: &'a Run,
        status: Status,
        error: Option<&'a str>,
    ) -> NewRun<'a> {
        NewRun {
            version: &self.version,
            name: &self.name,
            direction: self.direction,
            checksum: &self.checksum,
            status,
            execution_ms: None,
            estimate_ms: self.estimate_ms().map(|it| it as i64),
            risk: Some(self.risk),
            run_id: &run.run_id,
            error,
        }
    }
}

fn done_in_part(run: &HistoryRun) -> Error {
    Error::refused(
        "done_in_part",
        format!(
            "migration {} `{}` is done in part outside a transaction, and its file now wants one",
            run.version, run.name
        ),
        "put `transaction:false` back, or decide with `migrate-apply resolve`",
    )
}

fn unfinished(pending: &Pending<'_>, script: &Script) -> Option<i64> {
    pending.unfinished.filter(|_| !script.transaction).map(|it| it.id)
}
