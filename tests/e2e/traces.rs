//! What a script must not touch, and what of it must not reach the next one.

use migrate_core::exit::Exit;
use migrate_tests::World;

#[test]
fn a_script_that_writes_to_the_ledger_is_rolled_back() {
    for harm in [
        "delete from _migration_history",
        "update _migration_history set checksum = 'x'",
        "insert into _migration_scripts values (1, '', 1, true, '', '')",
        "truncate _migration_history cascade",
        "drop table _migration_history cascade",
        "drop table _migration_scripts",
        "drop table _migration_progress; create view _migration_progress as select 1 as history_id",
        "alter table _migration_history add column mine int",
        "alter table _migration_history drop column error",
        "alter table _migration_audit_log disable trigger all",
        "drop index _migration_history_once",
        "create role someone; alter table _migration_scripts owner to someone",
        "alter sequence _migration_locks_token_seq restart",
        "alter table _migration_audit_log disable trigger all; delete from _migration_audit_log where id > 2",
        "update _migration_locks set token = token + 1",
        "delete from _migration_locks",
        "drop table _migration_locks",
    ] {
        let world = World::new()
            .migration("1_t.sql", "create table t ()")
            .migration("2_harm.sql", &format!("create table u (); {harm};"));
        let failed = world.run("migrate-apply up").expect(Exit::Failed);
        assert_eq!(failed.one("migration.failed")["state"], "rolled_back", "{harm}");
        assert_eq!(world.query("select concat(to_regclass('t'), to_regclass('u'))"), "t", "{harm}");
        assert_eq!(
            world.query("select string_agg(status, ' ' order by id) from _migration_history"),
            "applied failed",
            "{harm}"
        );
        world.assert_sound();
        let world = world.migration("2_harm.sql", "create table u ()");
        let _ = world.run("migrate-apply up").expect(Exit::Ok);
    }
}

#[test]
fn rights_on_the_ledger_may_be_granted() {
    let world = World::new().migration(
        "1_grant.sql",
        "grant select on all tables in schema public to public; comment on table _migration_history is 'ours'",
    );
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    world.assert_sound();
}

#[test]
fn nothing_that_a_script_opened_reaches_the_next_one() {
    let opens = "
        declare held cursor with hold for select 1; listen channel; create temp table x ();
        prepare \"A b\" as select 1;
        select pg_advisory_lock(1), pg_advisory_lock(1), pg_advisory_lock_shared(-2), pg_advisory_lock(-3, 4);
        select pg_advisory_lock(12345678901);";
    let looks = "
        create table seen as
        select (select count(*) from pg_cursors) as cursors,
               (select count(*) from pg_listening_channels()) as channels,
               (select count(*) from pg_prepared_statements where from_sql and name !~ '^_migration_') as prepared,
               (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
               to_regclass('pg_temp.x') as temporary;";
    for first in ["", "-- migrate:up transaction:false\n"] {
        for second in ["", "-- migrate:up transaction:false\n"] {
            let world = World::new()
                .migration("1_opens.sql", &format!("{first}{opens}\n"))
                .migration("2_looks.sql", &format!("{second}{looks}\n"));
            let _ = world.run("migrate-apply up").expect(Exit::Ok);
            // The one lock is that of the run.
            assert_eq!(world.query("select seen::text from seen"), "(0,0,0,1,)", "{first}{second}");
        }
    }
}
