//! What to do, decided from what there is. No input or output happens here.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    ledger::history::{Run, Status},
    migration::{Migration, version::Version},
    record::{Direction, MigrationState},
};

/// A migration as the files and the history together tell it.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    pub file: Option<&'a Migration>,
    /// The last run up of this version.
    pub run: Option<&'a Run>,
    pub state: MigrationState,
}

/// Which of the pending migrations, or of the applied ones, are meant.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    pub target: Option<Version>,
    pub steps: Option<usize>,
    pub allow_out_of_order: bool,
}

/// A migration that `up` is to run.
#[derive(Debug, Clone, Copy)]
pub struct Pending<'a> {
    pub migration: &'a Migration,
    /// A run outside a transaction that began and did not end.
    pub unfinished: Option<&'a Run>,
    /// A run that was rolled back later.
    pub earlier: Option<&'a Run>,
}

/// Every migration that a file or the history knows, in the order of versions, in which `files` are.
pub fn known<'a>(files: &'a [Migration], runs: &'a [Run]) -> Vec<Known<'a>> {
    let newest = newest(runs);
    let mut runs: Vec<&Run> = runs.iter().collect();
    runs.sort_by(|one, two| one.version.cmp(&two.version));
    let mut runs = runs.into_iter().peekable();
    let mut known = Vec::with_capacity(files.len());
    for file in files {
        while let Some(run) = runs.next_if(|it| it.version < file.version) {
            known.extend(without_file(run));
        }
        let run = runs.next_if(|it| it.version == file.version);
        known.push(Known { file: Some(file), run, state: state(file, run, newest) });
    }
    known.extend(runs.filter_map(without_file));
    known
}

fn without_file(run: &Run) -> Option<Known<'_>> {
    let state = match run.status {
        Status::Applied if run.rolled_back_in_part => MigrationState::Failed,
        Status::Applied => MigrationState::Missing,
        Status::Running => MigrationState::Failed,
        Status::Failed if run.in_part => MigrationState::Failed,
        Status::Failed | Status::RolledBack => return None,
    };
    Some(Known { file: None, run: Some(run), state })
}

fn state(file: &Migration, run: Option<&Run>, newest: Option<&Version>) -> MigrationState {
    let same = |run: &Run| run.checksum == file.checksum && run.name == file.name;
    if run.is_some_and(|it| it.rolled_back_in_part) {
        return MigrationState::Failed;
    }
    match run.map(|run| (run.status, same(run))) {
        Some((Status::Applied, true)) => MigrationState::Applied,
        Some((Status::Applied, false)) => MigrationState::Changed,
        Some((Status::Running | Status::Failed, _)) => MigrationState::Failed,
        None | Some((Status::RolledBack, _)) if newest.is_some_and(|it| file.version < *it) => {
            MigrationState::OutOfOrder
        }
        None | Some((Status::RolledBack, _)) => MigrationState::Pending,
    }
}

/// The highest version that is applied: the migration head.
pub fn newest(runs: &[Run]) -> Option<&Version> {
    runs.iter().filter(|it| it.status == Status::Applied).map(|it| &it.version).max()
}

/// The migrations that `up` is to run, in order.
///
/// Refuses to go on where a file no longer says what was applied: the database and the
/// files then tell different stories, and only a person can know which one is true.
pub fn pending<'a>(
    files: &'a [Migration],
    runs: &'a [Run],
    choice: &Choice,
) -> Result<Vec<Pending<'a>>> {
    let known = known(files, runs);
    for it in &known {
        refuse_drift(it)?;
    }
    if let Some(target) = &choice.target
        && !known.iter().any(|it| it.file.is_some_and(|file| file.version == *target))
    {
        return Err(Error::usage(
            format!("there is no migration {target}"),
            "`migrate-apply status` lists them",
        ));
    }
    let mut pending = Vec::new();
    if known.iter().all(|it| it.state == MigrationState::Applied) {
        return Ok(pending);
    }
    let mut done: HashSet<&Version> =
        runs.iter().filter(|it| it.status == Status::Applied).map(|it| &it.version).collect();
    for it in known {
        let Some(migration) = it.file.filter(|_| it.state != MigrationState::Applied) else {
            continue;
        };
        let past_target = choice.target.as_ref().is_some_and(|it| migration.version > *it);
        if past_target || choice.steps.is_some_and(|it| pending.len() >= it) {
            break;
        }
        if it.state == MigrationState::OutOfOrder && !choice.allow_out_of_order {
            return Err(out_of_order(migration, newest(runs)));
        }
        if let Some(missing) = migration.requires.iter().find(|it| !done.contains(it)) {
            return Err(Error::refused(
                "requirement_missing",
                format!(
                    "migration {} `{}` requires {missing}, which is not applied",
                    migration.version, migration.name
                ),
                "apply that one first, or correct the `-- requires:` line",
            ));
        }
        done.insert(&migration.version);
        let unfinished =
            it.run.filter(|run| matches!(run.status, Status::Running | Status::Failed));
        let earlier = it.run.filter(|run| run.status == Status::RolledBack);
        pending.push(Pending { migration, unfinished, earlier });
    }
    Ok(pending)
}

fn refuse_drift(known: &Known<'_>) -> Result<()> {
    if let Some(run) = known.run.filter(|it| it.rolled_back_in_part) {
        return Err(Error::refused(
            "half_rolled_back",
            format!("migration {} `{}` is rolled back in part", run.version, run.name),
            "finish it with `migrate-apply down`, or decide with `migrate-apply resolve`",
        ));
    }
    match (known.state, known.file, known.run) {
        (MigrationState::Changed, Some(file), Some(run)) if file.checksum == run.checksum => {
            Err(Error::refused(
                "renamed",
                format!(
                    "migration {} was applied as `{}`, and its file is named `{}` now",
                    file.version, run.name, file.name
                ),
                "give the file its old name back",
            ))
        }
        (MigrationState::Changed, Some(file), Some(run)) => Err(Error::Changed {
            version: file.version.clone(),
            name: file.name.clone(),
            applied: run.checksum.clone(),
            file: file.checksum.clone(),
        }),
        (MigrationState::Missing, None, Some(run)) => Err(Error::refused(
            "missing",
            format!("migration {} `{}` is applied, but its file is gone", run.version, run.name),
            "bring the file back; `migrate-apply down` works without it",
        )),
        (MigrationState::Failed, None, Some(run)) => Err(Error::refused(
            "missing",
            format!(
                "migration {} `{}` is done in part, and its file is gone",
                run.version, run.name
            ),
            "bring the file back, or decide with `migrate-apply resolve`",
        )),
        _ => Ok(()),
    }
}

fn out_of_order(migration: &Migration, newest: Option<&Version>) -> Error {
    Error::refused(
        "out_of_order",
        format!(
            "migration {} `{}` is older than {}, which is applied",
            migration.version,
            migration.name,
            newest.map(ToString::to_string).unwrap_or_default()
        ),
        "give it a newer version, or pass `--allow-out-of-order` if the order does not matter",
    )
}

/// The runs that `down` is to undo, the last one applied first.
pub fn undo<'a>(runs: &'a [Run], choice: &Choice) -> Result<Vec<&'a Run>> {
    let mut applied: Vec<&Run> = runs.iter().filter(|it| it.status == Status::Applied).collect();
    applied.sort_by_key(|it| std::cmp::Reverse(it.id));
    let zero = |it: &Version| it.to_string().bytes().all(|it| it == b'0');
    let count = match (&choice.target, choice.steps) {
        (Some(target), _) if zero(target) => applied.len(),
        (Some(target), _) => {
            applied.iter().position(|it| it.version == *target).ok_or_else(|| {
                Error::usage(
                    format!("migration {target} is not applied, so there is no way down to it"),
                    "`migrate-apply status` lists those that are; `--target 0` means before the first",
                )
            })?
        }
        (None, Some(steps)) => steps,
        (None, None) => 1,
    };
    applied.truncate(count);
    Ok(applied)
}

/// What a plan is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Bound<'a> {
    pub system_identifier: &'a str,
    pub database: &'a str,
    pub ledger_schema: &'a str,
    pub head: Option<&'a Version>,
}

/// The hash of a plan: whatever changes what `up` would do changes it, and nothing else does.
pub fn hash(bound: Bound<'_>, steps: &[&Migration]) -> String {
    let mut digest = Sha256::new();
    let mut field = |text: &str| {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    };
    field("migrate-plan/v1");
    field(bound.system_identifier);
    field(bound.database);
    field(bound.ledger_schema);
    field(&bound.head.map(ToString::to_string).unwrap_or_default());
    for step in steps {
        field(Direction::Up.as_str());
        field(&step.version.to_string());
        field(&step.checksum);
        field(step.down_checksum.as_deref().unwrap_or_default());
    }
    let digest = digest.finalize();
    format!("sha256:{}", hex(&digest))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, sql: &str) -> Migration {
        let file = crate::migration::file::parse(name, sql.into()).unwrap();
        crate::migration::dir::join(vec![file]).unwrap().remove(0)
    }

    fn run(id: i64, migration: &Migration, status: Status) -> Run {
        Run {
            id,
            version: migration.version.clone(),
            name: migration.name.clone(),
            checksum: migration.checksum.clone(),
            status,
            applied_at: chrono::DateTime::UNIX_EPOCH,
            execution_ms: None,
            applied_by: "me".into(),
            error: None,
            run_id: "r".into(),
            risk: None,
            in_part: false,
            rolled_back_in_part: false,
        }
    }

    fn versions(pending: &[Pending<'_>]) -> Vec<String> {
        pending.iter().map(|it| it.migration.version.to_string()).collect()
    }

    fn three() -> [Migration; 3] {
        [file("1_a.sql", "select 1"), file("2_b.sql", "select 2"), file("10_c.sql", "select 3")]
    }

    #[test]
    fn what_is_not_in_the_history_is_pending_in_the_order_of_numbers() {
        let files = three();
        let runs = [run(1, &files[0], Status::Applied)];
        assert_eq!(versions(&pending(&files, &runs, &Choice::default()).unwrap()), ["2", "10"]);
    }

    #[test]
    fn steps_and_target_bound_what_is_done() {
        let files = three();
        let steps = Choice { steps: Some(1), ..Choice::default() };
        assert_eq!(versions(&pending(&files, &[], &steps).unwrap()), ["1"]);
        let target = Choice { target: Some("2".parse().unwrap()), ..Choice::default() };
        assert_eq!(versions(&pending(&files, &[], &target).unwrap()), ["1", "2"]);
        let nowhere = Choice { target: Some("3".parse().unwrap()), ..Choice::default() };
        assert!(matches!(pending(&files, &[], &nowhere), Err(Error::Usage { .. })));
    }

    #[test]
    fn a_changed_file_is_refused() {
        let before = file("1_a.sql", "select 1");
        let after = [file("1_a.sql", "select 2")];
        let runs = [run(1, &before, Status::Applied)];
        let err = pending(&after, &runs, &Choice::default());
        assert!(matches!(err, Err(Error::Changed { .. })));
    }

    #[test]
    fn a_renamed_file_is_refused() {
        let before = file("1_a.sql", "select 1");
        let after = [file("1_b.sql", "select 1")];
        let runs = [run(1, &before, Status::Applied)];
        let err = pending(&after, &runs, &Choice::default());
        assert!(matches!(err, Err(Error::Refused { kind: "renamed", .. })));
    }

    #[test]
    fn a_missing_file_is_refused() {
        let gone = file("1_a.sql", "select 1");
        let runs = [run(1, &gone, Status::Applied)];
        let err = pending(&[], &runs, &Choice::default());
        assert!(matches!(err, Err(Error::Refused { kind: "missing", .. })));
    }

    #[test]
    fn a_migration_that_is_done_in_part_needs_its_file() {
        let file = [file("1_a.sql", "select 1")];
        let started = run(1, &file[0], Status::Failed);
        let tried = pending(&file, std::slice::from_ref(&started), &Choice::default());
        assert_eq!(versions(&tried.unwrap()), ["1"]);
        assert!(pending(&[], std::slice::from_ref(&started), &Choice::default()).is_ok());
        let half = [Run { in_part: true, ..started }];
        let gone = pending(&[], &half, &Choice::default());
        assert!(matches!(gone, Err(Error::Refused { kind: "missing", .. })));
    }

    #[test]
    fn nothing_goes_on_over_a_migration_that_is_rolled_back_in_part() {
        let files = three();
        let half = Run { rolled_back_in_part: true, ..run(1, &files[0], Status::Applied) };
        let half = std::slice::from_ref(&half);
        assert_eq!(known(&files, half)[0].state, MigrationState::Failed);
        assert_eq!(known(&[], half)[0].state, MigrationState::Failed);
        let err = pending(&files[..1], half, &Choice::default());
        assert!(matches!(err, Err(Error::Refused { kind: "half_rolled_back", .. })));
    }

    #[test]
    fn an_older_one_than_the_newest_applied_needs_a_flag() {
        let files = three();
        let runs = [run(1, &files[2], Status::Applied)];
        let err = pending(&files, &runs, &Choice::default());
        assert!(matches!(err, Err(Error::Refused { kind: "out_of_order", .. })));
        let allowed = Choice { allow_out_of_order: true, ..Choice::default() };
        assert_eq!(versions(&pending(&files, &runs, &allowed).unwrap()), ["1", "2"]);
    }

    #[test]
    fn a_requirement_may_be_met_in_the_same_run() {
        let files = [file("1_a.sql", "select 1"), file("2_b.sql", "-- requires: 1\nselect 2")];
        assert_eq!(pending(&files, &[], &Choice::default()).unwrap().len(), 2);
        let err = pending(&files[1..], &[], &Choice::default());
        assert!(matches!(err, Err(Error::Refused { kind: "requirement_missing", .. })));
    }

    #[test]
    fn down_undoes_in_the_reverse_order_of_application() {
        let files = three();
        let runs: Vec<Run> = [(1, 0), (2, 2), (3, 1)]
            .map(|(id, index)| run(id, &files[index], Status::Applied))
            .into();
        let undone = |target: Option<&str>, steps| -> Vec<String> {
            let choice =
                Choice { target: target.map(|it| it.parse().unwrap()), steps, ..Choice::default() };
            undo(&runs, &choice).unwrap().iter().map(|it| it.version.to_string()).collect()
        };
        assert_eq!(undone(None, None), ["2"]);
        assert_eq!(undone(None, Some(2)), ["2", "10"]);
        assert_eq!(undone(Some("1"), None), ["2", "10"]);
        assert_eq!(undone(Some("0"), None), ["2", "10", "1"]);
    }

    #[test]
    fn a_plan_hash_follows_whatever_matters() {
        let files = three();
        let all: Vec<&Migration> = files.iter().collect();
        let bound =
            Bound { system_identifier: "7", database: "d", ledger_schema: "public", head: None };
        let plan = hash(bound, &all);
        assert_eq!(plan, hash(bound, &all));
        assert_ne!(plan, hash(bound, &all[..2]));
        assert_ne!(plan, hash(Bound { database: "e", ..bound }, &all));
        assert_ne!(plan, hash(Bound { head: Some(&files[0].version), ..bound }, &all));
    }
}
