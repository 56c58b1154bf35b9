//! `migrate-backup list`, `pin`, `label`: everything in the store is shown as what it is, without a database.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::Path,
};

use migrate_core::exit::Exit;
use migrate_tests::{
    World,
    stored::{Stored, write_manifest},
};

/// A world without any database.
fn world() -> World {
    World::at(String::new()).env("MIGRATE_NOW", "2026-11-24T12:00:00Z")
}

fn states(world: &World) -> Vec<(String, String)> {
    let rows = world.run("migrate-backup list").of_type("backup");
    let text = |it: &serde_json::Value| it.as_str().unwrap().to_owned();
    rows.iter().map(|it| (text(&it["name"]), text(&it["state"]))).collect()
}

#[test]
fn a_backup_is_listed_with_what_is_in_it_and_how_far_it_is_proven() {
    let world = world();
    let stored = Stored::at("2026-11-24T10:00:00");
    stored.write(&world.path("backups"));
    let row = world.run("migrate-backup list").expect(Exit::Ok).one("backup");
    assert_eq!(row["backup_id"], stored.id);
    assert_eq!(row["state"], "complete");
    assert_eq!(row["age_ms"], 2 * 3_600_000);
    assert_eq!(row["database"], "shop");
    assert_eq!(row["rows"], 42);
    assert_eq!(row["migration_head"], "009");
    assert_eq!(row["proven"], serde_json::Value::Null);
    let _ = world.run(&format!("migrate-backup verify {}", stored.id)).expect(Exit::Ok);
    let row = world.run("migrate-backup list").one("backup");
    assert_eq!(
        (&row["proven"], &row["proven_at"]),
        (&"checksum".into(), &"2026-11-24T12:00:00Z".into())
    );
}

#[test]
fn a_person_sees_a_table() {
    let world = world();
    let stored = Stored::at("2026-11-24T10:00:00");
    let store = world.path("backups");
    stored.write(&store);
    fs::create_dir(store.join(".20261124T110000Z-000000.partial")).unwrap();
    let text = world.run("migrate-backup list --output text").expect(Exit::Ok).stdout;
    assert_eq!(
        text,
        format!(
            "BACKUP                   STATE     AGE  DATABASE  SERVER  SIZE    ROWS  HEAD  PROVEN  PIN  LABEL\n\
             {}  complete  2 h  shop      15.20   4.9 kB  42    009\n\
             20261124T110000Z-000000  partial\n\
             ! .20261124T110000Z-000000.partial: left by a run that was killed; `migrate-backup prune` removes it\n",
            stored.id
        )
    );
}

#[test]
fn a_pin_and_a_label_are_shown_until_they_are_taken_away() {
    let world = world();
    let stored = Stored::at("2026-11-24T10:00:00");
    stored.write(&world.path("backups"));
    let id = &stored.id;
    let row = || world.run("migrate-backup list").expect(Exit::Ok).one("backup");
    let _ = world.run(&format!("migrate-backup pin {id} --reason 'before 2.0'")).expect(Exit::Ok);
    let _ = world.run(&format!("migrate-backup label {id} 'release 2.0'")).expect(Exit::Ok);
    let now = row();
    assert_eq!((&now["pinned"], &now["pin_reason"]), (&true.into(), &"before 2.0".into()));
    assert_eq!(now["label"], "release 2.0");
    let _ = world.run(&format!("migrate-backup unpin {id}")).expect(Exit::Ok);
    let _ = world.run(&format!("migrate-backup label {id} ''")).expect(Exit::Ok);
    let now = row();
    assert_eq!((&now["pinned"], &now["label"]), (&false.into(), &serde_json::Value::Null));
    let missing = world.run("migrate-backup pin 20260101T000000Z-000000").expect(Exit::Usage);
    assert!(missing.one("error")["message"].as_str().unwrap().contains("no backup 20260101"));
}

#[test]
fn whatever_lies_in_the_store_is_shown_as_what_it_is() {
    let world = world();
    let store = world.path("backups");
    Stored::at("2026-11-01T00:00:00").write(&store);
    let unknown = Stored::at("2026-11-02T00:00:00");
    let mut manifest = unknown.manifest();
    manifest["format"] = 99.into();
    manifest.as_object_mut().unwrap().shift_remove("tables");
    write_manifest(&unknown.write(&store), &manifest);
    let edited = Stored::at("2026-11-03T00:00:00").write(&store);
    let text = fs::read_to_string(edited.join("manifest.json")).unwrap();
    fs::write(edited.join("manifest.json"), text.replace("\"rows\": 42", "\"rows\": 43")).unwrap();
    let garbage = Stored::at("2026-11-04T00:00:00").write(&store);
    fs::write(garbage.join("manifest.json"), "{").unwrap();
    fs::create_dir(store.join("20261105T000000Z-000000")).unwrap();
    symlink("/etc", store.join("20261106T000000Z-000000")).unwrap();
    let renamed = Stored::at("2026-11-07T00:00:00").write(&store);
    fs::rename(renamed, store.join("20261107T000000Z-ffffff")).unwrap();
    fs::create_dir(store.join(".20261108T000000Z-000000.partial")).unwrap();
    fs::create_dir(store.join(".trash-20261109T000000Z-000000")).unwrap();
    File::create(store.join("20261110T000000Z-000000.state.jsonl")).unwrap();
    File::create(store.join("notes.txt")).unwrap();
    fs::create_dir(store.join("lost+found")).unwrap();
    fs::create_dir(store.join("20261111T000000Z-000000.partial")).unwrap();

    let found = states(&world);
    let states: Vec<&str> = found.iter().map(|(_, it)| it.as_str()).collect();
    assert_eq!(
        states,
        [
            "complete",
            "unknown_version",
            "damaged_manifest",
            "damaged_manifest",
            "damaged_manifest",
            "foreign",
            "damaged_manifest",
            "partial",
            "trash",
            "trash",
            "foreign",
            "foreign",
            "foreign",
        ],
        "{found:?}"
    );
    let _ = world.run("migrate-backup list").expect(Exit::No);
}

#[test]
fn a_manifest_that_cannot_be_read_is_shown_and_the_others_too() {
    let world = world();
    let store = world.path("backups");
    let closed = Stored::at("2026-11-01T00:00:00").write(&store);
    Stored::at("2026-11-02T00:00:00").write(&store);
    fs::set_permissions(closed.join("manifest.json"), fs::Permissions::from_mode(0o000)).unwrap();
    // Nothing keeps root from reading.
    let expected = if is_root() { "complete" } else { "unreadable" };
    let states: Vec<String> = states(&world).into_iter().map(|(_, it)| it).collect();
    assert_eq!(states, [expected, "complete"]);
}

#[test]
fn ten_thousand_entries_are_all_shown() {
    let world = world();
    let store = world.path("backups");
    for number in 0..1_000 {
        let mut stored = Stored::at("2026-11-01T00:00:00");
        stored.id = format!("20261101T000000Z-{number:06x}");
        stored.files.truncate(1);
        stored.write(&store);
    }
    for number in 0..9_000 {
        File::create(store.join(format!("junk-{number}"))).unwrap();
    }
    let rows = states(&world);
    let count = |state: &str| rows.iter().filter(|(_, it)| it == state).count();
    assert_eq!((count("complete"), count("foreign")), (1_000, 9_000));
}

#[test]
fn a_store_that_others_could_have_written_to_is_refused() {
    let world = world();
    let store = world.path("backups");
    Stored::at("2026-11-01T00:00:00").write(&store);
    fs::set_permissions(&store, fs::Permissions::from_mode(0o770)).unwrap();
    refused(&world, "others may write to");
    fs::set_permissions(&store, fs::Permissions::from_mode(0o755)).unwrap();
    let _ = world.run("migrate-backup list").expect(Exit::Ok);
    symlink(&store, world.path("link")).unwrap();
    let world = world.env("MIGRATE_BACKUPS", "link/");
    refused(&world, "is a link");
    if is_root() {
        let world = world.env("MIGRATE_BACKUPS", "backups");
        chown(&store, Some(65_534), None).unwrap();
        refused(&world, "belongs to user 65534");
    }
}

#[track_caller]
fn refused(world: &World, why: &str) {
    let error = world.run("migrate-backup list").expect(Exit::Refused).one("error");
    assert!(error["message"].as_str().unwrap().contains(why), "{error}");
    assert_eq!(error["kind"], "unsafe_store");
}

#[test]
fn a_store_that_is_not_there_is_named() {
    let world = world();
    let missing = world.run("migrate-backup list --backups nowhere").expect(Exit::Unavailable);
    let message = missing.one("error")["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("cannot open the store of backups nowhere: No such"), "{message}");
}

#[test]
fn the_store_comes_from_the_flag_the_variable_or_the_file() {
    let world = world()
        .file("migrate.toml", "backups = 'common'\n[env.production]\nbackups = 'of_production'\n");
    for (number, store) in ["common", "of_production", "variable", "flag"].iter().enumerate() {
        Stored::at(&format!("2026-11-0{}T00:00:00", number + 1)).write(&world.path(store));
    }
    let first = |world: &World, line: &str| {
        let row = world.run(&format!("migrate-backup list {line}")).expect(Exit::Ok).one("backup");
        row["backup_id"].as_str().unwrap()[6..8].to_owned()
    };
    assert_eq!(first(&world, ""), "01");
    assert_eq!(first(&world, "--env production"), "02");
    let world = world.env("MIGRATE_BACKUPS", "variable");
    assert_eq!(first(&world, "--env production"), "03");
    assert_eq!(first(&world, "--env production --backups flag"), "04");
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(Path::new("/proc/self")).unwrap().uid() == 0
}
