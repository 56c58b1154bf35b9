//! The table of facts about statements, held against what a server does.

use std::collections::BTreeMap;

use migrate_core::sql::{
    effects::{Effects, Facts, Leaves, LockOn, Relation, Work},
    lock_mode::LockMode,
    split::split,
};
use migrate_tests::World;
use postgres::Client;

const TABLES: &str = include_str!("../fixtures/statement_locks/tables.sql");
const FOUND: &str = include_str!("../fixtures/statement_locks/found.sql");
const RELATIONS: &str = include_str!("../fixtures/statement_locks/relations.sql");
const LOCKS: &str = include_str!("../fixtures/statement_locks/locks.sql");

const CASES: &str = include_str!("../fixtures/statement_locks/cases.txt");

#[test]
fn every_class_takes_the_locks_and_does_the_work_that_the_table_of_facts_says() {
    let world = World::new();
    world.execute(TABLES);
    let mut client = world.client();
    client.batch_execute(FOUND).unwrap();
    let mut wrong = String::new();
    for line in CASES.lines().filter(|it| !it.is_empty() && !it.starts_with('#')) {
        let (sql, expected) = line.split_once(" =>").unwrap();
        let expected = expected.trim();
        let seen = match observe(&mut client, sql) {
            Ok(seen) => seen,
            Err(err) => {
                wrong += &format!("{sql}\n    {err:?}\n");
                continue;
            }
        };
        if seen.to_string() != expected {
            wrong += &format!("{sql}\n    server: {seen}\n    listed: {expected}\n");
        }
        let statement = split("case", sql, 1).last().unwrap().unwrap();
        let effects = Effects::of(statement.text(sql), &statement.kind);
        for complaint in compare(&mut client, &effects, &seen) {
            wrong += &format!("{sql}\n    server: {seen}\n    {complaint}\n    {effects:?}\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Outside a transaction nothing stands in `pg_locks` any more when the statement is done. So it is
/// made to wait, and is asked what it waits for.
#[test]
fn what_runs_outside_a_transaction_waits_for_the_lock_that_the_table_of_facts_says() {
    let world = World::new();
    world.execute(TABLES);
    for (sql, table, expected) in [
        ("create index concurrently i on t (tx)", "t", LockMode::ShareUpdateExclusive),
        ("drop index concurrently t_n", "t", LockMode::ShareUpdateExclusive),
        ("reindex index concurrently t_n", "t", LockMode::ShareUpdateExclusive),
        ("reindex (concurrently) table t", "t", LockMode::ShareUpdateExclusive),
        ("alter table pt detach partition pt1 concurrently", "pt", LockMode::ShareUpdateExclusive),
        ("vacuum t", "t", LockMode::ShareUpdateExclusive),
        ("vacuum (full) t", "t", LockMode::AccessExclusive),
    ] {
        let statement = split("case", sql, 1).next().unwrap().unwrap();
        assert!(!statement.kind.runs_in_transaction(), "{sql}");
        let locks = Effects::of(sql, &statement.kind).locks();
        let mut client = world.client();
        let told: Vec<LockMode> = locks
            .iter()
            .filter(|it| resolve(&mut client, &it.relation).iter().any(|(name, _)| name == table))
            .map(|it| it.mode)
            .collect();
        assert_eq!(told, [expected], "{sql}");
        assert_eq!(waits_for(&world, sql, table), expected.name(), "{sql}");
    }
}

fn waits_for(world: &World, sql: &str, table: &str) -> String {
    let mut holder = world.client();
    // Lets through what only looks the table up.
    holder.batch_execute(&format!("begin; lock table {table} in exclusive mode")).unwrap();
    let mut waiter = world.client();
    let pid: i32 = waiter.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    std::thread::scope(|scope| {
        scope.spawn(move || waiter.batch_execute(sql).unwrap_err());
        let wanted = format!(
            "from pg_locks where pid = {pid} and not granted and relation = '{table}'::regclass"
        );
        world.wait_for(&format!("exists (select {wanted})"));
        let mode = world.query(&format!("select mode {wanted}"));
        world.execute(&format!("select pg_terminate_backend({pid})"));
        mode
    })
}

#[test]
fn what_is_interrupted_leaves_behind_what_the_table_of_facts_says() {
    let world = World::new();
    world.execute(TABLES);
    for (sql, expected) in [
        ("create index i on t (tx)", Leaves::Nothing),
        ("create index concurrently i on t (tx)", Leaves::InvalidIndex),
        ("drop index concurrently t_n", Leaves::InvalidIndex),
        ("reindex index concurrently t_n_u", Leaves::InvalidIndex),
        ("alter table pt detach partition pt1", Leaves::Nothing),
        ("alter table pq detach partition pq1 concurrently", Leaves::PendingDetach),
    ] {
        let statement = split("case", sql, 1).next().unwrap().unwrap();
        assert_eq!(Effects::of(sql, &statement.kind).leaves(), expected, "{sql}");
        let before = world.query(LEFT_OVERS);
        interrupt(&world, sql);
        let new = match expected {
            Leaves::InvalidIndex => [1, 0],
            Leaves::PendingDetach => [0, 1],
            Leaves::Nothing | Leaves::SomeDone => [0, 0],
        };
        let before: Vec<i32> = before.split(' ').map(|it| it.parse().unwrap()).collect();
        let after = format!("{} {}", before[0] + new[0], before[1] + new[1]);
        assert_eq!(world.query(LEFT_OVERS), after, "{sql}");
    }
}

/// Invalid indexes, and partitions that are neither in nor out.
const LEFT_OVERS: &str = "select concat_ws(' ', \
     (select count(*) from pg_index where not indisvalid), \
     (select count(*) from pg_inherits where inhdetachpending))";

/// Ends the session of a statement while it waits for those who use the tables.
fn interrupt(world: &World, sql: &str) {
    let mut user = world.client();
    user.batch_execute("begin; lock table t, pt, pq in row exclusive mode").unwrap();
    let mut worker = world.client();
    let pid: i32 = worker.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    std::thread::scope(|scope| {
        scope.spawn(move || worker.batch_execute(sql).unwrap_err());
        world.wait_for(&format!(
            "exists (select from pg_stat_activity where pid = {pid} and wait_event_type = 'Lock')"
        ));
        world.execute(&format!("select pg_terminate_backend({pid})"));
    });
}

#[test]
fn modes_conflict_as_on_the_server() {
    let world = World::new();
    world.execute("create table t ()");
    let (mut one, mut two) = (world.client(), world.client());
    for held in LockMode::ALL {
        one.batch_execute(&format!("begin; lock table t in {} mode", held.sql())).unwrap();
        for wanted in LockMode::ALL {
            let lock = format!("begin; lock table t in {} mode nowait", wanted.sql());
            let refused = two.batch_execute(&lock).is_err();
            two.batch_execute("rollback").unwrap();
            assert_eq!(held.conflicts_with(wanted), refused, "{held:?} and {wanted:?}");
        }
        one.batch_execute("rollback").unwrap();
    }
}

/// What a statement did to the tables that it found.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    locks: BTreeMap<String, LockMode>,
    rewritten: Vec<String>,
    scanned: Vec<String>,
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let locks = self.locks.iter().map(|(table, mode)| format!("{table} {}", mode.sql()));
        let rewritten = self.rewritten.iter().map(|it| format!("rewrites {it}"));
        let scanned = self.scanned.iter().map(|it| format!("reads {it}"));
        f.write_str(&locks.chain(rewritten).chain(scanned).collect::<Vec<_>>().join(", "))
    }
}

fn observe(client: &mut Client, sql: &str) -> Result<Seen, postgres::Error> {
    let mut seen = Seen::default();
    let mut transaction = client.transaction()?;
    let before: BTreeMap<String, i64> = transaction
        .query(LOCKS, &[])?
        .iter()
        .map(|row| (row.get("name"), row.get("scans")))
        .collect();
    transaction.batch_execute(sql)?;
    for row in transaction.query(LOCKS, &[])? {
        let name: String = row.get("name");
        let modes: Vec<String> = row.get("modes");
        let strongest = modes.iter().filter_map(|it| LockMode::from_name(it)).max();
        if let Some(mode) = strongest.filter(|it| *it >= LockMode::RowExclusive) {
            seen.locks.insert(name.clone(), mode);
        }
        let (was, file): (Option<u32>, Option<u32>) = (row.get("file_before"), row.get("file"));
        if file.is_some() && was != file {
            seen.rewritten.push(name.clone());
        } else if row.get::<_, i64>("scans") > before[&name] && seen.locks.contains_key(&name) {
            seen.scanned.push(name);
        }
    }
    transaction.rollback()?;
    Ok(seen)
}

/// What of it is not as the table of facts says.
fn compare(client: &mut Client, effects: &Effects, seen: &Seen) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut told: BTreeMap<String, Vec<Facts>> = BTreeMap::new();
    let mut left = seen.locks.clone();
    for LockOn { relation, mode } in effects.locks() {
        if relation == Relation::Unnamed {
            left.retain(|_, taken| *taken != mode);
        }
        for (table, certain) in resolve(client, &relation) {
            match seen.locks.get(&table) {
                Some(taken) if *taken == mode => drop(left.remove(&table)),
                None if !certain => {}
                // Another of its actions takes a stronger one.
                Some(taken) if *taken > mode && !certain => {}
                taken => complaints.push(format!("{table}: {mode:?} is told, {taken:?} taken")),
            }
            let actions = effects.actions.iter().filter(|it| it.relation == relation);
            told.entry(table).or_default().extend(actions.map(|it| it.class.facts()));
        }
    }
    complaints.extend(left.iter().map(|(table, mode)| format!("{table}: {mode:?} is not told")));
    for table in seen.locks.keys() {
        let all = told.remove(table).unwrap_or_default();
        let any = |is: fn(&Facts) -> bool| all.iter().any(is);
        let rewritten = seen.rewritten.contains(table);
        let read = rewritten || seen.scanned.contains(table);
        let fits = match (rewritten, read) {
            (true, _) => any(|it| may_rewrite(it.work) || it.destroys),
            (false, true) => any(|it| it.work != Work::Brief),
            (false, false) => !any(|it| it.work == Work::Scan),
        };
        if !fits || (!rewritten && any(|it| it.work == Work::Rewrite)) {
            complaints.push(format!("{table}: rewritten {rewritten}, read {read}, not as told"));
        }
    }
    complaints
}

fn may_rewrite(work: Work) -> bool {
    matches!(work, Work::Rewrite | Work::RewriteUnless(_))
}

/// The relations of the catalog that are meant, and whether it must be this one.
fn resolve(client: &mut Client, relation: &Relation) -> Vec<(String, bool)> {
    let (kind, name) = match relation {
        Relation::Unnamed => return Vec::new(),
        Relation::Named(name) => ("named", name),
        Relation::TableOfIndex(name) => ("table_of_index", name),
        Relation::ReferencedBy(name) => ("referenced_by", name),
        Relation::Referencing(name) => ("referencing", name),
        Relation::DependentsOf(name) => ("dependents_of", name),
        Relation::ParentOf(name) => ("parent_of", name),
        Relation::DefaultPartitionOf(name) => ("default_partition_of", name),
        Relation::UsersOfDomain(name) => ("users_of_domain", name),
    };
    let found = client.query(RELATIONS, &[&kind, &name.to_string()]).unwrap();
    found.iter().map(|row| (row.get("name"), row.get("certain"))).collect()
}
