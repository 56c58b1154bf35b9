//! Statements that run outside a transaction: their locks are gone when they end, so they are
//! watched from another session while they wait for one that stands in their way.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use migrate_core::{
    connect::session::Session,
    error::PgError,
    ledger::quote_identifier,
    record::Impact,
    sql::alone::{Alone, ReindexTarget},
};

use super::{
    observe::{self, Seen},
    work::Ground,
};

const NAMES: &str = include_str!("../../sql/dry_run_lockable.sql");

/// Why a statement must not be run in a copy.
pub(super) fn not_in_a_copy(alone: &Alone, place: Ground) -> Option<&'static str> {
    let shared = place == Ground::SharedCopy;
    match alone {
        Alone::CreateSubscription { .. } | Alone::RefreshSubscription { .. } => {
            Some("a copy must not subscribe at the target's publisher")
        }
        Alone::CreateTablespace { .. }
        | Alone::DropTablespace { .. }
        | Alone::AlterDatabaseTablespace { .. } => {
            Some("a copy has not the target's folders for tablespaces")
        }
        Alone::AlterSystem | Alone::CreateDatabase { .. } | Alone::DropDatabase { .. }
            if shared =>
        {
            Some("it changes the server, which this copy shares with the target")
        }
        Alone::Reindex {
            target: ReindexTarget::Database(_) | ReindexTarget::System(_), ..
        } if shared => Some("it names the target's database, and this copy has another name"),
        _ => None,
    }
}

pub(super) fn skipped(why: &str) -> Impact {
    Impact { outside_transaction: true, skipped: Some(why.to_owned()), ..Impact::default() }
}

/// Does `work`, and returns what session `pid` locked or wanted to lock meanwhile.
pub(super) fn watch<T>(watcher: &Session, pid: i32, work: impl FnOnce() -> T) -> (Vec<Seen>, T) {
    // In the way of all that alter, index or vacuum; without it only luck would show the lock.
    if let Err(err) = stand_in_the_way(watcher) {
        log::debug!("locks are watched without holding them up: {err}");
        let _ = watcher.run("rollback");
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| look_until(watcher, pid, &done));
        let worked = work();
        done.store(true, Ordering::Release);
        (watching.join().unwrap_or_default(), worked)
    })
}

fn stand_in_the_way(watcher: &Session) -> Result<(), PgError> {
    let names = watcher.query(NAMES, &[])?;
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = names
        .iter()
        .map(|it| {
            let (schema, table) = (it.get("schema"), it.get("name"));
            format!("{}.{}", quote_identifier(schema), quote_identifier(table))
        })
        .collect();
    watcher.run(&format!("begin; lock table {} in share update exclusive mode", names.join(", ")))
}

fn look_until(watcher: &Session, pid: i32, done: &AtomicBool) -> Vec<Seen> {
    let mut all: Vec<Seen> = Vec::new();
    let mut in_the_way = true;
    loop {
        let ended = done.load(Ordering::Acquire);
        let seen = observe::locks(watcher, pid).unwrap_or_default();
        let waits = seen.iter().any(|it| !it.granted);
        for it in seen {
            if !all.contains(&it) {
                all.push(it);
            }
        }
        if in_the_way && (waits || ended) {
            let _ = watcher.run("rollback");
            in_the_way = false;
        }
        if ended {
            return all;
        }
        thread::sleep(Duration::from_millis(1));
    }
}
