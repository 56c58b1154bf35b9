//! `activity`: what runs now, and who waits for whom; reads only.

use migrate_core::{
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    record::{Activity, Record},
    sql::secret,
};
use tokio_postgres::Row;

use crate::place::Place;

const ACTIVITY: &str = include_str!("../sql/activity.sql");
/// Enough to recognise a query by.
const QUERY_CHARACTERS: usize = 1_000;

pub(crate) const HELP: &str = "\
Those who wait stand below the one that they wait for. A role without
pg_read_all_stats sees that others are there, but not what they do.

Examples:
  migrate-check activity                         what runs, and who waits for whom
  migrate-check activity --blocked               only who waits, and for whom
  migrate-check activity | jq -r 'select(.blocks > 0 and .depth == 0) | .pid'";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only sessions that wait for a lock, and those that they wait for
    #[arg(long)]
    blocked: bool,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let session = Place::find("activity", ctx)?.session(ctx)?;
    let rows =
        session.query_once(ACTIVITY, &[]).map_err(Error::database("read what sessions do"))?;
    let mut rows = in_trees(rows.iter().map(activity).collect());
    if args.blocked {
        rows.retain(|it| it.depth > 0 || it.blocks > 0);
    }
    if rows.is_empty() {
        log::info!("nothing runs in `{}`", session.facts().database);
    }
    ctx.emit_together(rows.into_iter().map(Record::Activity).collect());
    Ok(Exit::Ok)
}

fn activity(row: &Row) -> Activity {
    let text = |column: &str| row.get::<_, Option<String>>(column).filter(|it| !it.is_empty());
    let background = row.get::<_, Option<&str>>("backend_type") == Some("autovacuum worker");
    let hidden = if background { "autovacuum" } else { "unknown" };
    Activity {
        pid: row.get("pid"),
        user: text("user"),
        database: text("database"),
        application: text("application"),
        client: text("client"),
        state: text("state").unwrap_or_else(|| hidden.to_owned()),
        wait: text("wait"),
        age_ms: row.get("age_ms"),
        transaction_age_ms: row.get("transaction_age_ms"),
        blocked_by: row.get("blocked_by"),
        waited_ms: row.get("waited_ms"),
        blocks: 0,
        depth: 0,
        lock: text("lock"),
        query: text("query").map(|it| secret::shown(&it, QUERY_CHARACTERS)),
    }
}

/// Puts everybody below the first one that they wait for; a circle, which the server is about to
/// break, begins with any of its members.
fn in_trees(rows: Vec<Activity>) -> Vec<Activity> {
    let mut rest: Vec<Option<Activity>> = rows.into_iter().map(Some).collect();
    let parents: Vec<Option<i32>> = rest.iter().flatten().map(|it| parent(it, &rest)).collect();
    let pids: Vec<i32> = rest.iter().flatten().map(|it| it.pid).collect();
    let is_root = |at: usize| parents[at].is_none_or(|parent| !pids.contains(&parent));
    // Those that keep most others waiting come first.
    let mut roots: Vec<usize> = (0..rest.len()).filter(|&it| is_root(it)).collect();
    roots.sort_by_key(|&it| usize::from(!parents.contains(&Some(pids[it]))));
    let mut placed = Vec::new();
    for root in roots.into_iter().chain(0..rest.len()) {
        place(root, 0, &parents, &pids, &mut rest, &mut placed);
    }
    placed
}

/// Of several, one that waits too: it stands nearer in the queue.
fn parent(session: &Activity, all: &[Option<Activity>]) -> Option<i32> {
    let waits =
        |pid: &&i32| all.iter().flatten().any(|it| it.pid == **pid && !it.blocked_by.is_empty());
    session.blocked_by.iter().find(waits).or(session.blocked_by.first()).copied()
}

/// Returns how many stand below.
fn place(
    at: usize,
    depth: u32,
    parents: &[Option<i32>],
    pids: &[i32],
    rest: &mut [Option<Activity>],
    placed: &mut Vec<Activity>,
) -> u32 {
    let Some(row) = rest[at].take() else { return 0 };
    let here = placed.len();
    placed.push(Activity { depth, ..row });
    let mut below = 0;
    for child in 0..parents.len() {
        if parents[child] == Some(pids[at]) && rest[child].is_some() {
            below += 1 + place(child, depth + 1, parents, pids, rest, placed);
        }
    }
    placed[here].blocks = below;
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(pid: i32, blocked_by: &[i32]) -> Activity {
        Activity {
            pid,
            user: None,
            database: None,
            application: None,
            client: None,
            state: "active".to_owned(),
            wait: None,
            age_ms: None,
            transaction_age_ms: None,
            blocked_by: blocked_by.to_vec(),
            waited_ms: None,
            blocks: 0,
            depth: 0,
            lock: None,
            query: None,
        }
    }

    fn trees(sessions: &[(i32, &[i32])]) -> Vec<(i32, u32, u32)> {
        let rows = sessions.iter().map(|(pid, by)| session(*pid, by)).collect();
        in_trees(rows).iter().map(|it| (it.pid, it.depth, it.blocks)).collect()
    }

    #[test]
    fn who_waits_stands_below_the_one_that_it_waits_for() {
        let sessions: &[(i32, &[i32])] = &[(1, &[]), (4, &[3]), (2, &[]), (3, &[2]), (5, &[3, 2])];
        assert_eq!(trees(sessions), [(2, 0, 3), (3, 1, 2), (4, 2, 0), (5, 2, 0), (1, 0, 0)]);
    }

    #[test]
    fn a_circle_and_a_blocker_that_is_not_seen_lose_nobody() {
        assert_eq!(trees(&[(1, &[2]), (2, &[1])]), [(1, 0, 1), (2, 1, 0)]);
        assert_eq!(trees(&[(1, &[99])]), [(1, 0, 0)]);
    }
}
