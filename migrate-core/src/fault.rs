//! Places where a test can make a tool die, to prove that the next run repairs it.
//!
//! `MIGRATE_FAULT=before_commit` kills the tool there the first time, `before_commit:3` the third.
//! Release builds contain none of this.

use std::{
    env,
    sync::atomic::{AtomicU32, Ordering},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The lease is taken, the intent is not written.
    LeaseTaken,
    /// The intent is written, nothing is done.
    IntentWritten,
    /// The statements of a migration have run, but it is not recorded.
    BeforeRecord,
    /// It is recorded, but not committed.
    BeforeCommit,
    /// It is committed, but not said.
    AfterCommit,
    /// Outside a transaction: the statement is journalled, and has not run.
    StatementJournalled,
    /// Outside a transaction: the statement has run, and the journal does not know.
    StatementRun,
    /// Outside a transaction: all is done, but the history says running.
    BeforeFinish,
    /// All is done, but the run has not ended.
    BeforeEnd,
    /// The file of an archive is there, and the rows are in the table, too.
    ArchiveWritten,
    /// The rows are removed, but not committed.
    ArchiveRemoved,
    /// The folder of a backup in the making is there, and empty.
    PartialMade,
    /// The dump is on disk, and has no manifest.
    DumpSynced,
    /// The backup is whole, but not under its name.
    BeforePublish,
    /// The backup has its name, which may not be on disk.
    AfterPublish,
    /// A backup that is to be removed has the name of trash.
    MovedToTrash,
    /// All that is to be removed has the name of trash, and is there.
    BeforeTrashRemoved,
}

impl Point {
    /// Places that a run of migrations passes.
    pub const APPLY: [Point; 9] = [
        Point::LeaseTaken,
        Point::IntentWritten,
        Point::BeforeRecord,
        Point::BeforeCommit,
        Point::AfterCommit,
        Point::StatementJournalled,
        Point::StatementRun,
        Point::BeforeFinish,
        Point::BeforeEnd,
    ];
    /// Places that a backup passes on its way into the store.
    pub const STORE: [Point; 4] =
        [Point::PartialMade, Point::DumpSynced, Point::BeforePublish, Point::AfterPublish];
    /// Places that a backup passes on its way out of it.
    pub const PRUNE: [Point; 2] = [Point::MovedToTrash, Point::BeforeTrashRemoved];

    pub fn name(self) -> &'static str {
        match self {
            Point::LeaseTaken => "lease_taken",
            Point::IntentWritten => "intent_written",
            Point::BeforeRecord => "before_record",
            Point::BeforeCommit => "before_commit",
            Point::AfterCommit => "after_commit",
            Point::StatementJournalled => "statement_journalled",
            Point::StatementRun => "statement_run",
            Point::BeforeFinish => "before_finish",
            Point::BeforeEnd => "before_end",
            Point::ArchiveWritten => "archive_written",
            Point::ArchiveRemoved => "archive_removed",
            Point::PartialMade => "partial_made",
            Point::DumpSynced => "dump_synced",
            Point::BeforePublish => "before_publish",
            Point::AfterPublish => "after_publish",
            Point::MovedToTrash => "moved_to_trash",
            Point::BeforeTrashRemoved => "before_trash_removed",
        }
    }
}

static HITS: AtomicU32 = AtomicU32::new(0);

/// Dies here if a test asked for it, as by kill -9: nothing is cleaned up.
pub fn hit(point: Point) {
    if !cfg!(debug_assertions) {
        return;
    }
    let Ok(wanted) = env::var("MIGRATE_FAULT") else { return };
    let (name, nth) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if name == point.name() && HITS.fetch_add(1, Ordering::SeqCst) + 1 == nth.parse().unwrap_or(1) {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
