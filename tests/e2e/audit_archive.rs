//! `migrate-audit archive`: old rows go into a file, and the chain goes on from it.

use std::fs;

use migrate_core::exit::Exit;
use migrate_tests::World;

/// Three notes, of which the time of the last one is returned.
fn world() -> (World, String) {
    let world = World::new()
        .migration("1_a.sql", "-- migrate:up\ncreate table a ();\n-- migrate:down\ndrop table a;");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    for text in ["one", "two"] {
        let _ = world.run(&format!("migrate-audit note {text}")).expect(Exit::Ok);
    }
    let before = last_time(&world);
    (world, before)
}

/// Of the newest row: all others are older.
fn last_time(world: &World) -> String {
    world.query(
        "select to_char(timestamp at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
         from _migration_audit_log order by id desc limit 1",
    )
}

fn ids(world: &World) -> String {
    world.query("select min(id) || '-' || max(id) from _migration_audit_log")
}

#[test]
fn old_rows_move_into_a_file_and_verify_reads_both() {
    let (world, before) = world();
    let last: i64 = world.query("select max(id) from _migration_audit_log").parse().unwrap();
    let archived = world.run(&format!("migrate-audit archive --before {before} --to one.jsonl"));
    let archived = archived.expect(Exit::Ok).one("audit.archived");
    assert_eq!(archived["rows"], last - 1);
    assert_eq!(archived["last_id"], last - 1);
    assert_eq!(ids(&world), format!("{last}-{}", last + 1));
    let path = world.path("one.jsonl");
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count() as i64, last - 1);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let hash = world.shell("sha256sum one.jsonl | cut -d' ' -f1").stdout;
    assert_eq!(archived["sha256"], format!("sha256:{}", hash.trim()));

    let alone = world.run("migrate-audit verify").expect(Exit::Ok).one("audit.verified");
    assert_eq!((&alone["archived"], &alone["rows"]), (&(last - 1).into(), &2.into()));
    let warned = alone["warnings"][0].as_str().unwrap();
    assert!(warned.contains("rows of the history have their event in the archive"), "{warned}");
    let both = world.run("migrate-audit verify --archive one.jsonl").expect(Exit::Ok);
    assert_eq!(both.one("audit.verified")["rows"], last + 1);
    let problems = "select count(*) from _migration_audit_chain where problem is not null";
    assert_eq!(world.query(problems), "0");

    let _ = world.run("migrate-audit note three").expect(Exit::Ok);
    let again = format!("migrate-audit archive --before {} --to two.jsonl", last_time(&world));
    let _ = world.run(&again).expect(Exit::Ok);
    for files in ["one.jsonl two.jsonl", "two.jsonl one.jsonl"] {
        let all = world.run(&format!("migrate-audit verify --archive {files}")).expect(Exit::Ok);
        assert_eq!(all.one("audit.verified")["rows"], last + 3);
    }
    let _ = world.run("migrate-audit verify --archive one.jsonl").expect(Exit::No);
    let _ = world.run("migrate-apply down").expect(Exit::Ok);
    let _ = world.run("migrate-audit verify --archive one.jsonl two.jsonl").expect(Exit::Ok);
}

#[test]
fn an_archive_that_was_edited_cut_or_left_out_in_the_middle_is_found() {
    let (world, before) = world();
    let _ = world
        .run(&format!("migrate-audit archive --before {before} --to one.jsonl"))
        .expect(Exit::Ok);
    let text = fs::read_to_string(world.path("one.jsonl")).unwrap();
    let verify = |text: &str| {
        fs::write(world.path("one.jsonl"), text).unwrap();
        world.run("migrate-audit verify --archive one.jsonl")
    };
    let edited = verify(&text.replace("\"text\": \"one\"", "\"text\": \"One\"")).expect(Exit::No);
    assert_eq!(edited.one("audit.damaged")["damage"], "edited");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let cut = lines[..lines.len() - 1].concat();
    assert_eq!(verify(&cut).expect(Exit::No).one("audit.damaged")["damage"], "deleted");
    let without_third = [&lines[..2], &lines[3..]].concat().concat();
    let gap = verify(&without_third).expect(Exit::No).one("audit.damaged");
    assert_eq!((&gap["damage"], &gap["id"]), (&"deleted".into(), &3.into()));
    let _ = verify(&text[..text.len() - 20]).expect(Exit::Usage);
    let _ = verify(&text).expect(Exit::Ok);
}

#[test]
fn rows_leave_in_no_other_way() {
    let (world, before) = world();
    let attempt = |sql: &str| world.client().batch_execute(sql).is_err();
    for sql in [
        "delete from _migration_audit_log",
        "delete from _migration_audit_log where id = 2",
        "update _migration_audit_log set actor = 'x'",
        "truncate _migration_audit_log",
        "set session_replication_role = replica; delete from _migration_audit_log",
    ] {
        assert!(attempt(sql), "{sql}");
    }
    let count = world.query("select count(*) from _migration_audit_log");
    let _ = world
        .run(&format!("migrate-audit archive --before {before} --to one.jsonl"))
        .expect(Exit::Ok);
    assert_ne!(world.query("select count(*) from _migration_audit_log"), count);
    // An archive that is over opens no door for those who come later.
    assert!(attempt("delete from _migration_audit_log"));
    // Nor does one that takes more than it tells of.
    let forged = |delete: &str| {
        format!(
            "insert into _migration_audit_log
             select id + 1, timestamp, actor, action, subject, run_id,
                    jsonb_set(details, '{{last_id}}', to_jsonb(id - 1)), canonical, sha256('a'), sha256('b')
             from _migration_audit_log where action = 'audit.archived'; {delete}"
        )
    };
    assert!(attempt(&forged(
        "delete from _migration_audit_log where action <> 'audit.archived'; select 1 / 0"
    )));
    assert!(attempt(&forged(
        "delete from _migration_audit_log where id >= (select max(id) - 1 from _migration_audit_log)"
    )));
    let _ = world.run("migrate-audit verify").expect(Exit::Ok);
}

#[test]
fn whoever_takes_the_way_of_an_archive_without_a_file_leaves_a_row_that_fits_nothing() {
    let (world, _) = world();
    world.execute(
        "begin;
         insert into _migration_audit_log
         select id + 1, timestamp, actor, 'audit.archived', subject, run_id,
                jsonb_build_object('last_id', id - 1), canonical, sha256('a'), sha256('b')
         from _migration_audit_log order by id desc limit 1;
         delete from _migration_audit_log where id < (select max(id) - 1 from _migration_audit_log);
         commit",
    );
    let damaged = world.run("migrate-audit verify").expect(Exit::No).one("audit.damaged");
    assert_eq!(damaged["damage"], "genesis", "{damaged}");
}

#[test]
fn nothing_is_removed_where_the_file_cannot_be_written_or_the_log_is_damaged() {
    let (world, before) = world();
    let count = world.query("select count(*) from _migration_audit_log");
    let archive =
        |to: &str| world.run(&format!("migrate-audit archive --before {before} --to {to}"));
    let world_dir = world.path("there.jsonl");
    fs::write(&world_dir, "mine").unwrap();
    assert_eq!(archive("there.jsonl").expect(Exit::Refused).one("error")["kind"], "file_exists");
    assert_eq!(fs::read_to_string(&world_dir).unwrap(), "mine");
    let _ = archive("no/such/folder.jsonl").expect(Exit::Unavailable);
    let _ = archive("/dev/full").expect(Exit::Refused);
    let nothing =
        world.run("migrate-audit archive --before 2001-01-01 --to none.jsonl").expect(Exit::Ok);
    assert!(nothing.stderr.contains("nothing to do"), "{nothing}");
    world.execute("alter table _migration_audit_log disable trigger user");
    world.execute("update _migration_audit_log set actor = 'mallory' where id = 3");
    let damaged = archive("one.jsonl").expect(Exit::Refused);
    assert_eq!(damaged.one("error")["kind"], "audit_log_damaged");
    assert_eq!(world.query("select count(*) from _migration_audit_log"), count);
    for name in ["one.jsonl", "one.jsonl.partial", "none.jsonl"] {
        assert!(!world.path(name).exists(), "{name}");
    }
}

#[test]
fn a_killed_archive_leaves_the_log_whole() {
    for point in ["archive_written", "archive_removed"] {
        let (world, before) = world();
        let count = world.query("select count(*) from _migration_audit_log");
        let world = world.env("MIGRATE_FAULT", point);
        let killed = world.run(&format!("migrate-audit archive --before {before} --to one.jsonl"));
        assert_eq!(killed.status.code(), None, "{point} was not reached: {killed}");
        let world = world.without_env("MIGRATE_FAULT");
        world.wait_for("not exists (select from pg_stat_activity where application_name like 'migrate-audit%' and datname = current_database())");
        assert_eq!(world.query("select count(*) from _migration_audit_log"), count, "{point}");
        let _ = world.run("migrate-audit verify").expect(Exit::Ok);
        let again = format!("migrate-audit archive --before {before} --to two.jsonl");
        let _ = world.run(&again).expect(Exit::Ok);
        let _ = world.run("migrate-audit verify --archive two.jsonl").expect(Exit::Ok);
    }
}

#[test]
fn nothing_is_archived_beside_a_run() {
    let (world, before) = world();
    let _ = world.run("migrate-lock acquire --reason busy").expect(Exit::Ok);
    let archive = format!("migrate-audit archive --before {before} --to one.jsonl --wait 0s");
    let _ = world.run(&archive).expect(Exit::Busy);
    assert!(!world.path("one.jsonl").exists());
}

#[test]
fn gates_and_the_way_down_know_what_is_in_an_archive() {
    let (world, _) = world();
    let world = world.file("migrate.toml", "[env.production.require]\napprovals = 1\n");
    let _ = world.run("migrate-audit archive --before 2099-01-01 --to one.jsonl").expect(Exit::Ok);
    let _ = world.run("migrate-apply status").expect(Exit::Ok);
    let _ = world.run("migrate-apply down").expect(Exit::Ok);
    let made = World::new()
        .file("migrate.toml", "[env.production.require]\napprovals = 1\n")
        .migration("1_a.sql", "select 1");
    let made = made.env("MIGRATE_ENV", "production");
    let _ = made.run("migrate-audit note begin").expect(Exit::Ok);
    let _ = made.run("migrate-audit archive --before 2099-01-01 --to one.jsonl").expect(Exit::Ok);
    let made = made.without_env("MIGRATE_ENV");
    let refused = made.run("migrate-apply up").expect(Exit::Refused);
    assert_eq!(refused.one("gate")["name"], "approvals");
}
