//! `migrate-backup prune`: what goes goes for a reason, and whatever happens a good backup stays.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
};

use migrate_core::{exit::Exit, fault::Point};
use migrate_tests::{Outcome, World, stored::Stored};

/// A world without any database, at noon of a day in November.
fn world() -> World {
    World::at(String::new()).env("MIGRATE_NOW", "2026-11-24T12:00:00Z")
}

fn write(world: &World, days: &[&str]) -> Vec<Stored> {
    let stored: Vec<Stored> =
        days.iter().map(|it| Stored::at(&format!("2026-11-{it}T10:00:00"))).collect();
    for it in &stored {
        it.write(&world.path("backups"));
    }
    stored
}

/// `keep 24 last good, last` and so on, newest first.
fn decisions(outcome: &Outcome) -> Vec<String> {
    let rows = outcome.of_type("retention");
    let text = |it: &serde_json::Value| it.as_str().unwrap().to_owned();
    let reasons = |it: &serde_json::Value| {
        let reasons: Vec<String> = it["reasons"].as_array().unwrap().iter().map(text).collect();
        reasons.join(", ")
    };
    rows.iter()
        .map(|it| format!("{} {} {}", text(&it["action"]), &text(&it["name"])[6..8], reasons(it)))
        .collect()
}

/// The days whose backups are complete.
fn complete(world: &World) -> Vec<String> {
    let rows = world.run("migrate-backup list").of_type("backup");
    let complete = rows.iter().filter(|it| it["state"] == "complete");
    complete.map(|it| it["backup_id"].as_str().unwrap()[6..8].to_owned()).collect()
}

/// Names in the store, without the lock.
fn names(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.path("backups")).unwrap();
    let mut names: Vec<String> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|it| it != ".lock");
    names.sort();
    names
}

#[test]
fn a_dry_run_says_what_a_run_does_and_removes_nothing() {
    let world = world();
    write(&world, &["20", "22", "23", "24"]);
    let line = "migrate-backup prune --keep-last 1 --keep-daily 2";
    let dry = world.run(&format!("{line} --dry-run")).expect(Exit::Ok);
    assert_eq!(complete(&world).len(), 4);
    let run = world.run(line).expect(Exit::Ok);
    let expected = [
        "keep 24 last good, last, daily",
        "keep 23 daily",
        "remove 22 no rule keeps it",
        "remove 20 no rule keeps it",
    ];
    assert_eq!(
        (decisions(&dry), decisions(&run)),
        (expected.map(str::to_owned).to_vec(), expected.map(str::to_owned).to_vec())
    );
    let (dry, run) = (dry.one("backup.pruned"), run.one("backup.pruned"));
    for field in ["kept", "removed", "left_alone", "freed_bytes"] {
        assert_eq!(dry[field], run[field], "{field}");
    }
    assert_eq!((&run["kept"], &run["removed"]), (&2.into(), &2.into()));
    assert!(run["freed_bytes"].as_u64().unwrap() > 10_000);
    assert_eq!(complete(&world), ["23", "24"]);
    assert_eq!(names(&world).iter().filter(|it| it.contains("trash")).count(), 0);
}

#[test]
fn a_policy_that_keeps_nothing_is_a_mistake() {
    let world = world();
    write(&world, &["23", "24"]);
    for line in ["", "--keep-last 0", "--keep-last 0 --keep-daily 0", "--keep-within 0s"] {
        let outcome = world.run(&format!("migrate-backup prune {line}")).expect(Exit::Usage);
        assert_eq!(outcome.types(), ["error"], "{line}");
    }
    assert_eq!(complete(&world), ["23", "24"]);
}

#[test]
fn a_newest_backup_that_is_damaged_does_not_push_the_last_good_one_out() {
    let world = world();
    let stored = write(&world, &["22", "23", "24"]);
    // Nobody has verified it: the damage is not known yet.
    let newest = world.path("backups").join(&stored[2].id).join("dump/3001.dat.gz");
    fs::write(newest, [6; 5000]).unwrap();
    let line = "migrate-backup prune --keep-last 1";
    let expected = [
        "leave_alone 24 damaged: it counts for no rule",
        "keep 23 last good, last",
        "remove 22 no rule keeps it",
    ];
    let dry = world.run(&format!("{line} --dry-run")).expect(Exit::Ok);
    assert_eq!(decisions(&dry), expected);
    assert!(names(&world).iter().all(|it| !it.ends_with(".jsonl")), "a dry run writes nothing");
    let run = world.run(line).expect(Exit::Ok);
    assert_eq!(decisions(&run), expected);
    assert!(run.stderr.contains("is damaged"), "{run}");
    assert_eq!(complete(&world), ["23"]);
    let again = world.run(line).expect(Exit::Ok);
    assert_eq!(again.one("backup.pruned")["removed"], 0);
}

#[test]
fn where_all_are_damaged_nothing_goes() {
    let world = world();
    for it in write(&world, &["22", "23", "24"]) {
        fs::write(world.path("backups").join(&it.id).join("dump/toc.dat"), "x").unwrap();
    }
    let run = world.run("migrate-backup prune --keep-last 1").expect(Exit::Ok);
    // The last of them is not even read: nothing would go for its sake.
    assert_eq!(run.one("backup.pruned")["removed"], 0);
    assert_eq!(names(&world).iter().filter(|it| !it.ends_with(".jsonl")).count(), 3);
}

#[test]
fn a_pinned_backup_stays_until_it_is_unpinned() {
    let world = world();
    let stored = write(&world, &["22", "23", "24"]);
    let oldest = &stored[0].id;
    let _ = world.run(&format!("migrate-backup pin {oldest} --reason audit")).expect(Exit::Ok);
    let line = "migrate-backup prune --keep-last 1";
    let run = world.run(line).expect(Exit::Ok);
    assert_eq!(
        decisions(&run),
        ["keep 24 last good, last", "remove 23 no rule keeps it", "keep 22 pinned: audit"]
    );
    let _ = world.run(&format!("migrate-backup unpin {oldest}")).expect(Exit::Ok);
    let _ = world.run(line).expect(Exit::Ok);
    assert_eq!(complete(&world), ["24"]);
    assert!(!names(&world).contains(&format!("{oldest}.state.jsonl")), "nothing of it is left");
}

#[test]
fn each_database_keeps_its_own() {
    let world = world();
    write(&world, &["23", "24"]);
    for day in ["20", "21"] {
        Stored::at(&format!("2026-11-{day}T10:00:00")).of("crm").write(&world.path("backups"));
    }
    let one = world.run("migrate-backup prune --keep-last 1 --database crm").expect(Exit::Ok);
    assert_eq!(decisions(&one), ["keep 21 last good, last", "remove 20 no rule keeps it"]);
    let _ = world.run("migrate-backup prune --keep-last 1").expect(Exit::Ok);
    assert_eq!(complete(&world), ["21", "24"]);
}

#[test]
fn a_backup_from_the_future_takes_nobodys_place() {
    let world = world();
    write(&world, &["22", "23"]);
    Stored::at("2036-11-30T10:00:00").write(&world.path("backups"));
    let run = world.run("migrate-backup prune --keep-last 1").expect(Exit::Ok);
    assert_eq!(
        decisions(&run),
        [
            "leave_alone 30 dated in the future: it counts for no rule",
            "keep 23 last good, last",
            "remove 22 no rule keeps it"
        ]
    );
}

#[test]
fn leftovers_go_and_what_is_not_ours_is_left_alone() {
    let world = world();
    write(&world, &["24"]);
    let store = world.path("backups");
    let precious = world.path("precious");
    fs::create_dir(&precious).unwrap();
    File::create(precious.join("data")).unwrap();
    fs::create_dir_all(store.join(".20261101T000000Z-000000.partial/dump")).unwrap();
    symlink(&precious, store.join(".20261101T000000Z-000000.partial/dump/link")).unwrap();
    fs::create_dir_all(store.join(".trash-20261102T000000Z-000000/dump")).unwrap();
    File::create(store.join("20261103T000000Z-000000.state.jsonl")).unwrap();
    let under_way = store.join(".20261104T000000Z-000000.partial");
    fs::create_dir(&under_way).unwrap();
    let making = File::open(&under_way).unwrap();
    making.lock_shared().unwrap();
    symlink(&precious, store.join("20261105T000000Z-000000")).unwrap();
    symlink(&precious, store.join(".trash-20261106T000000Z-000000")).unwrap();
    File::create(store.join("README")).unwrap();
    let run = world.run("migrate-backup prune --keep-last 1").expect(Exit::Ok);
    let left: Vec<String> = run
        .of_type("retention")
        .iter()
        .filter(|it| it["action"] == "leave_alone")
        .map(|it| it["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(left, ["README", "20261105T000000Z-000000", ".20261104T000000Z-000000.partial"]);
    assert_eq!(run.one("backup.pruned")["removed"], 4);
    assert!(precious.join("data").exists());
    assert_eq!(names(&world).len(), 4, "{:?}", names(&world));
    drop(making);
    let _ = world.run("migrate-backup prune --keep-last 1").expect(Exit::Ok);
    assert!(!under_way.exists());
}

#[test]
fn nothing_is_removed_while_somebody_reads() {
    let world = world();
    write(&world, &["23", "24"]);
    let lock = File::create(world.path("backups/.lock")).unwrap();
    lock.lock_shared().unwrap();
    let line = "migrate-backup prune --keep-last 1 --wait 50ms";
    let error = world.run(line).expect(Exit::Busy).one("error");
    assert_eq!(error["kind"], "store_busy");
    assert_eq!(complete(&world), ["23", "24"]);
    let _ = world.run(&format!("{line} --dry-run")).expect(Exit::Ok);
    lock.unlock().unwrap();
    let _ = world.run(line).expect(Exit::Ok);
    assert_eq!(complete(&world), ["24"]);
}

#[test]
fn a_crash_at_any_point_leaves_complete_backups_and_the_next_run_ends_it() {
    for point in Point::PRUNE {
        for nth in 1..=2 {
            let world = world();
            write(&world, &["21", "22", "23", "24"]);
            let line = "migrate-backup prune --keep-last 1";
            let world = world.env("MIGRATE_FAULT", &format!("{}:{nth}", point.name()));
            let killed = world.run(line).status.code().is_none();
            assert!(killed || nth == 2, "{point:?} was not reached");
            let world = world.without_env("MIGRATE_FAULT");
            for id in complete(&world) {
                let id = names(&world).into_iter().find(|it| it[6..8] == id).unwrap();
                let _ = world.run(&format!("migrate-backup verify {id}")).expect(Exit::Ok);
            }
            assert!(complete(&world).contains(&"24".to_owned()));
            let _ = world.run(line).expect(Exit::Ok);
            assert_eq!(complete(&world), ["24"]);
            assert!(names(&world).iter().all(|it| it.starts_with("20261124")), "{point:?}");
        }
    }
}

#[test]
fn two_runs_at_the_same_time_do_not_hinder_each_other() {
    let world = world();
    write(&world, &["10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "24"]);
    let runs: Vec<_> = (0..4).map(|_| world.spawn("migrate-backup prune --keep-last 1")).collect();
    for run in runs {
        let _ = run.finish().expect(Exit::Ok);
    }
    assert_eq!(complete(&world), ["24"]);
    assert_eq!(names(&world).iter().filter(|it| it.contains("trash")).count(), 0);
}

#[test]
fn a_person_reads_what_is_kept_and_why() {
    let world = world();
    let stored = write(&world, &["23", "24"]);
    let text =
        world.run("migrate-backup prune --keep-last 1 --output text").expect(Exit::Ok).stdout;
    let expected = format!(
        "ACTION  BACKUP                   CREATED AT            DATABASE  SIZE    REASONS\n\
         keep    {}  2026-11-24 10:00:00Z  shop      4.9 kB  last good, last\n\
         remove  {}  2026-11-23 10:00:00Z  shop      ",
        stored[1].id, stored[0].id
    );
    assert!(text.starts_with(&expected), "{text}\n{expected}");
    assert!(text.contains("✓ 1 entry removed ("), "{text}");
}

#[test]
fn an_id_that_leads_elsewhere_is_no_id() {
    let world = world();
    write(&world, &["24"]);
    for id in ["..", "../../etc", "/etc", "20261124T100000Z-000000/.."] {
        let _ = world.run(&format!("migrate-backup verify {id}")).expect(Exit::Usage);
        let _ = world.run(&format!("migrate-backup pin {id}")).expect(Exit::Usage);
    }
    assert!(Path::new("/etc").exists());
}
