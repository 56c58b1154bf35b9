//! Nothing that a file sets or leaves in the session reaches the next one, or the ledger.

use migrate_core::exit::Exit;
use migrate_tests::World;

const HISTORY: &str =
    "select string_agg(version || status, ' ' order by id) from public._migration_history";

#[test]
fn settings_and_roles_of_a_file_end_with_it() {
    let world = World::new();
    let role = world.query("'plain_' || current_database()");
    world.execute(&format!("create role {role}"));
    let seen = "select concat_ws(' ', current_user, session_user, current_setting('search_path'),
        current_setting('session_replication_role'), current_setting('synchronous_commit'),
        current_setting('timezone'), current_setting('standard_conforming_strings'),
        current_setting('row_security'), current_setting('default_transaction_isolation'),
        coalesce(current_setting('app.flag', true), '')) as seen";
    let world = world
        .migration("1_before.sql", &format!("create table before as {seen}"))
        .migration(
            "2_settings.sql",
            &format!(
                "set search_path = nowhere; set synchronous_commit = off;
                 set session_replication_role = replica; set timezone = 'Asia/Kolkata';
                 set row_security = off; set default_transaction_isolation = 'serializable';
                 select set_config('app.flag', 'up', false); set statement_timeout = '1ms';
                 reset statement_timeout; set standard_conforming_strings = off; set role {role};"
            ),
        )
        .migration("3_authorization.sql", &format!("set session authorization {role}"))
        .migration("4_after.sql", &format!("create table after as {seen}"));
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(world.query(HISTORY), "1applied 2applied 3applied 4applied");
    assert_eq!(world.query("table after"), world.query("table before"));
    assert!(world.query("table after").starts_with("postgres postgres \"$user\", public origin"));
    let by = "select string_agg(distinct applied_by, ',') from _migration_history";
    assert_eq!(world.query(by), "postgres");
}

#[test]
fn tables_of_the_ledgers_names_elsewhere_take_none_of_its_rows() {
    let world = World::new()
        .migration(
            "1_temporary.sql",
            "create temporary table _migration_history (like public._migration_history);
             create temporary view _migration_audit_log as select 1 as id;
             create temporary table _migration_locks (lock_name text);
             set search_path = pg_temp, public",
        )
        .migration(
            "2_schema.sql",
            "create schema postgres; create table postgres._migration_history (i int);
             create table postgres._migration_audit_log (i int)",
        )
        .migration("3_path.sql", "set search_path = postgres; select 1 from _migration_history");
    world.execute(&format!(
        "alter database {} set search_path = postgres, public",
        database(&world)
    ));
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(world.query(HISTORY), "1applied 2applied 3applied");
    assert_eq!(world.query("select count(*) from postgres._migration_history"), "0");
    let status = world.run("migrate-apply status --exit-code").expect(Exit::Ok);
    assert_eq!(status.of_type("migration").len(), 3);
}

#[test]
fn defaults_of_the_database_do_not_reach_the_ledger_and_its_limits_stop_no_migration() {
    let world = World::new().migration(
        "1_t.sql",
        "select pg_sleep(1.2);
         create table t as select current_setting('datestyle') as style,
             current_setting('statement_timeout') || current_setting('idle_session_timeout')
             || current_setting('idle_in_transaction_session_timeout') as limits",
    );
    for setting in [
        "statement_timeout = '1s'",
        "lock_timeout = '1ms'",
        "idle_in_transaction_session_timeout = '1s'",
        "idle_session_timeout = '5s'",
        "row_security = on",
        "search_path = nowhere, public",
        "datestyle = 'German'",
        "intervalstyle = 'sql_standard'",
        "timezone = 'Asia/Kolkata'",
        "client_encoding = 'latin1'",
        "bytea_output = 'escape'",
        "standard_conforming_strings = off",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_deferrable = on",
        "session_replication_role = replica",
        "check_function_bodies = off",
        "transform_null_equals = on",
        "array_nulls = off",
        "quote_all_identifiers = on",
        "client_min_messages = 'error'",
        "client_connection_check_interval = 0",
    ] {
        world.execute(&format!("alter database {} set {setting}", database(&world)));
    }
    let started = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(started.types().last().unwrap(), "apply.finished");
    assert_eq!(world.query("select limits from t"), "000");
    // What is no limit is as it would be in psql.
    assert_eq!(world.query("select style from t"), "German, DMY");
    let _ = world.run("migrate-apply status --exit-code").expect(Exit::Ok);
    let _ = world.run("migrate-lock acquire --ttl 1m").expect(Exit::Ok);
}

#[test]
fn a_read_only_default_is_named_before_anything_is_done() {
    let world = World::new().migration("1_t.sql", "create table t ()");
    let database = database(&world);
    world.execute(&format!("alter database {database} set default_transaction_read_only = on"));
    for command in ["migrate-apply up", "migrate-lock acquire"] {
        let refused = world.run(command).expect(Exit::Refused);
        assert!(refused.stderr.contains("`default_transaction_read_only` is on"), "{refused}");
    }
    assert_eq!(world.query("to_regclass('_migration_locks') is null"), "true");
    let status = world.run("migrate-apply status").expect(Exit::Ok);
    assert_eq!(status.one("migration")["state"], "pending");
}

fn database(world: &World) -> String {
    world.query("current_database()")
}
