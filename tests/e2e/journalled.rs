//! Outside a transaction: what is half done is named, repaired and finished, and nothing is done twice.

use migrate_core::exit::Exit;
use migrate_tests::{Background, Outcome, World};
use postgres::Client;

/// One migration outside a transaction, on the table `t` with a thousand rows.
fn world(sql: &str) -> World {
    let world = World::new().migration("1_m.sql", &up_only(sql));
    world.execute("create table t as select i, i % 10 as j from generate_series(1, 1000) as i");
    world
}

fn up_only(sql: &str) -> String {
    format!("-- migrate:up transaction:false\n{sql}\n")
}

/// A reader for whose end CONCURRENTLY must wait.
fn reader(world: &World) -> Client {
    let mut reader = world.client();
    reader.batch_execute("begin isolation level repeatable read; select count(*) from t").unwrap();
    reader
}

/// Starts `up`, and waits until it waits in a statement like `query`.
fn up_in(world: &World, query: &str) -> Background {
    let up = world.spawn("migrate-apply up");
    world.wait_for(&format!(
        "exists (select from pg_stat_activity where query ilike '{query}%' and pid <> pg_backend_pid()
                 and wait_event_type in ('Lock', 'Timeout') and datname = current_database())"
    ));
    up
}

/// Cancels the statement under way, as a person would.
fn cancel(world: &World, query: &str) {
    world.execute(&format!(
        "select pg_cancel_backend(pid) from pg_stat_activity
         where query ilike '{query}%' and datname = current_database() and pid <> pg_backend_pid()"
    ));
}

fn leftover(outcome: &Outcome) -> serde_json::Value {
    let failed = outcome.one("migration.failed");
    assert_eq!(failed["state"], "partial", "{outcome}");
    failed["leftovers"][0].clone()
}

fn indexes(world: &World) -> String {
    world.query(
        "select coalesce(string_agg(c.relname || ' ' || i.indisvalid, ', ' order by c.relname), 'none')
         from pg_index i join pg_class c on c.oid = indexrelid where indrelid = 't'::regclass",
    )
}

fn finish(world: &World) -> Outcome {
    let done = world.run("migrate-apply up").expect(Exit::Ok);
    world.assert_sound();
    let started = world.query(
        "select count(*) from _migration_history where direction = 'up' and status = 'applied'",
    );
    assert_eq!(started, "1");
    done
}

#[test]
fn a_killed_index_is_dropped_and_built_again() {
    for check in ["", "set client_connection_check_interval = 0;\n"] {
        let world = world(&format!("{check}create index concurrently t_i on t (i);"));
        let reader = reader(&world);
        let _ = up_in(&world, "create index concurrently").kill();
        drop(reader);
        let _ = finish(&world);
        assert_eq!(indexes(&world), "t_i true", "{check}");
    }
}

#[test]
fn an_index_that_an_orphan_finished_is_not_built_again() {
    let world =
        world("set client_connection_check_interval = 0;\ncreate index concurrently t_i on t (i);");
    let mut reader = reader(&world);
    let _ = up_in(&world, "create index concurrently").kill();
    reader.batch_execute("commit").unwrap();
    world.wait_for("select indisvalid from pg_index where indexrelid = 't_i'::regclass");
    let oid = world.query("select 't_i'::regclass::oid");
    let _ = finish(&world);
    assert_eq!(world.query("select 't_i'::regclass::oid"), oid);
}

#[test]
fn a_cancelled_index_is_named_with_its_repair() {
    for (unique, problem) in [("", "slows writes"), ("unique ", "rejects writes now")] {
        let statement = format!("create {unique}index concurrently");
        let world = world(&format!("{statement} t_i on t (i);"));
        let reader = reader(&world);
        let up = up_in(&world, &statement);
        cancel(&world, &statement);
        let cancelled = up.finish().expect(Exit::Partial);
        let left = leftover(&cancelled);
        assert_eq!(left["repair"], "drop index concurrently public.t_i", "{cancelled}");
        assert!(left["problem"].as_str().unwrap().contains(problem), "{cancelled}");
        assert!(cancelled.stderr.contains("drop index concurrently public.t_i"), "{cancelled}");
        assert_eq!(indexes(&world), "t_i false");
        drop(reader);
        let _ = finish(&world);
        assert_eq!(indexes(&world), "t_i true");
    }
}

#[test]
fn a_unique_index_over_duplicates_is_built_once_they_are_gone() {
    let world = world("create unique index concurrently t_j on t (j);");
    for _ in 0..2 {
        let failed = world.run("migrate-apply up").expect(Exit::Partial);
        assert_eq!(failed.one("error")["sqlstate"], "23505");
        assert_eq!(leftover(&failed)["object"], "index public.t_j");
        assert_eq!(indexes(&world), "t_j false");
    }
    world.execute("delete from t where i > 10");
    let _ = finish(&world);
    assert_eq!(indexes(&world), "t_j true");
}

#[test]
fn an_unusable_index_does_not_pass_for_one_that_exists() {
    let world = world("create index concurrently if not exists t_j on t (j);");
    let duplicates = world.client().batch_execute("create unique index concurrently t_j on t (j)");
    assert!(duplicates.is_err());
    assert_eq!(indexes(&world), "t_j false");
    let _ = finish(&world);
    assert_eq!(indexes(&world), "t_j true");
}

#[test]
fn what_reindex_left_behind_is_dropped_but_not_what_was_there() {
    let world = world("reindex index concurrently t_i;");
    world.execute("create index t_i on t (i)");
    let reader = reader(&world);
    let up = up_in(&world, "reindex");
    cancel(&world, "reindex");
    let cancelled = up.finish().expect(Exit::Partial);
    assert!(leftover(&cancelled)["repair"].as_str().unwrap().contains("t_i_ccnew"), "{cancelled}");
    drop(reader);
    let _ = finish(&world);
    assert_eq!(indexes(&world), "t_i true");
}

#[test]
fn an_old_leftover_of_reindex_is_nobody_elses_failure() {
    let world = world("reindex index concurrently t_i;");
    world.execute("create index t_i on t (i); create index t_i_ccnew on t (i)");
    world
        .execute("update pg_index set indisvalid = false where indexrelid = 't_i_ccnew'::regclass");
    let _ = finish(&world);
    assert_eq!(indexes(&world), "t_i true, t_i_ccnew false");
}

#[test]
fn a_pending_detach_is_finalized() {
    let world = World::new()
        .migration("1_m.sql", &up_only("alter table p detach partition p1 concurrently;"));
    world.execute(
        "create table p (i int) partition by range (i);
         create table p1 partition of p for values from (0) to (10); create table t (i int)",
    );
    let mut reader = world.client();
    reader.batch_execute("begin; select * from p").unwrap();
    let up = up_in(&world, "alter table p detach");
    cancel(&world, "alter table p detach");
    let cancelled = up.finish().expect(Exit::Partial);
    let repair = leftover(&cancelled)["repair"].as_str().unwrap().to_owned();
    assert!(repair.ends_with("detach partition \"p1\" finalize"), "{cancelled}");
    reader.batch_execute("commit").unwrap();
    let _ = finish(&world);
    assert_eq!(world.query("select count(*) from pg_inherits"), "0");
    assert_eq!(world.query("select to_regclass('p1')"), "p1");
}

#[test]
fn a_drop_that_was_cancelled_or_killed_is_finished() {
    for kill in [true, false] {
        let world = world("drop index concurrently t_i;");
        world.execute("create index t_i on t (i)");
        let reader = reader(&world);
        let up = up_in(&world, "drop index");
        if kill {
            let _ = up.kill();
        } else {
            cancel(&world, "drop index");
            let _ = up.finish();
        }
        drop(reader);
        let _ = finish(&world);
        assert_eq!(indexes(&world), "none", "killed: {kill}");
    }
}

#[test]
fn what_does_the_same_twice_is_run_again() {
    let world = world("vacuum t;\nalter system set log_min_messages = 'warning';\ncluster;")
        .env("MIGRATE_FAULT", "statement_run:2");
    assert_eq!(world.run("migrate-apply up").status.code(), None);
    let resumed = finish(&world.without_env("MIGRATE_FAULT"));
    assert_eq!(resumed.one("migration.started")["resumed_at"], 2);
    assert_eq!(resumed.one("migration.applied")["statements"], 3);
}

#[test]
fn a_procedure_that_commits_and_was_interrupted_is_for_a_person_to_judge() {
    let sql = "insert into t values (-1, 0);\ncall work();\ninsert into t values (-2, 0);";
    let world = world(sql).env("MIGRATE_FAULT", "statement_run");
    world.execute(
        "create procedure work() language plpgsql as
         $$ begin insert into t values (0, 0); commit; insert into t values (0, 1); end $$",
    );
    assert_eq!(world.run("migrate-apply up").status.code(), None);
    let world = world.without_env("MIGRATE_FAULT");
    for _ in 0..2 {
        let unclear = world.run("migrate-apply up").expect(Exit::Refused);
        assert_eq!(unclear.one("error")["kind"], "outcome_unclear");
        assert!(unclear.stderr.contains("statement 2 (CALL)"), "{unclear}");
    }
    assert_eq!(world.query("select count(*) from t where i <= 0"), "3");
    world.execute("insert into t values (-2, 0)");
    let _ = world.run("migrate-apply resolve 1 --as applied --reason looked").expect(Exit::Ok);
    world.assert_sound();
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
}

#[test]
fn settings_hold_on_when_a_run_is_resumed() {
    let world = world(
        "set search_path = other;\nset application.mark = 'kept';\ninsert into t values (1);\n\
         insert into t select length(current_setting('application.mark'));\n\
         create index concurrently t_i on t (i);",
    )
    .env("MIGRATE_FAULT", "before_commit:4");
    world.execute("create schema other; create table other.t (i int)");
    assert_eq!(world.run("migrate-apply up").status.code(), None);
    let world = world.without_env("MIGRATE_FAULT");
    let _ = finish(&world);
    assert_eq!(world.query("select string_agg(i::text, ' ' order by i) from other.t"), "1 4");
    assert_eq!(world.query("select to_regclass('other.t_i')"), "other.t_i");
}

#[test]
fn settings_in_a_block_go_with_it_when_it_is_rolled_back() {
    let world = world(
        "begin;\nset search_path = other;\nrollback;\ninsert into t values (-1, 0);\n\
         begin;\nset search_path = other;\ninsert into t values (1);\ncommit;\ninsert into t values (2);",
    );
    world.execute("create schema other; create table other.t (i int)");
    let _ = finish(&world);
    assert_eq!(world.query("select count(*) from public.t where i = -1"), "1");
    assert_eq!(world.query("select count(*) from other.t"), "2");
}

#[test]
fn what_has_run_may_not_be_edited_but_what_comes_after_may() {
    let world = world("insert into t values (-1, 0);\ninsert into nowhere values (1);");
    let failed = world.run("migrate-apply up").expect(Exit::Partial);
    assert_eq!(failed.one("migration.failed")["statements_done"], 1);

    let edited = up_only("insert into t values (-2, 0);\ninsert into t values (-3, 0);");
    let world = world.migration("1_m.sql", &edited);
    let refused = world.run("migrate-apply up").expect(Exit::Refused);
    assert_eq!(refused.one("error")["kind"], "edited_after_checkpoint");

    let transactional = "insert into t values (-1, 0);\ninsert into t values (-3, 0);\n";
    let world = world.migration("1_m.sql", transactional);
    let refused = world.run("migrate-apply up").expect(Exit::Refused);
    assert_eq!(refused.one("error")["kind"], "done_in_part");

    let mended = up_only("insert into t values (-1, 0);\ninsert into t values (-3, 0);");
    let world = world.migration("1_m.sql", &mended);
    let resumed = finish(&world);
    assert_eq!(resumed.one("migration.started")["resumed_at"], 2);
    assert_eq!(world.query("select string_agg(i::text, ' ') from t where i < 0"), "-1 -3");
    let status = world.run("migrate-apply status").expect(Exit::Ok);
    assert_eq!(status.one("migration")["state"], "applied", "{status}");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
}

#[test]
fn what_is_done_in_part_is_not_passed_over_when_its_file_is_gone() {
    let world = world("insert into t values (-1, 0);\ninsert into nowhere values (1);")
        .migration("2_next.sql", "create table next ()");
    let _ = world.run("migrate-apply up").expect(Exit::Partial);
    std::fs::remove_file(world.path("migrations/1_m.sql")).unwrap();
    let refused = world.run("migrate-apply up").expect(Exit::Refused);
    assert!(refused.stderr.contains("is done in part"), "{refused}");
    assert_eq!(world.query("select to_regclass('next')"), "null");
}

#[test]
fn a_script_outside_a_transaction_cannot_rewrite_the_history() {
    for harm in [
        "insert into _migration_scripts values (1, '', 1, true, '', '');",
        "update _migration_history set status = 'applied';",
        "truncate _migration_progress;",
        "begin;\ninsert into t values (-1, 0);\ndrop table _migration_scripts;\ncommit;",
    ] {
        let world = world(&format!("insert into t values (-1, 0);\n{harm}"));
        let failed = world.run("migrate-apply up").expect(Exit::Partial);
        assert!(failed.stderr.contains("the ledger's own tables"), "{harm}: {failed}");
        assert_eq!(world.query("select count(*) from t where i < 0"), "1", "{harm}");
        assert_eq!(world.query("select status from _migration_history"), "failed", "{harm}");
        world.assert_sound();
    }
}

#[test]
fn a_migration_that_is_rolled_back_in_part_is_not_called_applied() {
    let world = world(
        "create index concurrently one on t (i);\ncreate index concurrently two on t (j);\n\
         -- migrate:down transaction:false\n\
         drop index concurrently two;\ndrop index concurrently one;",
    );
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    world.execute("alter index one rename to other");
    let _ = world.run("migrate-apply down").expect(Exit::Partial);
    let status = world.run("migrate-apply status --exit-code").expect(Exit::No);
    assert_eq!(status.one("migration")["state"], "failed");
    let invalid = world.run("migrate-apply validate").expect(Exit::No);
    assert_eq!(invalid.one("finding")["message"], "migration 1 `m` is rolled back in part");
    assert_eq!(invalid.one("validation")["pending"].as_array().unwrap().len(), 0);
    let refused = world.run("migrate-apply up").expect(Exit::Refused);
    assert_eq!(refused.one("error")["kind"], "half_rolled_back");

    world.execute("alter index other rename to one");
    let _ = world.run("migrate-apply down").expect(Exit::Ok);
    assert_eq!(indexes(&world), "none");
    assert_eq!(world.run("migrate-apply status").one("migration")["state"], "pending");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(indexes(&world), "one true, two true");
}
