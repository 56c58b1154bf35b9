//! `migrate-backup restore`: the backup takes the place of the database, which is kept; or nothing changes.

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use migrate_core::{exit::Exit, fault::Point};
use migrate_tests::{Cut, Outcome, Proxy, World};

use crate::backup_create::id_of;

/// A database with a backup, which has lost a table since.
fn world() -> (World, String) {
    let world = World::new().migration("1_t.sql", "create table t (id int)");
    world.execute("create table items (id int primary key, name text)");
    world.execute("insert into items select i, 'item ' || i from generate_series(1, 1000) as i");
    let id = id_of(&world.run("migrate-backup create").expect(Exit::Ok));
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    world.execute("drop table items");
    (world, id)
}

fn name(world: &World) -> String {
    world.query("current_database()")
}

/// What is kept of this database.
fn others(world: &World) -> Vec<String> {
    named(world, &format!("{}\\_\\_%", name(world)))
}

/// Copies for the database of that number, which some restore has left.
fn copies(world: &World, oid: &str) -> Vec<String> {
    named(world, &format!("migrate\\_new\\_{oid}\\_%"))
}

fn named(world: &World, pattern: &str) -> Vec<String> {
    let names = "select coalesce(string_agg(datname, ',' order by datname), '') from pg_database";
    let found = world.query(&format!("{names} where datname like '{pattern}'"));
    found.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

fn oid(world: &World) -> String {
    world.query("select oid from pg_database where datname = current_database()")
}

fn has_items(world: &World) -> bool {
    world.query("to_regclass('items') is not null") == "true"
}

fn error(outcome: &Outcome) -> String {
    outcome.one("error")["kind"].as_str().unwrap().to_owned()
}

#[test]
fn a_restore_says_what_is_lost_and_keeps_the_old_database_until_it_is_dropped() {
    let (world, id) = world();
    let restored = world.run(&format!("migrate-backup restore {id}")).expect(Exit::Ok);
    let started = restored.one("restore.started");
    assert_eq!(started["migrations_lost"], serde_json::json!(["1"]));
    assert!(has_items(&world));
    assert_eq!(world.query("select count(*) from items"), "1000");
    let kept = restored.one("backup.restored")["old_database"].as_str().unwrap().to_owned();
    assert_eq!(others(&world), [kept.as_str()]);
    // What was done meanwhile stays in the log, which is still one chain.
    let actions = "select string_agg(action, ' ' order by id) from _migration_audit_log
                   where action in ('migration.applied', 'restore.started', 'backup.restored')";
    assert_eq!(world.query(actions), "migration.applied restore.started backup.restored");
    world.assert_sound();

    let undone = world.run("migrate-backup restore --undo").expect(Exit::Ok);
    assert!(!has_items(&world));
    assert_eq!(world.query("to_regclass('t') is not null"), "true");
    let kept = undone.one("backup.swapped_back")["restored_database"].as_str().unwrap().to_owned();
    assert_eq!(others(&world), [kept.as_str()]);
    assert_eq!(
        world.query("select action from _migration_audit_log order by id desc limit 1"),
        "backup.swapped_back"
    );
    world.assert_sound();

    let dropped = world.run("migrate-backup restore --drop-old").expect(Exit::Ok);
    assert_eq!(dropped.one("backup.dropped")["old_database"], kept.as_str());
    assert_eq!(others(&world), Vec::<String>::new());
    assert_eq!(
        error(&world.run("migrate-backup restore --drop-old").expect(Exit::Refused)),
        "nothing_kept"
    );
    assert_eq!(
        error(&world.run("migrate-backup restore --undo").expect(Exit::Refused)),
        "nothing_kept"
    );
    world.assert_sound();
}

#[test]
fn only_a_database_that_was_kept_is_dropped() {
    let (world, id) = world();
    for _ in 0..2 {
        let _ = world.run(&format!("migrate-backup restore {id}")).expect(Exit::Ok);
    }
    let kept = others(&world);
    assert_eq!(kept.len(), 2);
    let several = world.run("migrate-backup restore --drop-old").expect(Exit::Refused);
    assert_eq!(error(&several), "several_kept");
    for other in ["postgres", "template1", &name(&world)] {
        let refused = world.run(&format!("migrate-backup restore --drop-old={other}"));
        assert_eq!(error(&refused.expect(Exit::Refused)), "not_kept");
    }
    let _ = world.run(&format!("migrate-backup restore --drop-old={}", kept[0])).expect(Exit::Ok);
    let _ = world.run("migrate-backup restore --drop-old").expect(Exit::Ok);
}

#[test]
fn into_makes_a_new_database_and_refuses_one_that_is_there() {
    let (world, id) = world();
    let new = format!("{}__ \"copy\" ü", name(&world));
    let restored =
        world.run(&format!("migrate-backup restore {id} --into '{new}'")).expect(Exit::Ok);
    assert_eq!(restored.one("backup.restored")["database"], new.as_str());
    assert!(!has_items(&world));
    let copy = World::at(
        world.url().replace(&format!("dbname={}", name(&world)), &format!("dbname='{new}'")),
    );
    assert_eq!(copy.query("select count(*) from items"), "1000");
    copy.assert_sound();
    let again =
        world.run(&format!("migrate-backup restore {id} --into '{new}'")).expect(Exit::Refused);
    assert_eq!(error(&again), "database_exists");
    let long = "x".repeat(64);
    let _ = world.run(&format!("migrate-backup restore {id} --into {long}")).expect(Exit::Usage);
    assert_eq!(others(&world), [new.as_str()]);
    world.execute(&format!("drop database \"{}\"", new.replace('"', "\"\"")));
}

#[test]
fn a_database_that_is_gone_is_made_anew() {
    let (world, id) = world();
    let database = name(&world);
    let admin = World::at(world.url().replace(&format!("dbname={database}"), "dbname=postgres"));
    admin.execute(&format!("drop database {database} with (force)"));
    let restored = world.run(&format!("migrate-backup restore {id}")).expect(Exit::Ok);
    assert_eq!(restored.one("restore.started")["replaces"], false);
    assert!(has_items(&world));
    world.assert_sound();
}

#[test]
fn what_could_not_end_is_refused_before_it_begins() {
    let (world, id) = world();
    let restore = format!("migrate-backup restore {id}");
    world.execute(
        "create table p (); begin; insert into p default values; prepare transaction 'left over'",
    );
    let refused = world.run(&restore).expect(Exit::Refused);
    assert!(refused.one("error")["message"].to_string().contains("left over"), "{refused}");
    world.execute("rollback prepared 'left over'");

    let (other, _) = self::world();
    let foreign = World::at(other.url().to_owned())
        .env("MIGRATE_BACKUPS", world.path("backups").to_str().unwrap());
    assert_eq!(error(&foreign.run(&restore).expect(Exit::Refused)), "backup_of_another_database");

    world.execute(
        "do $$ begin create role backup_owner login; exception when duplicate_object or unique_violation then null; end $$;
         grant execute on function pg_control_system() to backup_owner",
    );
    let weak = World::at(world.url().replace("user=postgres", "user=backup_owner"))
        .env("MIGRATE_BACKUPS", world.path("backups").to_str().unwrap());
    assert_eq!(error(&weak.run(&restore).expect(Exit::Refused)), "not_allowed");
    assert!(!has_items(&world));
    assert_eq!(others(&world), Vec::<String>::new());
    assert_eq!(others(&other), Vec::<String>::new());
    world.assert_sound();
}

#[test]
fn a_role_that_lacks_is_named_and_nothing_is_done() {
    let world = World::new();
    let role = format!("gone of {}", name(&world));
    world.execute(&format!(
        "create role \"{role}\"; create table t (); alter table t owner to \"{role}\""
    ));
    let id = id_of(&world.run("migrate-backup create").expect(Exit::Ok));
    world.execute(&format!("drop table t; drop role \"{role}\""));
    let refused = world.run(&format!("migrate-backup restore {id}")).expect(Exit::Refused);
    assert!(refused.one("error")["message"].to_string().contains(&role), "{refused}");
    assert_eq!(others(&world), Vec::<String>::new());
}

#[test]
fn a_backup_that_cannot_be_loaded_or_is_not_equal_leaves_the_database_alone() {
    let world = World::new();
    // As in the wild: a check that finds its function only by the session's search path.
    world.execute(
        "create function is_good(int) returns boolean language plpgsql immutable as 'begin return inner_good($1); end';
         create function inner_good(int) returns boolean language sql immutable as 'select true';
         create table checked (id int check (is_good(id))); insert into checked values (1)",
    );
    let id = id_of(&world.run("migrate-backup create").expect(Exit::Ok));
    let verified =
        world.run(&format!("migrate-backup verify {id} --level restore")).expect(Exit::No);
    let damage = verified.one("backup.damaged")["damages"][0]["message"].to_string();
    assert!(damage.contains("inner_good"), "{damage}");
    let failed = world.run(&format!("migrate-backup restore {id}")).expect(Exit::Failed);
    assert_eq!(error(&failed), "program_failed");
    assert_eq!(world.query("select count(*) from checked"), "1");
    assert_eq!(copies(&world, &oid(&world)), Vec::<String>::new());
    world.assert_sound();
}

#[test]
fn killed_anywhere_there_is_the_old_or_the_new_database_and_the_next_run_ends_it() {
    for point in Point::RESTORE {
        let (world, id) = world();
        let number = oid(&world);
        let killed = World::at(world.url().to_owned())
            .env("MIGRATE_BACKUPS", world.path("backups").to_str().unwrap())
            .env("MIGRATE_FAULT", point.name());
        let killed = killed.run(&format!("migrate-backup restore {id}"));
        assert_eq!(killed.status.code(), None, "{point:?} was not reached: {killed}");
        assert_eq!(has_items(&world), point == Point::Swapped, "{point:?}");
        let again = world.run(&format!("migrate-backup restore {id}")).expect(Exit::Ok);
        let said = again.stderr.contains("was killed before it could say so");
        assert_eq!(said, point == Point::Swapped, "{point:?}: {again}");
        let kept = again.one("backup.restored")["old_database"].as_str().unwrap().to_owned();
        assert!(has_items(&world), "{point:?}");
        // Nothing of the first try, unless it had come to its end.
        let left = others(&world).into_iter().filter(|it| *it != kept).count();
        assert_eq!(left, usize::from(point == Point::Swapped), "{point:?}");
        assert_eq!(copies(&world, &number), Vec::<String>::new(), "{point:?}");
        world.assert_sound();
    }
}

#[test]
fn a_commit_without_an_answer_is_decided_by_the_names() {
    for (cut, took_place) in [(Cut::After, true), (Cut::Before, false)] {
        let (world, id) = world();
        let number = oid(&world);
        let proxy = Proxy::new(&world);
        let through = World::at(proxy.url(&world))
            .env("MIGRATE_BACKUPS", world.path("backups").to_str().unwrap());
        proxy.cut("commit work", 1, cut);
        let restored = through.run(&format!("migrate-backup restore {id}"));
        assert!(proxy.has_cut());
        let expected = if took_place { Exit::Ok } else { Exit::Failed };
        let _ = restored.expect(expected);
        assert_eq!(has_items(&world), took_place);
        assert_eq!(others(&world).len(), usize::from(took_place));
        assert_eq!(copies(&world, &number), Vec::<String>::new());
        world.assert_sound();
    }
}

#[test]
fn a_private_server_runs_until_all_is_recorded() {
    let folder = tempfile::Builder::new().prefix("migrate-embedded-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let world = World::at(format!("embedded:{}/pg", folder.path().display()));
    let id = id_of(&world.run("migrate-backup create").expect(Exit::Ok));
    for command in [&format!("restore {id}"), "restore --undo", "restore --drop-old"] {
        let _ = world.run(&format!("migrate-backup {command}")).expect(Exit::Ok);
    }
}

#[test]
fn a_lease_that_is_handed_on_goes_along_and_is_given_back() {
    let (world, id) = world();
    let line = format!("migrate-lock run -- migrate-backup restore {id}");
    let restored = world.run(&line).expect(Exit::Ok);
    assert_eq!(restored.types(), ["restore.started", "backup.restored"]);
    assert!(has_items(&world));
    world.assert_sound();
}
