//! `migrate-backup create`: a backup that can be proven, or none; and nobody is left behind.

use std::{fs, path::Path};

use migrate_core::{exit::Exit, fault::Point};
use migrate_tests::{Outcome, World};
use rustix::process::Signal;

/// With a few rows in it.
fn world() -> World {
    let world = World::new();
    world.execute("create table items (id int primary key, name text)");
    world.execute("insert into items select i, 'item ' || i from generate_series(1, 1000) as i");
    world
}

/// The id of the backup that was made.
#[track_caller]
pub(crate) fn id_of(created: &Outcome) -> String {
    created.one("backup.created")["backup_id"].as_str().unwrap().to_owned()
}

/// The states of what is in the store.
fn states(world: &World) -> Vec<String> {
    let rows = world.run("migrate-backup list").of_type("backup");
    rows.iter().map(|it| it["state"].as_str().unwrap().to_owned()).collect()
}

/// No lock, no program and no session of ours is left.
#[track_caller]
fn assert_nothing_is_left(world: &World) {
    world.wait_for(
        "not exists (select from pg_stat_activity where datname = current_database()
                     and (application_name like 'migrate-%' or query like 'COPY%'))",
    );
}

#[test]
fn a_backup_holds_what_was_there_and_says_so() {
    let world = world();
    let created = world.run("migrate-backup create --label nightly --pin").expect(Exit::Ok);
    let record = created.one("backup.created");
    assert_eq!(created.types(), ["lock.acquired", "backup.created", "lock.released"]);
    assert!(record["rows"].as_u64().unwrap() >= 1000, "{record}");
    let listed = world.run("migrate-backup list").one("backup");
    assert_eq!(listed["backup_id"], record["backup_id"]);
    assert_eq!((&listed["label"], &listed["pinned"]), (&"nightly".into(), &true.into()));
    let audited = "select details ->> 'manifest_sha256' from _migration_audit_log where action = 'backup.created'";
    assert_eq!(record["manifest_sha256"], world.query(audited));
    let dump = world.path(record["path"].as_str().unwrap()).join("dump");
    let by_hand = world.shell(&format!("pg_restore --list {}", dump.display()));
    assert!(by_hand.stdout.contains("TABLE DATA public items"), "{by_hand}");
    world.assert_sound();
}

#[test]
fn each_level_is_proven_and_kept() {
    let world = world();
    let id = id_of(&world.run("migrate-backup create --fingerprint").expect(Exit::Ok));
    for level in ["checksum", "read", "restore"] {
        let line = format!("migrate-backup verify {id} --level {level}");
        let verified = world.run(&line).expect(Exit::Ok).one("backup.verified");
        assert_eq!((&verified["level"], &verified["audit"]), (&level.into(), &"matches".into()));
        assert_eq!(world.run("migrate-backup list").one("backup")["proven"], level);
    }
}

#[test]
fn the_runbooks_pipes_work() {
    let world = world().migration("1_t.sql", "create table t ()");
    let piped = world.shell(
        "migrate-backup create | migrate-backup verify - --level restore | \
         migrate-apply up --require-backup -",
    );
    let piped = piped.expect(Exit::Ok);
    assert_eq!(piped.of_type("migration.applied").len(), 1, "{piped}");
    let by_grep = world.shell(
        "ID=$(migrate-backup create --output text | grep 'Backup created:' | cut -d: -f2); \
         migrate-backup verify $ID",
    );
    let _ = by_grep.expect(Exit::Ok).one("backup.verified");
    let by_jq = world.shell(
        "ID=$(migrate-backup create | jq -r 'select(.type==\"backup.created\").backup_id'); \
         migrate-backup verify \"$ID\"",
    );
    let _ = by_jq.expect(Exit::Ok).one("backup.verified");
    let broken =
        world.shell("false | migrate-backup verify - | migrate-apply up --require-backup -");
    let _ = broken.expect(Exit::Refused);
}

#[test]
fn killed_anywhere_it_leaves_no_backup_or_a_whole_one_and_the_next_run_works() {
    for point in Point::CREATE.into_iter().chain(Point::STORE) {
        let world = world().env("MIGRATE_FAULT", point.name());
        let killed = world.run("migrate-backup create");
        assert_eq!(killed.status.code(), None, "{point:?} was not reached: {killed}");
        let expected: &[&str] = match point {
            Point::LeaseTaken => &[],
            Point::AfterPublish => &["complete"],
            _ => &["partial"],
        };
        if point != Point::LeaseTaken {
            assert_eq!(states(&world), expected, "{point:?}");
        }
        assert_nothing_is_left(&world);
        let world = world.without_env("MIGRATE_FAULT");
        let id = id_of(&world.run("migrate-backup create").expect(Exit::Ok));
        let _ = world.run(&format!("migrate-backup verify {id} --level read")).expect(Exit::Ok);
        world.assert_sound();
    }
}

#[test]
fn what_may_not_be_read_is_named_and_no_backup_is_made() {
    let world = world();
    world.execute(
        "do $$ begin create role backup_reader login createdb; exception when duplicate_object or unique_violation then null; end $$;
         grant pg_read_all_data to backup_reader; grant create on schema public to backup_reader;
         grant execute on function pg_control_system() to backup_reader",
    );
    let reader = World::at(world.url().replace("user=postgres", "user=backup_reader"));
    let _ = reader.run("migrate-backup create").expect(Exit::Ok);
    for (made, named, undone) in [
        (
            "revoke pg_read_all_data from backup_reader",
            "public.items",
            "grant pg_read_all_data to backup_reader",
        ),
        ("select lo_create(4713)", "large object 4713", "select lo_unlink(4713)"),
        (
            "alter table items enable row level security",
            "public.items",
            "alter table items disable row level security",
        ),
    ] {
        world.execute(made);
        let refused = reader.run("migrate-backup create").expect(Exit::Refused);
        let message = refused.one("error")["message"].to_string();
        assert!(message.contains(named), "{made}: {message}");
        assert_eq!(states(&reader), ["complete"]);
        world.execute(undone);
    }
}

/// Where the stand-in writes what it saw of its call.
fn told(world: &World) -> String {
    fs::read_to_string(world.path("told")).unwrap_or_default()
}

#[test]
fn the_password_reaches_pg_dump_by_a_file_in_memory_and_nobody_else() {
    let world = world();
    let script = format!(
        "{{ echo \"args $*\"; env; stat -L -c 'mode %a' \"$PGPASSFILE\"; cat \"$PGPASSFILE\"; }} >{}; \
         echo 'pg_dump: warning: odd: password=gehe1m!' >&2; exec {} \"$@\"",
        world.path("told").display(),
        World::real("pg_dump").display()
    );
    let world = world.stand_in("pg_dump", &script);
    let url = format!("{} password=gehe1m!", world.url());
    let created = world.env("DATABASE_URL", &url);
    let outcome = created.run("migrate-backup create").expect(Exit::Ok);
    let told = told(&created);
    let lines: Vec<&str> = told.lines().filter(|it| it.contains("gehe1m!")).collect();
    assert_eq!(lines.len(), 1, "{told}");
    assert!(lines[0].ends_with(":5432:*:postgres:gehe1m!"), "{}", lines[0]);
    assert!(told.contains("mode 600"), "{told}");
    let path = outcome.one("backup.created")["path"].as_str().unwrap().to_owned();
    let manifest = fs::read_to_string(created.path(&path).join("manifest.json")).unwrap();
    for text in [&outcome.stdout, &outcome.stderr, &manifest] {
        assert!(!text.contains("gehe1m!"), "{text}");
    }
    assert!(manifest.contains("odd: password=****"), "{manifest}");
}

#[test]
fn pg_dump_dies_with_the_tool_however_that_ends() {
    for signal in [Signal::TERM, Signal::INT, Signal::KILL] {
        let world = world();
        let script = format!("echo $$ >{}; exec sleep 600", world.path("told").display());
        let world = world.stand_in("pg_dump", &script);
        let create = world.spawn("migrate-backup create");
        let pid = wait_for_pid(&world);
        create.signal(signal);
        let ended = create.finish();
        if signal == Signal::KILL {
            assert_eq!(ended.status.code(), None, "{ended}");
        } else {
            let ended = ended.expect(Exit::Signal(signal.as_raw() as u8));
            assert!(ended.one("error")["message"].to_string().contains("no backup was made"));
            assert_eq!(states(&world), Vec::<String>::new());
        }
        world.wait_for(&format!(
            "not exists (select from pg_ls_dir('/proc') as pid where pid = '{pid}')"
        ));
        assert_nothing_is_left(&world);
    }
}

fn wait_for_pid(world: &World) -> String {
    for _ in 0..2000 {
        let pid = told(world).trim().to_owned();
        if !pid.is_empty() {
            return pid;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("pg_dump was not started");
}

#[test]
fn a_dump_that_fails_is_no_backup_and_the_old_ones_stay() {
    let world = world();
    let first = id_of(&world.run("migrate-backup create").expect(Exit::Ok));
    for (script, exit, kind) in [
        (
            "echo 'pg_dump: error: could not write to file: No space left on device' >&2; exit 1",
            Exit::Unavailable,
            "disk_full",
        ),
        (
            "echo 'pg_dump: error: could not obtain lock on relation \"items\"' >&2; exit 1",
            Exit::Busy,
            "table_locked",
        ),
        ("echo 'pg_dump: error: broken' >&2; exit 1", Exit::Failed, "program_failed"),
        ("kill -9 $$", Exit::Failed, "program_failed"),
    ] {
        let broken = World::at(world.url().to_owned()).stand_in("pg_dump", script);
        let broken = broken.env("MIGRATE_BACKUPS", world.path("backups").to_str().unwrap());
        let failed = broken.run("migrate-backup create").expect(exit);
        assert_eq!(failed.one("error")["kind"], kind, "{failed}");
        assert_eq!(states(&world), ["complete"], "{script}");
    }
    let _ = world.run(&format!("migrate-backup verify {first}")).expect(Exit::Ok);
    world.assert_sound();
}

#[test]
fn a_snapshot_whose_session_was_ended_makes_no_backup() {
    let world = world();
    let script = format!(
        "{} -c \"select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() \
         and state = 'idle in transaction' and pid <> pg_backend_pid()\" >/dev/null 2>&1; exec {} \"$@\"",
        World::real("psql").display(),
        World::real("pg_dump").display()
    );
    let world = world.stand_in("pg_dump", &script);
    let _ = world.run("migrate-backup create").expect(Exit::Failed);
    assert_eq!(states(&world), Vec::<String>::new());
}

#[test]
fn backups_and_migrations_wait_for_each_other_and_share_a_lease_that_is_handed_on() {
    let world = world();
    let acquired = world.run("migrate-lock acquire --ttl 1m").expect(Exit::Ok);
    let token = acquired.one("lock.acquired")["token"].as_i64().unwrap();
    let busy = world.run("migrate-backup create --wait 0s").expect(Exit::Busy);
    assert_eq!(busy.one("error")["kind"], "lock_held");
    let under = World::at(world.url().to_owned()).env("MIGRATE_LOCK_TOKEN", &token.to_string());
    let created = under.run("migrate-backup create --wait 0s").expect(Exit::Ok);
    assert_eq!(created.types(), ["backup.created"]);
    assert_eq!(world.query("select count(*) from _migration_locks"), "1");
}

#[test]
fn files_and_folders_are_for_their_owner_alone() {
    let world = world();
    let _ = world.shell("umask 0; migrate-backup create").expect(Exit::Ok);
    let modes = world.shell("find backups -printf '%y %m\\n' | sort -u").stdout;
    assert_eq!(modes, "d 700\nf 600\n");
    assert!(Path::new(&world.path("backups")).is_dir());
}
