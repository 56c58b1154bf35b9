//! Batched changes: what they change, by which keys, and what they refuse.

use migrate_core::exit::Exit;
use migrate_tests::{Outcome, World};

/// A world whose table is there before the batch.
fn world(table: &str) -> World {
    World::new().migration("1_table.sql", table)
}

/// Each range of a size that makes for several.
fn batch(world: World, line: &str, statement: &str) -> World {
    world.migration("2_batch.sql", &format!("-- migrate:batch {line}\n{statement};\n"))
}

#[track_caller]
fn up(world: &World) -> Outcome {
    let outcome = world.run("migrate-apply up").expect(Exit::Ok);
    world.assert_sound();
    outcome
}

/// Ranges of the last batched statement.
fn ranges(world: &World) -> String {
    world.query(
        "select checkpoint ->> 'ranges' from _migration_progress where checkpoint is not null
         order by history_id desc, statement desc limit 1",
    )
}

const INT: &str = "create table t (id int primary key, n int not null default 0);\n";

#[test]
fn rows_are_changed_range_by_range_whatever_the_gaps() {
    let world =
        world(&format!("{INT}insert into t select i * i * i from generate_series(-50, 50) as i"));
    let world = batch(world, "table=t key=id size=20", "update t set n = n + 1 where {batch}");
    let outcome = up(&world);
    assert_eq!(world.query("select string_agg(distinct n::text, ',') from t"), "1");
    let done = outcome.of_type("statement.done").pop().unwrap();
    assert_eq!((&done["command"], &done["rows"]), (&"UPDATE".into(), &101.into()), "{outcome}");
    assert_eq!(outcome.of_type("migration.started")[1]["transaction"], false);
    // 20, then at most twice as many each time.
    assert_eq!(ranges(&world), "3", "{outcome}");
    let left = world.query("select status || rows from _migration_progress");
    assert_eq!(left, "done101");
}

#[test]
fn keys_may_be_composite_text_or_uuid() {
    for (table, key) in [
        (
            "create table t (a int, b text, n int not null default 0, primary key (a, b));
             insert into t select i / 30, i::text from generate_series(1, 100) as i",
            "a,b",
        ),
        (
            "create table t (k text not null unique, n int not null default 0);
             insert into t select repeat(chr(39), i % 3) || E'\\\\' || i from generate_series(1, 100) as i",
            "k",
        ),
        (
            "create table t (k uuid primary key, n int not null default 0);
             insert into t select gen_random_uuid() from generate_series(1, 100) as i",
            "k",
        ),
        (
            "create table t (k timestamptz primary key, d float8 not null, n int not null default 0);
             create unique index on t (d desc, k desc);
             insert into t select now() + i * interval '0.1 s', i / 7.0 from generate_series(1, 100) as i",
            "d,k",
        ),
        (
            "create table t (k numeric, n int not null default 0, primary key (k)) partition by range (k);
             create table t1 partition of t for values from (minvalue) to (50);
             create table t2 partition of t for values from (50) to (maxvalue);
             insert into t select i from generate_series(1, 100) as i",
            "k",
        ),
        (
            "alter role current_user in database {} set intervalstyle = sql_standard;
             create table t (k interval primary key, n int not null default 0);
             insert into t select i * interval '-1 mon 3 days 00:00:00.1' + interval '2 days'
             from generate_series(1, 100) as i",
            "k",
        ),
    ] {
        let fresh = World::new();
        let table = table.replace("{}", &fresh.query("current_database()"));
        let world = fresh.migration("1_table.sql", &table);
        let line = format!("table=t key={key} size=10");
        let world = batch(world, &line, "update t as o set n = o.n + 1 where true and {batch}");
        let _ = up(&world);
        let counted = world.query("select min(n) || ' ' || max(n) || ' ' || count(*) from t");
        assert_eq!(counted, "1 1 100", "{key}");
        assert_eq!(ranges(&world), "4", "{key}");
    }
}

#[test]
fn odd_names_are_quoted() {
    let world = world(
        "create schema \"My Schema\";
         create table \"My Schema\".\"the \"\"t\"\"\" (\"Key, ü\" int primary key, n int default 0);
         insert into \"My Schema\".\"the \"\"t\"\"\" select generate_series(1, 30)",
    );
    let line = r#"table="My Schema"."the ""t""" key="Key, ü" size=10"#;
    let world =
        batch(world, line, r#"update "My Schema"."the ""t""" "O" set n = n + 1 where {batch}"#);
    let _ = up(&world);
    let counted = world.query(r#"select sum(n) from "My Schema"."the ""t""""#);
    assert_eq!((counted, ranges(&world)), ("30".to_owned(), "2".to_owned()));
}

#[test]
fn an_empty_table_and_one_row_are_done_at_once() {
    for (rows, expected) in [("0", "1"), ("1", "1")] {
        let world = world(&format!("{INT}insert into t select generate_series(1, {rows})"));
        let world = batch(world, "table=t key=id", "update t set n = n + 1 where {batch}");
        let outcome = up(&world);
        assert_eq!(world.query("select count(*) from t where n = 1"), rows);
        assert_eq!(ranges(&world), expected, "{outcome}");
        assert_eq!(world.run("migrate-apply up").expect(Exit::Ok).types(), ["apply.finished"]);
    }
}

#[test]
fn rows_are_deleted_copied_and_other_statements_run_before_and_after() {
    let world = world(&format!("{INT}insert into t select generate_series(1, 100)")).migration(
        "2_archive.sql",
        "create table old (id int, mark text);\n\
         set my.mark = 'moved';\n\
         -- migrate:batch table=t key=id size=10\n\
         insert into old (id, mark) select o.id, current_setting('my.mark') from t o\n\
         where o.id % 2 = 0 and {batch};\n\
         -- migrate:batch table=t key=id size=10\n\
         delete from t using old where old.id = t.id and {batch} returning t.id;\n\
         create index concurrently old_id on old (id);\n\
         insert into old values (0, 'after');\n",
    );
    let outcome = up(&world);
    let counted = world.query(
        "select (select count(*) || ' ' || min(mark) from old where id > 0) || ' ' || (select count(*) from t)
         || ' ' || (select count(*) from old where id = 0)",
    );
    assert_eq!(counted, "50 moved 50 1", "{outcome}");
    let rows: Vec<_> =
        outcome.of_type("statement.done").iter().map(|it| it["rows"].clone()).collect();
    assert_eq!(rows[4..6], [50, 50], "{outcome}");
}

#[test]
fn down_may_be_batched_too() {
    let world = world(&format!("{INT}insert into t select generate_series(1, 50)")).migration(
        "2_batch.sql",
        "-- migrate:up\n\
         -- migrate:batch table=t key=id size=10\n\
         update t set n = n + 1 where {batch};\n\
         -- migrate:down\n\
         -- migrate:batch table=t key=id size=10\n\
         update t set n = n - 5 where {batch};\n",
    );
    let _ = up(&world);
    let dry = world.run("migrate-apply down --dry-run").expect(Exit::Ok);
    assert_eq!(dry.one("dry_run.finished")["statements"], 1);
    let down = world.run("migrate-apply down").expect(Exit::Ok);
    assert_eq!(down.one("migration.rolled_back")["transaction"], false);
    assert_eq!(world.query("select min(n) || ' ' || max(n) from t"), "-4 -4");
    assert_eq!(ranges(&world), "3");
    world.assert_sound();
}

#[test]
fn rows_behind_the_greatest_key_at_the_start_are_left_alone() {
    // Each change of a row makes a new one behind all others.
    let world = world(
        "create table t (id serial primary key, n int not null default 0);
         insert into t (n) select 0 from generate_series(1, 50);
         create function more() returns trigger language plpgsql as
         'begin insert into t (n) values (7); return null; end';
         create trigger more after update on t for each row execute function more()",
    );
    let world = batch(world, "table=t key=id size=10", "update t set n = n + 1 where {batch}");
    let _ = up(&world);
    let counted = world.query(
        "select string_agg(n || 'x' || c, ' ' order by n) from
                               (select n, count(*) as c from t group by n) as x",
    );
    assert_eq!(counted, "1x50 7x50");
}

#[test]
fn a_table_without_a_key_to_walk_along_is_refused_and_the_message_says_what_to_do() {
    let unchanged = |table: &str, line: &str, message: &str, hint: &str| {
        let world = batch(world(table), line, "update t set n = 1 where {batch}");
        let outcome = world.run("migrate-apply up").expect(Exit::Refused);
        let error = outcome.one("error");
        assert_eq!(error["kind"], "batch_key", "{outcome}");
        assert_eq!(error["message"], format!("2_batch.sql:1:1: {message}"), "{outcome}");
        assert_eq!(error["hint"], hint, "{outcome}");
        assert_eq!(outcome.one("migration.failed")["state"], "rolled_back");
        assert_eq!(world.query("select count(*) from _migration_progress"), "0");
        world
    };
    let _ = unchanged(
        "create table t (id int unique, n int)",
        "table=t key=id",
        "the key's column `id` may be null, and no range holds such a row",
        "use another key, or: alter table public.t alter column \"id\" set not null",
    );
    let _ = unchanged(
        "create table t (id int primary key, m int not null, n int)",
        "table=t key=m,id",
        "`t` has no unique index on the batch's key (m, id)",
        "create unique index concurrently on public.t (\"m\", \"id\")",
    );
    let _ = unchanged(
        "create table t (id int not null, n int); create unique index on t (id) where n > 0",
        "table=t key=id",
        "`t` has no unique index on the batch's key (id)",
        "create unique index concurrently on public.t (\"id\")",
    );
    let _ = unchanged(
        "create table t (id int primary key, n int)",
        "table=t key=no",
        "`t` has no column `no`",
        "key= names columns of the table, separated by commas",
    );
    let _ = unchanged(
        "create table p (id int primary key, n int); create view t as select * from p",
        "table=t key=id",
        "`t` is a view, and has no key to cut ranges by",
        "batch the table that is behind it",
    );
    let _ = unchanged(
        "create table t (id int primary key, n int); create table c () inherits (t)",
        "table=t key=id",
        "other tables inherit from `t`, and share no index with it",
        "give each of them a batch of its own",
    );
    let _ = unchanged(
        "create domain price as money; create table t (id price primary key, n int)",
        "table=t key=id",
        "the batch's key has the type public.price, whose text depends on settings",
        "use another key: a checkpoint keeps keys as texts",
    );
    let world = unchanged(
        "create table u (id int primary key, n int)",
        "table=t key=id",
        "the table `t` of the batch is not there",
        "name it as the statement does, with its schema if need be",
    );
    world.execute("alter table u rename to t; insert into t values (1)");
    let _ = up(&world);
    assert_eq!(world.query("select n from t"), "1");
}

#[test]
fn a_statement_that_cannot_be_cut_is_refused_before_anything_runs() {
    let world = batch(world(INT), "table=t key=id", "update t set n = 1 where n = 0 or {batch}");
    let outcome = world.run("migrate-apply up").expect(Exit::Usage);
    let message = &outcome.one("error")["message"];
    assert_eq!(message, "2_batch.sql:2:1: `{batch}` has to hold for every row", "{outcome}");
    assert_eq!(world.query("select to_regclass('t') is null"), "true");
    let outcome = world.run("migrate-apply validate").expect(Exit::No);
    let findings = outcome.of_type("finding");
    assert!(findings.iter().any(|it| it["message"] == *message), "{outcome}");
}

#[test]
fn a_query_that_makes_one_row_of_many_is_refused_but_not_one_for_each_row() {
    let table = format!(
        "{INT}insert into t select generate_series(1, 50);
         create schema app; create aggregate app.total (int) (sfunc = int4pl, stype = int);
         create table s (id int, n bigint)"
    );
    for (call, name) in [("coalesce(max(t.id), 0)", "max"), ("app.Total(id)", "total")] {
        let statement = format!("insert into s (n) select {call} from t where {{batch}}");
        let world = batch(world(&table), "table=t key=id", &statement);
        let refused = world.run("migrate-apply up").expect(Exit::Refused);
        let message = format!("2_batch.sql:1:1: each range would do its own `{name}`");
        assert_eq!(refused.one("error")["message"], message, "{refused}");
        assert_eq!(world.query("select count(*) from s"), "0");
    }
    let each = "insert into s select t.id, (select max(id) from t) from t where {batch}";
    let world = batch(world(&table), "table=t key=id size=10", each);
    let _ = up(&world);
    assert_eq!(world.query("select count(*) || ' ' || min(n) from s"), "50 50");
}

#[test]
fn a_batch_is_no_part_of_one_transaction_and_is_tried_on_a_copy() {
    let world = batch(world(INT), "table=t key=id", "update t set n = 1 where {batch}");
    let _ = world.run("migrate-apply up --steps 1").expect(Exit::Ok);
    for flag in ["--single-transaction", "--dry-run=here"] {
        let outcome = world.run(&format!("migrate-apply up {flag}")).expect(Exit::Usage);
        let message = outcome.one("error")["message"].to_string();
        assert!(message.contains("2 `batch` runs outside a transaction"), "{outcome}");
    }
    let plan = world.run("migrate-apply plan").expect(Exit::Ok);
    assert_eq!(plan.one("plan.step")["transaction"], false);
    let dry = world.run("migrate-apply up --dry-run").expect(Exit::Ok);
    assert_eq!(dry.one("statement.done")["command"], "UPDATE", "{dry}");
    let world = batch(world, "table=t key=m", "update t set n = 1 where {batch}");
    let dry = world.run("migrate-apply up --dry-run").expect(Exit::Failed);
    assert!(dry.stderr.contains("`t` has no column `m`"), "{dry}");
}

#[test]
fn an_error_in_a_later_range_leaves_the_earlier_ones_and_the_next_run_goes_on() {
    let world = world(&format!(
        "{INT}insert into t select generate_series(1, 50); alter table t add check (n < 1 or id <> 35)"
    ));
    let world = batch(world, "table=t key=id size=10", "update t set n = n + 1 where {batch}");
    let outcome = world.run("migrate-apply up").expect(Exit::Partial);
    let failed = outcome.one("migration.failed");
    assert_eq!((&failed["state"], &failed["sqlstate"]), (&"partial".into(), &"23514".into()));
    assert!(
        outcome.stderr.contains("2 ranges with 30 rows of statement 1 are done and recorded"),
        "{outcome}"
    );
    world.execute("alter table t drop constraint t_check");
    let outcome = up(&world);
    assert_eq!(world.query("select min(n) || ' ' || max(n) from t"), "1 1");
    assert_eq!(outcome.of_type("statement.done")[0]["rows"], 50, "{outcome}");
}
