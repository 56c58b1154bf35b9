//! `migrate-audit log`, `history`, `note` and `export`: what is in the log, as people ask for it.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use migrate_core::{exit::Exit, record::Line};
use migrate_tests::World;
use rustix::process::Signal;
use serde_json::Value;

fn world() -> World {
    let world = World::new()
        .migration("1_a.sql", "-- migrate:up\ncreate table a ();\n-- migrate:down\ndrop table a;")
        .migration("2_b.sql", "create table b ()");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let _ = world.run("migrate-audit note 'looked at it' --subject 2").expect(Exit::Ok);
    world
}

fn ids(world: &World, flags: &str) -> Vec<i64> {
    let outcome = world.run(&format!("migrate-audit log {flags}")).expect(Exit::Ok);
    outcome.records().iter().map(|it| it["id"].as_i64().unwrap()).collect()
}

#[test]
fn the_log_shows_the_newest_rows_at_the_end() {
    let world = world();
    let last: i64 = world.query("select max(id) from _migration_audit_log").parse().unwrap();
    assert_eq!(ids(&world, ""), (1..=last).collect::<Vec<_>>());
    assert_eq!(ids(&world, "--limit 2"), [last - 1, last]);
    assert_eq!(ids(&world, "--limit 0"), ids(&world, ""));
    let row = world.run("migrate-audit log -n 1").expect(Exit::Ok).one("audit");
    assert_eq!(row["action"], "audit.noted");
    assert_eq!(row["subject"], "2");
    assert_eq!(row["details"]["text"], "looked at it");
    assert_eq!(row["actor"], "postgres");
    let hash = "select encode(hash, 'hex') from _migration_audit_log order by id desc limit 1";
    assert_eq!(row["hash"], world.query(hash));
}

#[test]
fn filters_choose_rows_by_what_they_say_and_when() {
    let world = world();
    let count = |flags: &str| ids(&world, flags).len();
    assert_eq!(count("--action migration.applied"), 2);
    assert_eq!(count("--action 'migration.*'"), 2);
    assert_eq!(count("--action 'm*%'"), 0, "only `*` stands for anything");
    assert_eq!(count("--action migration"), 0);
    assert_eq!(count("--subject 2"), 2);
    assert_eq!(count("--subject 2 --action audit.noted"), 1);
    assert_eq!(count("--actor nobody"), 0);
    assert_eq!(count("--actor postgres"), count(""));
    assert_eq!(count("--since 1h"), count(""));
    assert_eq!(count("--until 1h"), 0);
    assert_eq!(count("--since 2099-01-01"), 0);
    let between =
        "select to_char(timestamp at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
                   from _migration_audit_log where id = 4";
    let at = world.query(between);
    assert_eq!(ids(&world, &format!("--since {at} --limit 1000"))[0], 4);
    assert_eq!(ids(&world, &format!("--until {at}")), [1, 2, 3]);
    let outcome = world.run("migrate-audit log --since yesterday-ish").expect(Exit::Usage);
    assert!(outcome.stderr.contains("`yesterday-ish` is no time"), "{outcome}");
}

#[test]
fn rows_are_found_by_their_time_in_a_long_log() {
    let world = World::new();
    let _ = world.run("migrate-audit note first").expect(Exit::Ok);
    // A row a minute, for two days; the hashes are of no matter here.
    world.execute(
        "insert into _migration_audit_log
         select n, timestamptz '2026-03-01 00:00Z' + n * interval '1 minute', 'a', 'audit.noted', null, null,
                '{}', '{}', sha256(n::text::bytea), sha256((-n)::text::bytea)
         from generate_series(3, 2880) as n",
    );
    world.execute(
        "alter table _migration_audit_log disable trigger user; delete from _migration_audit_log where id < 3",
    );
    assert_eq!(
        ids(&world, "--since 2026-03-02T00:00:00Z --until '2026-03-02 00:03'"),
        [1440, 1441, 1442]
    );
    assert_eq!(ids(&world, "--until 2026-03-01T00:05:00Z"), [3, 4]);
    assert_eq!(ids(&world, "--limit 0").len(), 2878);
}

#[test]
fn following_shows_rows_as_they_come_until_a_signal() {
    let world = world();
    let mut child = Command::new("sh")
        .args(["-c", "exec migrate-audit log --limit 1 --follow"])
        .env("DATABASE_URL", world.url())
        .env("PATH", path(&world))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["details"]["text"], "looked at it");
    for text in ["one", "two"] {
        let _ = world.run(&format!("migrate-audit note {text}")).expect(Exit::Ok);
        assert_eq!(next()["details"]["text"], text);
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let csv = world.run("migrate-audit log --follow --output csv").expect(Exit::Usage);
    assert!(csv.stderr.contains("`--follow` has no end"), "{csv}");
}

/// Where the tools are.
fn path(world: &World) -> String {
    world.shell("printf %s \"$PATH\"").stdout
}

#[test]
fn a_log_that_is_followed_by_nobody_ends() {
    let world = world();
    let outcome = world.shell("migrate-audit log --follow | head -1");
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome}");
}

#[test]
fn a_role_that_may_only_read_sees_log_and_history_and_verifies_both() {
    let world = world();
    let role = format!("reader_{}", world.query("current_database()"));
    world.execute(&format!(
        "create role {role} login; grant select on all tables in schema public to {role}"
    ));
    let world = World::at(world.url().replace("user=postgres", &format!("user={role}")));
    for command in ["log", "history", "verify", "export"] {
        let outcome = world.run(&format!("migrate-audit {command}")).expect(Exit::Ok);
        assert!(!outcome.stdout.is_empty(), "{command}");
    }
    let refused = world.run("migrate-audit note 'may I?'").expect(Exit::Unavailable);
    assert!(refused.stderr.contains("this role lacks a right"), "{refused}");
}

#[test]
fn the_history_shows_the_last_runs_the_newest_at_the_end() {
    let world = world();
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let rows = world.run("migrate-audit history").expect(Exit::Ok).of_type("history");
    let versions: Vec<&str> = rows.iter().map(|it| it["version"].as_str().unwrap()).collect();
    assert_eq!(versions, ["1", "2"]);
    assert_eq!(rows[1]["status"], "applied");
    assert_eq!(rows[1]["applied_by"], "postgres");
    let last = world.run("migrate-audit history --limit 1").expect(Exit::Ok).one("history");
    assert_eq!(last["version"], "2");
    let csv = world.run("migrate-audit history --output csv").expect(Exit::Ok).stdout;
    assert!(csv.starts_with("v,at,tool,type,id,version,name,direction,status,"), "{csv}");
    let text = world.run("migrate-audit history --output text").expect(Exit::Ok).stdout;
    assert!(text.starts_with("ID  VERSION  NAME  DIRECTION  STATUS"), "{text}");
}

#[test]
fn text_and_csv_of_the_log_are_one_row_a_line() {
    let world = world();
    let _ = world.run("migrate-audit note 'a\nb \u{1b}[2J, \"c\"'").expect(Exit::Ok);
    let text = world.run("migrate-audit log --output text").expect(Exit::Ok).stdout;
    let rows: usize = world.query("select count(*) from _migration_audit_log").parse().unwrap();
    assert_eq!(text.lines().count(), rows, "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert!(text.contains("migration.applied  ✓ 2 b applied in "), "{text}");
    let csv = world.run("migrate-audit log --output csv").expect(Exit::Ok).stdout;
    assert!(
        csv.starts_with("v,at,tool,type,id,timestamp,actor,action,subject,run_id,details,hash"),
        "{csv}"
    );
}

#[test]
fn a_note_is_written_to_a_database_that_has_no_ledger_yet() {
    let world = World::new();
    let noted = world.run("migrate-audit note '  first contact  '").expect(Exit::Ok);
    assert_eq!(noted.one("audit.noted")["text"], "first contact");
    assert_eq!(
        world.query("select string_agg(action, ' ' order by id) from _migration_audit_log"),
        "ledger.created audit.noted"
    );
    world.assert_sound();
    for empty in ["''", "' '"] {
        let _ = world.run(&format!("migrate-audit note {empty}")).expect(Exit::Usage);
    }
    let _ = world.run(&format!("migrate-audit note {}", "x".repeat(70_000))).expect(Exit::Usage);
}

#[test]
fn an_export_is_records_with_all_that_is_hashed_and_verify_reads_it() {
    let world = world();
    let export = world.run("migrate-audit export").expect(Exit::Ok);
    let rows: usize = world.query("select count(*) from _migration_audit_log").parse().unwrap();
    assert_eq!(export.records().len(), rows);
    for line in export.stdout.lines() {
        let record: Line = serde_json::from_str(line).unwrap();
        assert_eq!(record.record.kind(), "audit");
    }
    let last = export.records().pop().unwrap();
    let canonical = "select canonical from _migration_audit_log order by id desc limit 1";
    assert_eq!(last["canonical"], world.query(canonical));
    let csv = world.run("migrate-audit export --format csv").expect(Exit::Ok).stdout;
    assert!(
        csv.starts_with(
            "id,timestamp,actor,action,subject,run_id,details,canonical,prev_hash,hash\n"
        ),
        "{csv}"
    );
    assert_eq!(world.run("migrate-audit export --since 2099-01-01").expect(Exit::Ok).stdout, "");
    let _ = world.run_with_closed_stdout("migrate-audit export").expect(Exit::Ok);
    let world = world.file("all.jsonl", &export.stdout);
    let both = world.run("migrate-audit verify --archive all.jsonl").expect(Exit::Usage);
    assert!(both.stderr.contains("the archive ends with row"), "{both}");
}

#[test]
fn twenty_writers_at_a_time_make_one_chain_without_a_hole() {
    let world = world().migration("3_c.sql", "select pg_sleep(1); create table c ()");
    let up = world.spawn("migrate-apply up");
    world.wait_for("exists (select from pg_stat_activity where query like '%pg_sleep(1)%' and pid <> pg_backend_pid())");
    let writers: Vec<_> =
        (0..20).map(|n| world.spawn(&format!("migrate-audit note 'from writer {n}'"))).collect();
    for writer in writers {
        let _ = writer.finish().expect(Exit::Ok);
    }
    let _ = up.finish().expect(Exit::Ok);
    let _ = world.run("migrate-audit verify").expect(Exit::Ok);
    let noted =
        "select count(*) from _migration_audit_log where details ->> 'text' like 'from writer%'";
    assert_eq!(world.query(noted), "20");
    world.assert_sound();
}

#[test]
fn a_migration_that_was_rolled_back_leaves_its_attempt_in_the_log() {
    let world = world().migration("3_c.sql", "create table c (); select 1 / 0");
    let _ = world.run("migrate-apply up").expect(Exit::Failed);
    assert_eq!(ids(&world, "--action migration.failed --subject 3").len(), 1);
    assert_eq!(ids(&world, "--action apply.started").len(), 2);
    let _ = world.run("migrate-audit verify").expect(Exit::Ok);
}
